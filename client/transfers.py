"""Units on the way to a location."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from inventory.command.v1 import transfer_command_service_pb2 as pb
from inventory.command.v1.transfer_command_service_pb2_grpc import TransferCommandServiceStub

from .connection import Connection

if TYPE_CHECKING:
    from inventory.command.v1.transfer_command_service_pb2_grpc import TransferCommandServiceAsyncStub


class TransferCommands(Connection):
    """The commands of TransferCommandService."""

    @cached_property
    def _transfer_commands(self) -> TransferCommandServiceAsyncStub:
        return TransferCommandServiceStub(self._channel)

    async def dispatch_transfer(
        self, request: pb.DispatchTransferRequest, *, timeout: float | None = None
    ) -> pb.DispatchTransferResponse:
        """Send units on their way, from a location or a supplier.

        Raises InsufficientStockError when fewer are available, ItemNotFoundError, ItemArchivedError,
        ItemNotStockedError, LocationNotFoundError, LocationInactiveError (of the destination),
        QuantityOutOfRangeError, LotNotTrackedError, LotNotFoundError, SerialNotFoundError and
        SerialsRequiredError.
        """
        return await self._command(self._transfer_commands.DispatchTransfer, request, timeout)

    async def receive_transfer(
        self, request: pb.ReceiveTransferRequest, *, timeout: float | None = None
    ) -> pb.ReceiveTransferResponse:
        """Take in what has arrived, all or in parts; with `close`, the rest is written off.

        Raises TransferNotFoundError, TransferResolvedError, ExceedsTransferError, QuantityOutOfRangeError,
        LotRequiredError, LotNotTrackedError, LotMismatchError, SerialAlreadyPresentError, SerialNotFoundError
        and SerialsRequiredError.
        """
        return await self._command(self._transfer_commands.ReceiveTransfer, request, timeout)

    async def cancel_transfer(
        self, request: pb.CancelTransferRequest, *, timeout: float | None = None
    ) -> pb.CancelTransferResponse:
        """Call off what is still under way. Raises TransferNotFoundError and TransferResolvedError."""
        return await self._command(self._transfer_commands.CancelTransfer, request, timeout)
