"""CatalogQueryService."""

from __future__ import annotations

from typing import Any

from grpc.aio import ServicerContext

from inventory.query.v1 import catalog_query_service_pb2 as pb
from inventory.query.v1.catalog_query_service_pb2_grpc import CatalogQueryServiceServicer
from inventory.type.v1.location_pb2 import Location
from query_svc import page_tokens
from query_svc.read_model import ReadModel
from query_svc.services.errors import item_not_found
from serving.validation import check

Context = ServicerContext[Any, Any]

DEFAULT_PAGE_SIZE = 100
# A message is at most 4 MiB; a location, with every text as long as it may be, about 6 kB.
MAX_PAGE_BYTES = 3 * 1024 * 1024


class CatalogQueries(CatalogQueryServiceServicer):
    """Serves items and locations from the read model alone."""

    def __init__(self, read_model: ReadModel) -> None:
        self._read_model = read_model

    async def GetItem(self, request: pb.GetItemRequest, _context: Context) -> pb.GetItemResponse:
        """Return one item."""
        check(request)
        item = await self._read_model.item(request.sku)
        if item is None:
            raise item_not_found(request.sku)
        return pb.GetItemResponse(item=item)

    async def ListLocations(
        self, request: pb.ListLocationsRequest, _context: Context
    ) -> pb.ListLocationsResponse:
        """Return a page of the locations.

        A page goes on after a place in the order, not after a number of locations, so that those that
        come and go meanwhile shift nothing.
        """
        check(request)
        found = [
            location for location in await self._read_model.locations() if _matches(location, request.filter)
        ]
        if request.page_token:
            kinds = (int if request.order_by == pb.LOCATION_ORDER_PRIORITY else str, str)
            after = page_tokens.decode(request.page_token, request, kinds)
            found = [location for location in found if _place(location, request.order_by) > after]
        found.sort(key=lambda location: _place(location, request.order_by))
        page = _page(found, request.page_size or DEFAULT_PAGE_SIZE)
        more = len(found) > len(page)
        token = page_tokens.encode(_place(page[-1], request.order_by), request) if more else ""
        return pb.ListLocationsResponse(locations=page, next_page_token=token)


def _place(location: Location, order: pb.LocationOrder.ValueType) -> list[str | int]:
    """Return where the location stands in the order; no two stand in the same place.

    Of a name, the first MAX_TEXT_BYTES bytes count, since a page token holds no more of it.
    """
    match order:
        case pb.LOCATION_ORDER_NAME:
            name = location.name.encode()[: page_tokens.MAX_TEXT_BYTES].decode(errors="ignore")
            return [name, location.location_id]
        case pb.LOCATION_ORDER_PRIORITY:
            return [location.priority, location.location_id]
        case _:
            return ["", location.location_id]


def _page(found: list[Location], size: int) -> list[Location]:
    """Return the first `size` of them, or fewer where they would outgrow a message."""
    page: list[Location] = []
    free = MAX_PAGE_BYTES
    for location in found[:size]:
        free -= location.ByteSize()
        if free < 0:
            break
        page.append(location)
    return page


def _matches(location: Location, wanted: pb.LocationFilter) -> bool:
    return (
        (not wanted.kinds or location.kind in wanted.kinds)
        and (not wanted.states or location.state in wanted.states)
        and (
            not wanted.HasField("ships_online_orders")
            or location.ships_online_orders == wanted.ships_online_orders
        )
        and (not wanted.region_code or location.address.region_code == wanted.region_code)
    )
