"""CatalogQueryService."""

from __future__ import annotations

from functools import partial
from typing import Any

from grpc.aio import ServicerContext

from inventory.query.v1 import catalog_query_service_pb2 as pb
from inventory.query.v1.catalog_query_service_pb2_grpc import CatalogQueryServiceServicer
from inventory.type.v1.item_pb2 import Item, ItemState
from inventory.type.v1.location_pb2 import Location
from query_svc import page_tokens
from query_svc.read_model import Span, indexes
from query_svc.services.errors import item_not_found, location_not_found
from query_svc.services.paging import DEFAULT_PAGE_SIZE, MAX_PAGE_BYTES, Indexed, page_of
from query_svc.sources import Source
from serving.validation import check

Context = ServicerContext[Any, Any]


class CatalogQueries(CatalogQueryServiceServicer):
    """Serves items and locations from one source."""

    def __init__(self, source: Source) -> None:
        self._source = source

    async def GetItem(self, request: pb.GetItemRequest, _context: Context) -> pb.GetItemResponse:
        """Return one item."""
        check(request)
        item = await self._source.item(request.sku)
        if item is None:
            raise item_not_found(request.sku)
        return pb.GetItemResponse(item=item)

    async def ListItems(self, request: pb.ListItemsRequest, _context: Context) -> pb.ListItemsResponse:
        """Return a page of the items."""
        check(request)

        async def read(tails: list[str]) -> list[Item | None]:
            return await self._source.items([tail.rpartition("\0")[2] for tail in tails])

        found = Indexed(self._source, _items(request), read)
        page, token = await page_of([found], partial(_item_matches, request.filter), request)
        return pb.ListItemsResponse(items=page, next_page_token=token)

    async def GetLocation(self, request: pb.GetLocationRequest, _context: Context) -> pb.GetLocationResponse:
        """Return one location."""
        check(request)
        location = await self._source.location(request.location_id)
        if location is None:
            raise location_not_found(request.location_id)
        return pb.GetLocationResponse(location=location)

    async def ListLocations(
        self, request: pb.ListLocationsRequest, _context: Context
    ) -> pb.ListLocationsResponse:
        """Return a page of the locations.

        A page goes on after a place in the order, not after a number of locations, so that those that
        come and go meanwhile shift nothing.
        """
        check(request)
        found = [
            location for location in await self._source.locations() if _matches(location, request.filter)
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


def _items(request: pb.ListItemsRequest) -> Span:
    """Return where the items are walked: in the order asked for, under what least may match."""
    wanted = request.filter
    if request.order_by == pb.ITEM_ORDER_NAME:
        return Span(indexes.ITEMS_BY_NAME)
    for index, text in (
        (indexes.ITEMS_BY_BARCODE, wanted.barcode),
        (indexes.ITEMS_BY_PARENT, wanted.parent_sku),
        (indexes.ITEMS_BY_CATEGORY, wanted.category),
        (indexes.ITEMS_BY_TAG, wanted.tag),
    ):
        if text:
            return Span(index, f"{text}\0")
    archived = set(wanted.states) == {ItemState.ITEM_STATE_ARCHIVED}
    return Span(indexes.ARCHIVED_ITEMS if archived else indexes.ITEMS_BY_SKU)


def _item_matches(wanted: pb.ItemFilter, item: Item) -> bool:
    return (
        (
            not wanted.category
            or any(f"{category}/".startswith(f"{wanted.category}/") for category in item.categories)
        )
        and (not wanted.tag or wanted.tag in item.tags)
        and (not wanted.barcode or wanted.barcode in item.barcodes)
        and (not wanted.parent_sku or wanted.parent_sku == item.parent_sku)
        and (not wanted.states or item.state in wanted.states)
        and (not wanted.kinds or item.kind in wanted.kinds)
    )


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
