"""ReservationCommandService."""

from __future__ import annotations

from command_svc.batcher import Batcher
from command_svc.services.lane import Context, answer, answer_batch, newest
from inventory.command.v1 import reservation_command_service_pb2 as pb
from inventory.command.v1.reservation_command_service_pb2_grpc import ReservationCommandServiceServicer
from serving.errors import CallError


class ReservationCommands(ReservationCommandServiceServicer):
    """Serves the reservation commands from one lane."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher

    async def ReserveStock(
        self, request: pb.ReserveStockRequest, _context: Context
    ) -> pb.ReserveStockResponse:
        """Promise units for a while."""
        return pb.ReserveStockResponse.FromString(await answer(self._batcher, request))

    async def ConfirmReservation(
        self, request: pb.ConfirmReservationRequest, _context: Context
    ) -> pb.ConfirmReservationResponse:
        """Take promised units off the shelf."""
        return pb.ConfirmReservationResponse.FromString(await answer(self._batcher, request))

    async def CancelReservation(
        self, request: pb.CancelReservationRequest, _context: Context
    ) -> pb.CancelReservationResponse:
        """Give back what is still held."""
        return pb.CancelReservationResponse.FromString(await answer(self._batcher, request))

    async def ExtendReservation(
        self, request: pb.ExtendReservationRequest, _context: Context
    ) -> pb.ExtendReservationResponse:
        """Give the reservation a new time to live."""
        return pb.ExtendReservationResponse.FromString(await answer(self._batcher, request))

    async def BatchReserveStock(
        self, request: pb.BatchReserveStockRequest, _context: Context
    ) -> pb.BatchReserveStockResponse:
        """Make many reservations in one transaction."""
        batch_id, answers = await answer_batch(self._batcher, request, lambda command: command)
        results = [_result(answered) for answered in answers]
        return pb.BatchReserveStockResponse(
            request_id=batch_id,
            consistency_token=newest(result.reserved.consistency_token for result in results),
            results=results,
        )


def _result(answered: bytes | CallError) -> pb.ReserveStockResult:
    if isinstance(answered, CallError):
        return pb.ReserveStockResult(error=answered.to_status())
    return pb.ReserveStockResult(reserved=pb.ReserveStockResponse.FromString(answered))
