"""The present state of things from the database: what the view shows, from one consistent snapshot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from inventory.type.v1.item_pb2 import Item
from inventory.type.v1.location_pb2 import Location
from inventory.type.v1.lot_pb2 import Lot
from inventory.type.v1.order_pb2 import Order
from inventory.type.v1.reservation_pb2 import Reservation
from inventory.type.v1.stock_pb2 import StockLevel
from inventory.type.v1.transfer_pb2 import Transfer
from query_svc import rows
from query_svc.database import Snapshot
from query_svc.index_sql import statement
from query_svc.read_model import Span

_LEVELS: Final = """
SELECT stock_levels.* FROM stock_levels
JOIN unnest(%s::text[], %s::text[]) AS wanted (sku, location_id) USING (sku, location_id)
"""
_LEVELS_OF_ITEMS: Final = """
SELECT * FROM stock_levels WHERE sku = ANY(%s) ORDER BY sku, location_id COLLATE "C"
"""
_LOTS: Final = """
SELECT lots.* FROM lots
JOIN unnest(%s::text[], %s::text[], %s::text[]) AS wanted (sku, location_id, lot_id)
USING (sku, location_id, lot_id)
"""
_ITEMS: Final = "SELECT * FROM items WHERE sku = ANY(%s)"
_LOCATION: Final = "SELECT * FROM locations WHERE location_id = %s"
_LOCATIONS: Final = 'SELECT * FROM locations ORDER BY location_id COLLATE "C"'
_RESERVATIONS: Final = "SELECT * FROM reservations WHERE reservation_id = ANY(%s::uuid[])"
_ORDERS: Final = "SELECT * FROM orders WHERE order_id = ANY(%s::uuid[])"
_TRANSFERS: Final = "SELECT * FROM transfers WHERE transfer_id = ANY(%s::uuid[])"


class DatabaseSource:
    """Answers as `ReadModel` does, from a snapshot; its methods promise what those of that class do."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    @property
    def kept_since(self) -> datetime:
        """The instant since which everything is there: the database keeps all."""
        return datetime.min.replace(tzinfo=UTC)

    async def level(self, sku: str, location_id: str) -> StockLevel | None:
        """Return the level of an item at a location, None when it has never been stocked there."""
        (level,) = await self.levels([(sku, location_id)])
        return level

    async def levels(self, names: Sequence[tuple[str, str]]) -> list[StockLevel | None]:
        """Return levels by (sku, location_id), in that order, None where there is none."""
        columns = [[name[place] for name in names] for place in range(2)]
        found = [rows.level_of(row) for row in await self._snapshot.rows(_LEVELS, columns)]
        by_name = {(level.sku, level.location_id): level for level in found}
        return [by_name.get(name) for name in names]

    async def levels_of_item(self, sku: str) -> list[StockLevel]:
        """Return the levels of an item over all its locations, by location_id."""
        (levels,) = await self.levels_of_items([sku])
        return levels

    async def levels_of_items(self, skus: Sequence[str]) -> list[list[StockLevel]]:
        """Return the levels of items, each item's by location_id."""
        by_sku: dict[str, list[StockLevel]] = defaultdict(list)
        for row in await self._snapshot.rows(_LEVELS_OF_ITEMS, [list(skus)]):
            by_sku[row["sku"]].append(rows.level_of(row))
        return [by_sku[sku] for sku in skus]

    async def availability(self, sku: str) -> tuple[Item | None, list[StockLevel]]:
        """Return an item, None when there is none, and its levels as `levels_of_item` does."""
        return await self.item(sku), await self.levels_of_item(sku)

    async def item(self, sku: str) -> Item | None:
        """Return an item, None when there is none."""
        (item,) = await self.items([sku])
        return item

    async def items(self, skus: Sequence[str]) -> list[Item | None]:
        """Return items by their SKUs, in that order, None where there is none."""
        found = [rows.item_of(row) for row in await self._snapshot.rows(_ITEMS, [list(skus)])]
        by_sku = {item.sku: item for item in found}
        return [by_sku.get(sku) for sku in skus]

    async def location(self, location_id: str) -> Location | None:
        """Return a location, None when there is none."""
        for row in await self._snapshot.rows(_LOCATION, [location_id]):
            return rows.location_of(row)
        return None

    async def locations(self) -> list[Location]:
        """Return every location, by location_id."""
        return [rows.location_of(row) for row in await self._snapshot.rows(_LOCATIONS)]

    async def reservations(self, ids: Sequence[str]) -> list[Reservation | None]:
        """Return reservations by their ids, in that order, None where there is none."""
        found = [rows.reservation_of(row) for row in await self._snapshot.rows(_RESERVATIONS, [list(ids)])]
        by_id = {reservation.reservation_id: reservation for reservation in found}
        return [by_id.get(name) for name in ids]

    async def orders(self, ids: Sequence[str]) -> list[Order | None]:
        """Return orders by their ids, in that order, None where there is none."""
        found = [rows.order_of(row) for row in await self._snapshot.rows(_ORDERS, [list(ids)])]
        by_id = {order.order_id: order for order in found}
        return [by_id.get(name) for name in ids]

    async def transfers(self, ids: Sequence[str]) -> list[Transfer | None]:
        """Return transfers by their ids, in that order, None where there is none."""
        found = [rows.transfer_of(row) for row in await self._snapshot.rows(_TRANSFERS, [list(ids)])]
        by_id = {transfer.transfer_id: transfer for transfer in found}
        return [by_id.get(name) for name in ids]

    async def lots(self, names: Sequence[tuple[str, str, str]]) -> list[Lot | None]:
        """Return lots by (sku, location_id, lot_id), in that order, None where there is none."""
        columns = [[name[place] for name in names] for place in range(3)]
        found = [rows.lot_of(row) for row in await self._snapshot.rows(_LOTS, columns)]
        by_name = {(lot.sku, lot.location_id, lot.lot_id): lot for lot in found}
        return [by_name.get(name) for name in names]

    async def tails(
        self, span: Span, *, after: str | None, count: int, descending: bool = False
    ) -> list[str]:
        """Return what follows the span's prefix in the next `count` members after a tail."""
        query = statement(span, after=after, count=count, descending=descending)
        return ["\0".join(parts) for parts in await self._snapshot.values(*query)]
