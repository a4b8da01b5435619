"""StockQueryService."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Any, cast

from grpc.aio import ServicerContext

from inventory.query.v1 import stock_query_service_pb2 as pb
from inventory.query.v1.stock_query_service_pb2_grpc import StockQueryServiceServicer
from inventory.type.v1.item_pb2 import ItemKind
from query_svc import page_tokens
from query_svc.ledger import Ledger, Place, Wanted, place_of
from query_svc.services.availability import of_bundle, of_item
from query_svc.services.errors import item_not_found, level_not_found
from query_svc.services.levels import level_matches, levels, lot_matches, lots
from query_svc.services.paging import DEFAULT_PAGE_SIZE, page_of
from query_svc.sources import Source
from query_svc.watch.watches import Watches
from serving.interceptor import remaining
from serving.validation import check

Context = ServicerContext[Any, Any]


class StockQueries(StockQueryServiceServicer):
    """Serves levels from one source, history from the ledger alone."""

    def __init__(self, source: Source, ledger: Ledger, watches: Watches) -> None:
        self._source = source
        self._ledger = ledger
        self._watches = watches

    async def GetStockLevel(
        self, request: pb.GetStockLevelRequest, _context: Context
    ) -> pb.GetStockLevelResponse:
        """Return the stock of one item at one location."""
        check(request)
        level = await self._source.level(request.sku, request.location_id)
        if level is None:
            raise level_not_found(request.sku, request.location_id)
        return pb.GetStockLevelResponse(level=level)

    async def BatchGetStockLevels(
        self, request: pb.BatchGetStockLevelsRequest, _context: Context
    ) -> pb.BatchGetStockLevelsResponse:
        """Return the stock of many items and locations."""
        check(request)
        found = await self._source.levels([(name.sku, name.location_id) for name in request.names])
        return pb.BatchGetStockLevelsResponse(
            levels=[level for level in found if level is not None],
            missing=[name for name, level in zip(request.names, found, strict=True) if level is None],
        )

    async def ListStockLevels(
        self, request: pb.ListStockLevelsRequest, _context: Context
    ) -> pb.ListStockLevelsResponse:
        """Return a page of the levels."""
        check(request)
        parts = levels(self._source, request)
        page, token = await page_of(parts, partial(level_matches, request.filter), request)
        return pb.ListStockLevelsResponse(levels=page, next_page_token=token)

    async def ListLots(self, request: pb.ListLotsRequest, _context: Context) -> pb.ListLotsResponse:
        """Return a page of the lots."""
        check(request)
        parts = lots(self._source, request)
        page, token = await page_of(parts, partial(lot_matches, request.filter), request)
        return pb.ListLotsResponse(lots=page, next_page_token=token)

    async def GetAvailability(
        self, request: pb.GetAvailabilityRequest, _context: Context
    ) -> pb.GetAvailabilityResponse:
        """Return the stock of one item over all its locations."""
        check(request)
        item, found = await self._source.availability(request.sku)
        if item is None and not found:
            raise item_not_found(request.sku)
        if item is not None and item.kind == ItemKind.ITEM_KIND_BUNDLE:
            components = await self._source.levels_of_items([one.sku for one in item.components])
            return of_bundle(item, components)
        return of_item(request.sku, item, found)

    async def GetStockHistory(
        self, request: pb.GetStockHistoryRequest, _context: Context
    ) -> pb.GetStockHistoryResponse:
        """Return a page of the ledger's entries."""
        check(request)
        after = None
        if request.page_token:
            position = page_tokens.decode(request.page_token, request, (int, str, int))
            after = Place(*cast("tuple[int, str, int]", tuple(position)))
            if not after.is_possible():
                raise page_tokens.invalid(request.page_token)
        size = request.page_size or DEFAULT_PAGE_SIZE
        movements = await self._ledger.history(
            request.sku,
            request.location_id,
            wanted=_wanted(request.filter),
            newest_first=request.order_by != pb.HISTORY_ORDER_OLDEST_FIRST,
            after=after,
            limit=size + 1,  # one more tells whether there is another page
            seconds=remaining(),
        )
        if not movements and not await self._ledger.item_exists(request.sku, remaining()):
            raise item_not_found(request.sku)
        page = movements[:size]
        more = len(movements) > size
        token = page_tokens.encode(place_of(page[-1]), request) if more else ""
        return pb.GetStockHistoryResponse(movements=page, next_page_token=token)

    async def GetStockLevelAsOf(
        self, request: pb.GetStockLevelAsOfRequest, _context: Context
    ) -> pb.GetStockLevelAsOfResponse:
        """Return the level as the ledger's newest entry by then left it."""
        check(request)
        entry = await self._ledger.newest_entry(
            request.sku, request.location_id, by=request.time, seconds=remaining()
        )
        if entry is None:
            raise level_not_found(request.sku, request.location_id)
        return pb.GetStockLevelAsOfResponse(
            sku=entry.sku,
            location_id=entry.location_id,
            on_hand=entry.result.on_hand,
            reserved=entry.result.reserved,
            available=entry.result.on_hand - entry.result.reserved,
            backordered=entry.result.backordered,
            in_transit=entry.result.in_transit,
            version=entry.version,
            update_time=entry.record_time,
        )

    async def WatchStock(
        self, request: pb.WatchStockRequest, _context: Context
    ) -> AsyncGenerator[pb.WatchStockResponse, None]:
        """Yield the changes of levels as they come."""
        check(request)
        async with aclosing(self._watches.watch(request)) as responses:
            async for response in responses:
                yield response


def _wanted(wanted: pb.HistoryFilter) -> Wanted:
    stretch = wanted.record_time
    return Wanted(
        start=stretch.start if stretch.HasField("start") else None,
        end=stretch.end if stretch.HasField("end") else None,
        kinds=tuple(wanted.kinds),
        reasons=tuple(wanted.reasons),
        actor=wanted.actor,
        reference=wanted.reference,
        lot_id=wanted.lot_id,
    )
