"""Levels and their history, read."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import cached_property
from typing import TYPE_CHECKING

from inventory.query.v1 import stock_query_service_pb2 as pb
from inventory.query.v1.stock_query_service_pb2_grpc import StockQueryServiceStub

from . import watch
from .connection import Connection, new_call_id

if TYPE_CHECKING:
    from inventory.query.v1.stock_query_service_pb2_grpc import StockQueryServiceAsyncStub


class StockQueries(Connection):
    """The queries of StockQueryService."""

    @cached_property
    def _stock_queries(self) -> StockQueryServiceAsyncStub:
        return StockQueryServiceStub(self._channel)

    async def get_stock_level(
        self, request: pb.GetStockLevelRequest, *, timeout: float | None = None
    ) -> pb.GetStockLevelResponse:
        """Read one level. Raises LevelNotFoundError when it has never been stocked."""
        return await self._query(self._stock_queries.GetStockLevel, request, timeout)

    async def batch_get_stock_levels(
        self, request: pb.BatchGetStockLevelsRequest, *, timeout: float | None = None
    ) -> pb.BatchGetStockLevelsResponse:
        """Read up to 500 levels; those that do not exist are named in the answer."""
        return await self._query(self._stock_queries.BatchGetStockLevels, request, timeout)

    async def list_stock_levels(
        self, request: pb.ListStockLevelsRequest, *, timeout: float | None = None
    ) -> pb.ListStockLevelsResponse:
        """Read a page of the levels. Raises InvalidPageTokenError."""
        return await self._query(self._stock_queries.ListStockLevels, request, timeout)

    async def list_lots(
        self, request: pb.ListLotsRequest, *, timeout: float | None = None
    ) -> pb.ListLotsResponse:
        """Read a page of the lots that have units. Raises InvalidPageTokenError."""
        return await self._query(self._stock_queries.ListLots, request, timeout)

    async def get_stock_level_as_of(
        self, request: pb.GetStockLevelAsOfRequest, *, timeout: float | None = None
    ) -> pb.GetStockLevelAsOfResponse:
        """Read one level as it stood at an instant. Raises LevelNotFoundError before its first entry."""
        return await self._query(self._stock_queries.GetStockLevelAsOf, request, timeout)

    async def get_availability(
        self, request: pb.GetAvailabilityRequest, *, timeout: float | None = None
    ) -> pb.GetAvailabilityResponse:
        """Read one item over all its locations. Raises ItemNotFoundError."""
        return await self._query(self._stock_queries.GetAvailability, request, timeout)

    async def get_stock_history(
        self, request: pb.GetStockHistoryRequest, *, timeout: float | None = None
    ) -> pb.GetStockHistoryResponse:
        """Read a page of an item's ledger. Raises ItemNotFoundError and InvalidPageTokenError."""
        return await self._query(self._stock_queries.GetStockHistory, request, timeout)

    def watch_stock(
        self, request: pb.WatchStockRequest, *, timeout: float = 60.0
    ) -> AsyncGenerator[pb.WatchStockResponse, None]:
        """Watch levels; yield every message, heartbeats included, for as long as it is read.

        When the watch is cut, it is resumed by its last cursor: no change is left out or told twice. A watch
        with include_current that is cut before its first cursor begins anew, and tells `levels` again. Raises
        InvalidCursorError, CursorExpiredError when it has been cut for too long, WatchTooSlowError when its
        messages are not taken as fast as they come, and DependencyUnavailableError, or what else kept it from
        being resumed, when `timeout` seconds brought no message.
        """
        call_id = new_call_id()

        async def opened(asked: pb.WatchStockRequest) -> watch.Call:
            return self._stock_queries.WatchStock(asked, metadata=await self._metadata(call_id))

        return watch.watching(opened, request, retry=self._retry, timeout=timeout, call_id=call_id)
