"""One address, every RPC, typed."""

# ruff: noqa: ASYNC109 - a timeout here is the deadline that travels with the call, not a cancellation

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterable
from types import TracebackType
from typing import Protocol, Self, TypeVar

import grpc

from client import stream
from client.retry import RetryPolicy
from client.status import error_from_call
from inventory.command.v1 import (
    item_command_service_pb2,
    item_command_service_pb2_grpc,
    location_command_service_pb2,
    location_command_service_pb2_grpc,
    reservation_command_service_pb2,
    reservation_command_service_pb2_grpc,
    stock_command_service_pb2,
    stock_command_service_pb2_grpc,
)
from inventory.query.v1 import (
    catalog_query_service_pb2,
    catalog_query_service_pb2_grpc,
    stock_query_service_pb2,
    stock_query_service_pb2_grpc,
)

# No retry and no timeout here: grpcio's own timeouts from a service config fire too early, and a retry
# must know the reason of the refusal.
_CHANNEL_OPTIONS = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.enable_retries", 0),
)

Request = TypeVar("Request")
Response = TypeVar("Response")


class _CommandMessage(Protocol):
    """A request of the command side: it has a request_id, and can be copied."""

    request_id: str

    def CopyFrom(self, other: Self, /) -> None:  # noqa: N802 - protobuf's name
        ...


Command = TypeVar("Command", bound=_CommandMessage)


