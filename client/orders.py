"""Units sold: promised, shipped, taken back."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from inventory.command.v1 import order_command_service_pb2 as pb
from inventory.command.v1.order_command_service_pb2_grpc import OrderCommandServiceStub

from .connection import Connection

if TYPE_CHECKING:
    from inventory.command.v1.order_command_service_pb2_grpc import OrderCommandServiceAsyncStub


class OrderCommands(Connection):
    """The commands of OrderCommandService."""

    @cached_property
    def _order_commands(self) -> OrderCommandServiceAsyncStub:
        return OrderCommandServiceStub(self._channel)

    async def place_order(
        self, request: pb.PlaceOrderRequest, *, timeout: float | None = None
    ) -> pb.PlaceOrderResponse:
        """Promise units to an order, all or nothing; with `allow_backorder` also those to come.

        Raises InsufficientStockError when fewer may be promised, ItemNotFoundError, ItemArchivedError,
        LocationNotFoundError and LocationInactiveError.
        """
        return await self._command(self._order_commands.PlaceOrder, request, timeout)

    async def fulfill_order(
        self, request: pb.FulfillOrderRequest, *, timeout: float | None = None
    ) -> pb.FulfillOrderResponse:
        """Ship all that is reserved for an order, or the lines given.

        Raises OrderNotFoundError, OrderClosedError, ExceedsOrderError, SerialNotFoundError and
        SerialsRequiredError.
        """
        return await self._command(self._order_commands.FulfillOrder, request, timeout)

    async def cancel_order(
        self, request: pb.CancelOrderRequest, *, timeout: float | None = None
    ) -> pb.CancelOrderResponse:
        """Give back all that is not shipped, or the lines given.

        Raises OrderNotFoundError, OrderClosedError and ExceedsOrderError.
        """
        return await self._command(self._order_commands.CancelOrder, request, timeout)

    async def return_order(
        self, request: pb.ReturnOrderRequest, *, timeout: float | None = None
    ) -> pb.ReturnOrderResponse:
        """Take shipped units back, into stock or to be written off.

        Raises OrderNotFoundError, ExceedsOrderError, LocationNotFoundError, QuantityOutOfRangeError,
        LotRequiredError, LotNotTrackedError, LotMismatchError and SerialAlreadyPresentError; for what goes
        into stock, ItemArchivedError and LocationInactiveError.
        """
        return await self._command(self._order_commands.ReturnOrder, request, timeout)
