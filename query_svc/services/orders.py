"""OrderQueryService."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from grpc.aio import ServicerContext

from inventory.query.v1 import order_query_service_pb2 as pb
from inventory.query.v1.order_query_service_pb2_grpc import OrderQueryServiceServicer
from inventory.query.v1.time_range_pb2 import TimeRange
from inventory.type.v1.order_pb2 import Order, OrderState
from inventory.type.v1.reservation_pb2 import Reservation, ReservationState
from inventory.type.v1.transfer_pb2 import Transfer, TransferState
from query_svc.read_model import Span, indexes
from query_svc.services.errors import order_not_found, reservation_not_found, transfer_not_found
from query_svc.services.paging import Indexed, page_of
from query_svc.sources import BeyondSourceError, Source
from serving.errors import CallError
from serving.validation import check

Context = ServicerContext[Any, Any]
Filter = pb.ReservationFilter | pb.OrderFilter | pb.TransferFilter
ListRequest = pb.ListReservationsRequest | pb.ListOrdersRequest | pb.ListTransfersRequest
M = TypeVar("M", Reservation, Order, Transfer)
Read = Callable[[Sequence[str]], Awaitable[Sequence[M | None]]]

# An id tells the millisecond in which it was made: that of create_time, or soon after it.
ID_SLACK_MILLISECONDS = 1000
MAX_ID_MILLISECONDS = 2**48 - 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_SECOND = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)


class OrderQueries(OrderQueryServiceServicer):
    """Serves reservations, orders and transfers from one source."""

    def __init__(self, source: Source) -> None:
        self._source = source

    async def GetReservation(
        self, request: pb.GetReservationRequest, _context: Context
    ) -> pb.GetReservationResponse:
        """Return one reservation."""
        check(request)
        found = await self._one(self._source.reservations, request.reservation_id, reservation_not_found)
        return pb.GetReservationResponse(reservation=found)

    async def ListReservations(
        self, request: pb.ListReservationsRequest, _context: Context
    ) -> pb.ListReservationsResponse:
        """Return a page of the reservations."""
        check(request)
        wanted = request.filter
        pending = set(wanted.states) == {ReservationState.RESERVATION_STATE_PENDING}
        self._reach(None if pending else _earliest(wanted.create_time))
        span = _span(
            wanted.create_time,
            (indexes.RESERVATIONS_BY_REFERENCE, wanted.reference),
            (indexes.RESERVATIONS_BY_SKU, wanted.sku),
            otherwise=indexes.PENDING_RESERVATIONS if pending else indexes.RESERVATIONS_BY_ID,
        )

        def matches(one: Reservation) -> bool:
            return (
                _fits(wanted, one)
                and _is(wanted.channel, one.channel)
                and _among(wanted.sku, {line.sku for line in one.lines})
                and _among(wanted.location_id, {line.location_id for line in one.lines})
            )

        page, token = await self._page(request, span, self._source.reservations, matches)
        return pb.ListReservationsResponse(reservations=page, next_page_token=token)

    async def GetOrder(self, request: pb.GetOrderRequest, _context: Context) -> pb.GetOrderResponse:
        """Return one order."""
        check(request)
        found = await self._one(self._source.orders, request.order_id, order_not_found)
        return pb.GetOrderResponse(order=found)

    async def ListOrders(self, request: pb.ListOrdersRequest, _context: Context) -> pb.ListOrdersResponse:
        """Return a page of the orders."""
        check(request)
        wanted = request.filter
        is_open = wanted.backordered or set(wanted.states) == {OrderState.ORDER_STATE_OPEN}
        self._reach(None if is_open else _earliest(wanted.create_time))
        span = _span(
            wanted.create_time,
            (indexes.ORDERS_BY_REFERENCE, wanted.reference),
            (indexes.ORDERS_BY_SKU, wanted.sku),
            otherwise=indexes.OPEN_ORDERS if is_open else indexes.ORDERS_BY_ID,
        )

        def matches(one: Order) -> bool:
            skus = {line.sku for line in one.lines} | {part.sku for part in one.allocations}
            return (
                _fits(wanted, one)
                and _is(wanted.channel, one.channel)
                and _among(wanted.sku, skus)
                and _among(wanted.location_id, {part.location_id for part in one.allocations})
                and (not wanted.backordered or any(part.backordered for part in one.allocations))
            )

        page, token = await self._page(request, span, self._source.orders, matches)
        return pb.ListOrdersResponse(orders=page, next_page_token=token)

    async def GetTransfer(self, request: pb.GetTransferRequest, _context: Context) -> pb.GetTransferResponse:
        """Return one transfer."""
        check(request)
        found = await self._one(self._source.transfers, request.transfer_id, transfer_not_found)
        return pb.GetTransferResponse(transfer=found)

    async def ListTransfers(
        self, request: pb.ListTransfersRequest, _context: Context
    ) -> pb.ListTransfersResponse:
        """Return a page of the transfers."""
        check(request)
        wanted = request.filter
        in_transit = set(wanted.states) == {TransferState.TRANSFER_STATE_IN_TRANSIT}
        self._reach(None if in_transit else _earliest(wanted.create_time))
        span = _span(
            wanted.create_time,
            (indexes.TRANSFERS_BY_REFERENCE, wanted.reference),
            (indexes.TRANSFERS_BY_SKU, wanted.sku),
            (
                indexes.ARRIVING_TRANSFERS if in_transit else indexes.TRANSFERS_BY_DESTINATION,
                wanted.destination_location_id,
            ),
            (indexes.TRANSFERS_BY_SOURCE, wanted.source_location_id),
            otherwise=indexes.TRANSFERS_IN_TRANSIT if in_transit else indexes.TRANSFERS_BY_ID,
        )

        def matches(one: Transfer) -> bool:
            return (
                _fits(wanted, one)
                and _is(wanted.supplier, one.supplier)
                and _is(wanted.source_location_id, one.source_location_id)
                and _is(wanted.destination_location_id, one.destination_location_id)
                and _among(wanted.sku, {line.sku for line in one.lines})
            )

        page, token = await self._page(request, span, self._source.transfers, matches)
        return pb.ListTransfersResponse(transfers=page, next_page_token=token)

    async def _one(self, read: Read[M], name: str, not_found: Callable[[str], CallError]) -> M:
        (found,) = await read([name.lower()])
        if found is None:
            self._reach(_made_at(name))
            raise not_found(name)
        return found

    async def _page(
        self, request: ListRequest, span: Span, read: Read[M], matches: Callable[[M], bool]
    ) -> tuple[list[M], str]:
        newest_first = request.order_by != pb.CREATION_ORDER_OLDEST_FIRST
        found = Indexed(self._source, span, read, descending=newest_first)
        return await page_of([found], matches, request)

    def _reach(self, instant: datetime | None) -> None:
        """Raise BeyondSourceError where what came into being at an instant may have left the source."""
        if instant is not None and instant < self._source.kept_since:
            raise BeyondSourceError


def _made_at(name: str) -> datetime:
    """Return the instant that an id tells: that of its creation, for any id that has been given."""
    return _instant((UUID(name).int >> 80) // 1000)


def _earliest(created: TimeRange) -> datetime | None:
    """Return the earlier of the bounds that are given, None without any."""
    given = [getattr(created, bound).seconds for bound in ("start", "end") if created.HasField(bound)]
    return _instant(min(given)) if given else None


def _instant(seconds: int) -> datetime:
    """Return the time so long after 1970, or the nearest that there may be."""
    return _EPOCH + timedelta(seconds=min(max(seconds, 0), _LAST_SECOND))


def _span(created: TimeRange, *choices: tuple[str, str], otherwise: str) -> Span:
    """Return the ids to walk: under the first of the texts that is given, in its index."""
    low = _id_at(created.start, 0) if created.HasField("start") else ""
    high = _id_at(created.end, ID_SLACK_MILLISECONDS) if created.HasField("end") else ""
    for index, text in choices:
        if text:
            return Span(index, f"{text}\0", low, high)
    return Span(otherwise, "", low, high)


def _id_at(instant: Timestamp, slack: int) -> str:
    """Return the beginning of the ids made `slack` milliseconds after an instant."""
    milliseconds = instant.seconds * 1000 + instant.nanos // 1_000_000 + slack
    digits = f"{min(max(milliseconds, 0), MAX_ID_MILLISECONDS):012x}"
    return f"{digits[:8]}-{digits[8:]}"


def _fits(wanted: Filter, one: Reservation | Order | Transfer) -> bool:
    """Tell whether one is as every list may ask."""
    return (
        (not wanted.states or one.state in wanted.states)
        and _is(wanted.reference, one.reference)
        and _within(one.create_time, wanted.create_time)
    )


def _within(instant: Timestamp, stretch: TimeRange) -> bool:
    return (not stretch.HasField("start") or _key(stretch.start) <= _key(instant)) and (
        not stretch.HasField("end") or _key(instant) < _key(stretch.end)
    )


def _key(instant: Timestamp) -> tuple[int, int]:
    return instant.seconds, instant.nanos


def _is(wanted: str, found: str) -> bool:
    return not wanted or wanted == found


def _among(wanted: str, found: Collection[str]) -> bool:
    return not wanted or wanted in found
