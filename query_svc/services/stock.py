"""StockQueryService."""

from __future__ import annotations

from typing import Any, cast

from grpc.aio import ServicerContext

from inventory.query.v1 import stock_query_service_pb2 as pb
from inventory.query.v1.stock_query_service_pb2_grpc import StockQueryServiceServicer
from inventory.type.v1 import error_reason_pb2
from query_svc import page_tokens
from query_svc.ledger import Ledger, Place, place_of
from query_svc.read_model import ReadModel
from query_svc.services.errors import item_not_found
from serving.errors import CallError
from serving.interceptor import remaining
from serving.validation import check

Context = ServicerContext[Any, Any]

DEFAULT_PAGE_SIZE = 100


class StockQueries(StockQueryServiceServicer):
    """Serves levels from the read model alone, history from the ledger alone."""

    def __init__(self, read_model: ReadModel, ledger: Ledger) -> None:
        self._read_model = read_model
        self._ledger = ledger

    async def GetStockLevel(
        self, request: pb.GetStockLevelRequest, _context: Context
    ) -> pb.GetStockLevelResponse:
        """Return the stock of one item at one location."""
        check(request)
        level = await self._read_model.level(request.sku, request.location_id)
        if level is None:
            raise CallError(
                error_reason_pb2.ERROR_REASON_LEVEL_NOT_FOUND,
                f"{request.sku} has never been stocked at {request.location_id}",
                metadata={"sku": request.sku, "location_id": request.location_id},
            )
        return pb.GetStockLevelResponse(level=level)

    async def BatchGetStockLevels(
        self, request: pb.BatchGetStockLevelsRequest, _context: Context
    ) -> pb.BatchGetStockLevelsResponse:
        """Return the stock of many items and locations."""
        check(request)
        levels = await self._read_model.levels([(name.sku, name.location_id) for name in request.names])
        return pb.BatchGetStockLevelsResponse(
            levels=[level for level in levels if level is not None],
            missing=[name for name, level in zip(request.names, levels, strict=True) if level is None],
        )

    async def GetAvailability(
        self, request: pb.GetAvailabilityRequest, _context: Context
    ) -> pb.GetAvailabilityResponse:
        """Return the stock of one item over all its locations."""
        check(request)
        levels = await self._read_model.levels_of_item(request.sku)
        if not levels and await self._read_model.item(request.sku) is None:
            raise item_not_found(request.sku)
        return pb.GetAvailabilityResponse(
            sku=request.sku,
            on_hand=sum(level.on_hand for level in levels),
            reserved=sum(level.reserved for level in levels),
            available=sum(level.available for level in levels),
            sellable=sum(level.sellable for level in levels),
            backordered=sum(level.backordered for level in levels),
            in_transit=sum(level.in_transit for level in levels),
            levels=levels,
        )

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
