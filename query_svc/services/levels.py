"""The lists of levels and of lots: where they are walked, and what belongs in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from google.type.date_pb2 import Date

from inventory.query.v1 import stock_query_service_pb2 as pb
from inventory.type.v1.lot_pb2 import Lot
from inventory.type.v1.stock_pb2 import StockLevel
from query_svc.read_model import Span, bucket_of, indexes
from query_svc.services.paging import Indexed, Part
from query_svc.sources import Source

# Items whose levels are read at once: each may have one at every location.
ITEMS_AT_ONCE = 50
# Comes after every location_id.
LAST = "~"


def levels(source: Source, request: pb.ListStockLevelsRequest) -> Sequence[Part[StockLevel]]:
    """Return where levels are walked: in the order asked for, under what least may match."""
    wanted = request.filter
    places = sorted(set(wanted.location_ids))
    if wanted.backordered:
        by_sku, by_location = indexes.BACKORDERED_BY_SKU, indexes.BACKORDERED_BY_LOCATION
    elif wanted.low:
        by_sku, by_location = indexes.LOW_BY_SKU, indexes.LOW_BY_LOCATION
    else:
        by_sku, by_location = "", indexes.LEVELS_BY_LOCATION
    if wanted.sku:  # both orders are by location_id
        if not by_sku:
            return [_OfItem(source, wanted.sku)]
        span = Span(by_sku, f"{wanted.sku}\0", bucket=bucket_of(wanted.sku))
        return [Indexed(source, span, _Named(source, sku=wanted.sku).read)]
    if request.order_by == pb.LEVEL_ORDER_SKU and len(places) != 1:
        return [Indexed(source, Span(by_sku), _Named(source).read)] if by_sku else [_BySku(source)]
    if places:
        return [
            Indexed(source, Span(by_location, f"{place}\0"), _Named(source, location_id=place).read)
            for place in places
        ]
    return [Indexed(source, Span(by_location), _Named(source, turned=True).read)]


def level_matches(wanted: pb.LevelFilter, level: StockLevel) -> bool:
    """Tell whether a level belongs in the list."""
    return (
        (not wanted.sku or wanted.sku == level.sku)
        and (not wanted.location_ids or level.location_id in wanted.location_ids)
        and (not wanted.low or level.low)
        and (not wanted.backordered or level.backordered > 0)
        and (not wanted.in_stock or level.on_hand > 0)
    )


def lots(source: Source, request: pb.ListLotsRequest) -> Sequence[Part[Lot]]:
    """Return where lots are walked: by expiry date, under what least may match."""
    wanted = request.filter
    low = _day(wanted.expires_from) if wanted.HasField("expires_from") else ""
    high = indexes.NO_DATE if wanted.HasField("expires_from") else ""
    if wanted.HasField("expires_before"):
        high = _day(wanted.expires_before)
    if wanted.sku:
        span = Span(indexes.LOTS_BY_SKU, f"{wanted.sku}\0", low, high, bucket_of(wanted.sku))
    elif wanted.location_id:
        span = Span(indexes.LOTS_BY_LOCATION, f"{wanted.location_id}\0", low, high)
    else:
        span = Span(indexes.LOTS_BY_EXPIRY, "", low, high)

    def name(tail: str) -> tuple[str, str, str]:
        _, *parts = tail.split("\0")
        if wanted.sku:
            location_id, lot_id = parts
            return wanted.sku, location_id, lot_id
        if wanted.location_id:
            sku, lot_id = parts
            return sku, wanted.location_id, lot_id
        sku, location_id, lot_id = parts
        return sku, location_id, lot_id

    async def read(tails: list[str]) -> list[Lot | None]:
        return await source.lots([name(tail) for tail in tails])

    return [Indexed(source, span, read)]


def lot_matches(wanted: pb.LotFilter, lot: Lot) -> bool:
    """Tell whether a lot belongs in the list."""
    day = _day(lot.expiry_date) if lot.HasField("expiry_date") else ""
    return (
        lot.on_hand > 0
        and (not wanted.sku or wanted.sku == lot.sku)
        and (not wanted.location_id or wanted.location_id == lot.location_id)
        and (not wanted.HasField("expires_from") or _day(wanted.expires_from) <= day)
        and (not wanted.HasField("expires_before") or "" < day < _day(wanted.expires_before))
    )


@dataclass(frozen=True, slots=True)
class _Named:
    """Reads levels by the tails of an index: a SKU, a location_id, or both with a NUL between them."""

    source: Source
    sku: str = ""
    location_id: str = ""
    turned: bool = False

    async def read(self, tails: list[str]) -> list[StockLevel | None]:
        """Return the levels."""
        return await self.source.levels([self._name(tail) for tail in tails])

    def _name(self, tail: str) -> tuple[str, str]:
        if self.sku:
            return self.sku, tail
        if self.location_id:
            return tail, self.location_id
        first, _, second = tail.partition("\0")
        return (second, first) if self.turned else (first, second)


@dataclass(frozen=True, slots=True)
class _OfItem:
    """The levels of one item, by location_id."""

    source: Source
    sku: str

    async def rows(self, after: str, count: int) -> tuple[list[tuple[str, StockLevel]], bool]:
        """Return the next rows."""
        found = [
            (level.location_id, level)
            for level in await self.source.levels_of_item(self.sku)
            if level.location_id > after
        ]
        return found[:count], len(found) > count


@dataclass(frozen=True, slots=True)
class _BySku:
    """All levels by SKU, then by location_id: those of one item after the other."""

    source: Source

    async def rows(self, after: str, count: int) -> tuple[list[tuple[str, StockLevel | None]], bool]:
        """Return the next rows; each item's end is one, so that there is a place after it."""
        span = Span(indexes.ITEMS_BY_SKU, low=after.partition("\0")[0])
        asked = min(count, ITEMS_AT_ONCE)
        skus = await self.source.tails(span, after=None, count=asked)
        rows: list[tuple[str, StockLevel | None]] = []
        for sku, levels_ in zip(skus, await self.source.levels_of_items(skus), strict=True):
            rows += ((f"{sku}\0{level.location_id}", level) for level in levels_)
            rows.append((f"{sku}\0{LAST}", None))
        return [row for row in rows if row[0] > after], len(skus) == asked


def _day(date: Date) -> str:
    return f"{date.year:04}{date.month:02}{date.day:02}"
