"""TransferCommandService."""

from __future__ import annotations

from command_svc.batcher import Batcher
from command_svc.services.lane import Context, answer
from inventory.command.v1 import transfer_command_service_pb2 as pb
from inventory.command.v1.transfer_command_service_pb2_grpc import TransferCommandServiceServicer


class TransferCommands(TransferCommandServiceServicer):
    """Serves the transfer commands from one lane."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher

    async def DispatchTransfer(
        self, request: pb.DispatchTransferRequest, _context: Context
    ) -> pb.DispatchTransferResponse:
        """Send units on their way, or expect them from a supplier."""
        return pb.DispatchTransferResponse.FromString(await answer(self._batcher, request))

    async def ReceiveTransfer(
        self, request: pb.ReceiveTransferRequest, _context: Context
    ) -> pb.ReceiveTransferResponse:
        """Take in units that have arrived; write off the rest if asked."""
        return pb.ReceiveTransferResponse.FromString(await answer(self._batcher, request))

    async def CancelTransfer(
        self, request: pb.CancelTransferRequest, _context: Context
    ) -> pb.CancelTransferResponse:
        """Call back what is under way."""
        return pb.CancelTransferResponse.FromString(await answer(self._batcher, request))
