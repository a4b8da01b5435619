"""Items and locations, read."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from inventory.query.v1 import catalog_query_service_pb2 as pb
from inventory.query.v1.catalog_query_service_pb2_grpc import CatalogQueryServiceStub

from .connection import Connection

if TYPE_CHECKING:
    from inventory.query.v1.catalog_query_service_pb2_grpc import CatalogQueryServiceAsyncStub


class CatalogQueries(Connection):
    """The queries of CatalogQueryService."""

    @cached_property
    def _catalog_queries(self) -> CatalogQueryServiceAsyncStub:
        return CatalogQueryServiceStub(self._channel)

    async def get_item(
        self, request: pb.GetItemRequest, *, timeout: float | None = None
    ) -> pb.GetItemResponse:
        """Read one item. Raises ItemNotFoundError."""
        return await self._query(self._catalog_queries.GetItem, request, timeout)

    async def list_items(
        self, request: pb.ListItemsRequest, *, timeout: float | None = None
    ) -> pb.ListItemsResponse:
        """Read a page of the items. Raises InvalidPageTokenError."""
        return await self._query(self._catalog_queries.ListItems, request, timeout)

    async def get_location(
        self, request: pb.GetLocationRequest, *, timeout: float | None = None
    ) -> pb.GetLocationResponse:
        """Read one location. Raises LocationNotFoundError."""
        return await self._query(self._catalog_queries.GetLocation, request, timeout)

    async def list_locations(
        self, request: pb.ListLocationsRequest, *, timeout: float | None = None
    ) -> pb.ListLocationsResponse:
        """Read a page of the locations. Raises InvalidPageTokenError."""
        return await self._query(self._catalog_queries.ListLocations, request, timeout)
