"""Reservations, orders and transfers, read."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from inventory.query.v1 import order_query_service_pb2 as pb
from inventory.query.v1.order_query_service_pb2_grpc import OrderQueryServiceStub

from .connection import Connection

if TYPE_CHECKING:
    from inventory.query.v1.order_query_service_pb2_grpc import OrderQueryServiceAsyncStub


class OrderQueries(Connection):
    """The queries of OrderQueryService."""

    @cached_property
    def _order_queries(self) -> OrderQueryServiceAsyncStub:
        return OrderQueryServiceStub(self._channel)

    async def get_reservation(
        self, request: pb.GetReservationRequest, *, timeout: float | None = None
    ) -> pb.GetReservationResponse:
        """Read one reservation. Raises ReservationNotFoundError."""
        return await self._query(self._order_queries.GetReservation, request, timeout)

    async def list_reservations(
        self, request: pb.ListReservationsRequest, *, timeout: float | None = None
    ) -> pb.ListReservationsResponse:
        """Read a page of the reservations. Raises InvalidPageTokenError."""
        return await self._query(self._order_queries.ListReservations, request, timeout)

    async def get_order(
        self, request: pb.GetOrderRequest, *, timeout: float | None = None
    ) -> pb.GetOrderResponse:
        """Read one order. Raises OrderNotFoundError."""
        return await self._query(self._order_queries.GetOrder, request, timeout)

    async def list_orders(
        self, request: pb.ListOrdersRequest, *, timeout: float | None = None
    ) -> pb.ListOrdersResponse:
        """Read a page of the orders. Raises InvalidPageTokenError."""
        return await self._query(self._order_queries.ListOrders, request, timeout)

    async def get_transfer(
        self, request: pb.GetTransferRequest, *, timeout: float | None = None
    ) -> pb.GetTransferResponse:
        """Read one transfer. Raises TransferNotFoundError."""
        return await self._query(self._order_queries.GetTransfer, request, timeout)

    async def list_transfers(
        self, request: pb.ListTransfersRequest, *, timeout: float | None = None
    ) -> pb.ListTransfersResponse:
        """Read a page of the transfers. Raises InvalidPageTokenError."""
        return await self._query(self._order_queries.ListTransfers, request, timeout)