class InventoryClient:
    """The services behind one address, as coroutines; an asynchronous context manager.

    address: host:port that speaks gRPC without TLS (Envoy, or one of the services).
    actor: who acts, written into the ledger as the service takes it; unverified.
    timeout: seconds for a call with all its attempts, where the call names none.
    retry: bounds on the attempts.

    Every method takes and returns the messages of the contracts and raises `client.errors`. A command
    without a request_id is sent with a new one (the caller's message is left as it is), so that every
    attempt of the call is the same request; the answer and every error carry it. Safe for any number of
    concurrent calls of one event loop.
    """

    def __init__(
        self, address: str, *, actor: str, timeout: float = 10.0, retry: RetryPolicy | None = None
    ) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
        self._metadata = (("x-inventory-actor", actor),)
        self._timeout = timeout
        self._retry = retry or RetryPolicy()
        self._item_commands = item_command_service_pb2_grpc.ItemCommandServiceStub(self._channel)
        self._location_commands = location_command_service_pb2_grpc.LocationCommandServiceStub(self._channel)
        self._stock_commands = stock_command_service_pb2_grpc.StockCommandServiceStub(self._channel)
        self._reservation_commands = reservation_command_service_pb2_grpc.ReservationCommandServiceStub(
            self._channel
        )
        self._stock_queries = stock_query_service_pb2_grpc.StockQueryServiceStub(self._channel)
        self._catalog_queries = catalog_query_service_pb2_grpc.CatalogQueryServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls in flight are cancelled."""
        await self._channel.close()

    # Commands

    async def create_item(
        self, request: item_command_service_pb2.CreateItemRequest, *, timeout: float | None = None
    ) -> item_command_service_pb2.CreateItemResponse:
        """Create an item. Raises ItemAlreadyExistsError when the SKU is taken."""
        return await self._command(self._item_commands.CreateItem, request, timeout)

    async def create_location(
        self, request: location_command_service_pb2.CreateLocationRequest, *, timeout: float | None = None
    ) -> location_command_service_pb2.CreateLocationResponse:
        """Create a location. Raises LocationAlreadyExistsError when the id is taken."""
        return await self._command(self._location_commands.CreateLocation, request, timeout)

    async def add_stock(
        self, request: stock_command_service_pb2.AddStockRequest, *, timeout: float | None = None
    ) -> stock_command_service_pb2.AddStockResponse:
        """Add units that have arrived."""
        return await self._command(self._stock_commands.AddStock, request, timeout)

    async def remove_stock(
        self, request: stock_command_service_pb2.RemoveStockRequest, *, timeout: float | None = None
    ) -> stock_command_service_pb2.RemoveStockResponse:
        """Remove units that are gone. Raises InsufficientStockError when fewer are available."""
        return await self._command(self._stock_commands.RemoveStock, request, timeout)

    async def adjust_stock(
        self, request: stock_command_service_pb2.AdjustStockRequest, *, timeout: float | None = None
    ) -> stock_command_service_pb2.AdjustStockResponse:
        """Correct a level. Raises VersionMismatchError when it is not at the expected version."""
        return await self._command(self._stock_commands.AdjustStock, request, timeout)

    async def move_stock(
        self, request: stock_command_service_pb2.MoveStockRequest, *, timeout: float | None = None
    ) -> stock_command_service_pb2.MoveStockResponse:
        """Move units between two locations. Raises InsufficientStockError when fewer are available."""
        return await self._command(self._stock_commands.MoveStock, request, timeout)

    async def set_stock_policy(
        self, request: stock_command_service_pb2.SetStockPolicyRequest, *, timeout: float | None = None
    ) -> stock_command_service_pb2.SetStockPolicyResponse:
        """Set how a level is kept. Raises VersionMismatchError and BackordersOutstandingError."""
        return await self._command(self._stock_commands.SetStockPolicy, request, timeout)

    async def batch_stock(
        self, request: stock_command_service_pb2.BatchStockRequest, *, timeout: float | None = None
    ) -> stock_command_service_pb2.BatchStockResponse:
        """Carry out up to 1000 commands in one transaction.

        A refused one has its status in its result (`error_from_status` makes the exception of it); only
        an `atomic` batch raises a command's refusal.
        """
        return await self._command(self._stock_commands.BatchStock, request, timeout)

    def stream_stock(
        self,
        messages: AsyncIterable[stock_command_service_pb2.StreamStockRequest],
        *,
        timeout: float | None = None,
        ahead: int = 32,
    ) -> AsyncGenerator[stock_command_service_pb2.StreamStockResponse, None]:
        """Carry out the commands of many messages in their order; yield the answer to each.

        A message without a request_id is sent with a new one. When the stream is cut, it is opened again
        and the unanswered messages are sent again with the same ids, so nothing is lost or done twice.
        `messages` is read as far as answers are: at most `ahead` messages wait for theirs. Refusals are
        in the results, as in `batch_stock`. Raises the error of a stream that another cannot cure, and
        DeadlineExceededError when `timeout` seconds brought no answer.
        """
        return stream.resuming(
            lambda: self._stock_commands.StreamStock(metadata=self._metadata),
            messages,
            retry=self._retry,
            timeout=self._timeout if timeout is None else timeout,
            ahead=ahead,
        )

    async def reserve_stock(
        self, request: reservation_command_service_pb2.ReserveStockRequest, *, timeout: float | None = None
    ) -> reservation_command_service_pb2.ReserveStockResponse:
        """Promise units for a while. Raises InsufficientStockError when fewer may be promised."""
        return await self._command(self._reservation_commands.ReserveStock, request, timeout)

    async def confirm_reservation(
        self,
        request: reservation_command_service_pb2.ConfirmReservationRequest,
        *,
        timeout: float | None = None,
    ) -> reservation_command_service_pb2.ConfirmReservationResponse:
        """Take promised units off the shelf, all or in parts.

        Raises ReservationExpiredError, ReservationResolvedError and ExceedsReservationError.
        """
        return await self._command(self._reservation_commands.ConfirmReservation, request, timeout)

    async def cancel_reservation(
        self,
        request: reservation_command_service_pb2.CancelReservationRequest,
        *,
        timeout: float | None = None,
    ) -> reservation_command_service_pb2.CancelReservationResponse:
        """Give back what is held. Raises ReservationExpiredError and ReservationResolvedError."""
        return await self._command(self._reservation_commands.CancelReservation, request, timeout)

    async def extend_reservation(
        self,
        request: reservation_command_service_pb2.ExtendReservationRequest,
        *,
        timeout: float | None = None,
    ) -> reservation_command_service_pb2.ExtendReservationResponse:
        """Hold for longer. Raises ReservationExpiredError and ReservationResolvedError."""
        return await self._command(self._reservation_commands.ExtendReservation, request, timeout)

    async def batch_reserve_stock(
        self,
        request: reservation_command_service_pb2.BatchReserveStockRequest,
        *,
        timeout: float | None = None,
    ) -> reservation_command_service_pb2.BatchReserveStockResponse:
        """Make up to 1000 reservations in one transaction; refusals as in `batch_stock`."""
        return await self._command(self._reservation_commands.BatchReserveStock, request, timeout)

    # Queries

    async def get_stock_level(
        self, request: stock_query_service_pb2.GetStockLevelRequest, *, timeout: float | None = None
    ) -> stock_query_service_pb2.GetStockLevelResponse:
        """Read one level. Raises LevelNotFoundError when it has never been stocked."""
        return await self._call(self._stock_queries.GetStockLevel, request, timeout)

    async def batch_get_stock_levels(
        self, request: stock_query_service_pb2.BatchGetStockLevelsRequest, *, timeout: float | None = None
    ) -> stock_query_service_pb2.BatchGetStockLevelsResponse:
        """Read up to 500 levels; those that do not exist are named in the answer."""
        return await self._call(self._stock_queries.BatchGetStockLevels, request, timeout)

    async def get_availability(
        self, request: stock_query_service_pb2.GetAvailabilityRequest, *, timeout: float | None = None
    ) -> stock_query_service_pb2.GetAvailabilityResponse:
        """Read one item over all its locations. Raises ItemNotFoundError."""
        return await self._call(self._stock_queries.GetAvailability, request, timeout)

    async def get_stock_history(
        self, request: stock_query_service_pb2.GetStockHistoryRequest, *, timeout: float | None = None
    ) -> stock_query_service_pb2.GetStockHistoryResponse:
        """Read a page of an item's ledger. Raises ItemNotFoundError and InvalidPageTokenError."""
        return await self._call(self._stock_queries.GetStockHistory, request, timeout)

    async def get_item(
        self, request: catalog_query_service_pb2.GetItemRequest, *, timeout: float | None = None
    ) -> catalog_query_service_pb2.GetItemResponse:
        """Read one item. Raises ItemNotFoundError."""
        return await self._call(self._catalog_queries.GetItem, request, timeout)

    async def list_locations(
        self, request: catalog_query_service_pb2.ListLocationsRequest, *, timeout: float | None = None
    ) -> catalog_query_service_pb2.ListLocationsResponse:
        """Read a page of the locations. Raises InvalidPageTokenError."""
        return await self._call(self._catalog_queries.ListLocations, request, timeout)

    async def _command(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Command, Response],
        request: Command,
        timeout: float | None,
    ) -> Response:
        if not request.request_id:
            given, request = request, type(request)()
            request.CopyFrom(given)
            request.request_id = str(uuid.uuid4())
        return await self._call(method, request, timeout, request.request_id)

    async def _call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float | None,
        request_id: str = "",
    ) -> Response:
        deadline = time.monotonic() + (self._timeout if timeout is None else timeout)
        attempt = 0
        while True:
            attempt += 1
            try:
                return await method(
                    request, timeout=max(0.0, deadline - time.monotonic()), metadata=self._metadata
                )
            except grpc.aio.AioRpcError as failure:
                error = error_from_call(failure, request_id=request_id)
                pause = self._retry.pause(error, attempt, deadline - time.monotonic())
                if pause is None:
                    raise error from failure
            await asyncio.sleep(pause)
