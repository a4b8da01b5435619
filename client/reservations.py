"""Units promised for a while."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from inventory.command.v1 import reservation_command_service_pb2 as pb
from inventory.command.v1.reservation_command_service_pb2_grpc import ReservationCommandServiceStub

from .connection import Connection

if TYPE_CHECKING:
    from inventory.command.v1.reservation_command_service_pb2_grpc import ReservationCommandServiceAsyncStub


class ReservationCommands(Connection):
    """The commands of ReservationCommandService."""

    @cached_property
    def _reservation_commands(self) -> ReservationCommandServiceAsyncStub:
        return ReservationCommandServiceStub(self._channel)

    async def reserve_stock(
        self, request: pb.ReserveStockRequest, *, timeout: float | None = None
    ) -> pb.ReserveStockResponse:
        """Promise units for a while, all or nothing unless `allow_partial`.

        Raises InsufficientStockError when fewer may be promised, ItemNotFoundError, ItemArchivedError,
        ItemNotStockedError, LocationNotFoundError, LocationInactiveError, LotNotTrackedError and
        LotNotFoundError.
        """
        return await self._command(self._reservation_commands.ReserveStock, request, timeout)

    async def confirm_reservation(
        self, request: pb.ConfirmReservationRequest, *, timeout: float | None = None
    ) -> pb.ConfirmReservationResponse:
        """Take promised units off the shelf, all or in parts.

        Raises ReservationNotFoundError, ReservationExpiredError, ReservationResolvedError,
        ExceedsReservationError, SerialNotFoundError and SerialsRequiredError.
        """
        return await self._command(self._reservation_commands.ConfirmReservation, request, timeout)

    async def cancel_reservation(
        self, request: pb.CancelReservationRequest, *, timeout: float | None = None
    ) -> pb.CancelReservationResponse:
        """Give back what is held.

        Raises ReservationNotFoundError, ReservationExpiredError and ReservationResolvedError.
        """
        return await self._command(self._reservation_commands.CancelReservation, request, timeout)

    async def extend_reservation(
        self, request: pb.ExtendReservationRequest, *, timeout: float | None = None
    ) -> pb.ExtendReservationResponse:
        """Hold for longer.

        Raises ReservationNotFoundError, ReservationExpiredError and ReservationResolvedError.
        """
        return await self._command(self._reservation_commands.ExtendReservation, request, timeout)

    async def batch_reserve_stock(
        self, request: pb.BatchReserveStockRequest, *, timeout: float | None = None
    ) -> pb.BatchReserveStockResponse:
        """Make up to 1000 reservations in one transaction; refusals as in `batch_stock`."""
        return await self._command(self._reservation_commands.BatchReserveStock, request, timeout)
