"""Where queries find what there is: what the view and the database both offer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from inventory.type.v1.item_pb2 import Item
from inventory.type.v1.location_pb2 import Location
from inventory.type.v1.lot_pb2 import Lot
from inventory.type.v1.order_pb2 import Order
from inventory.type.v1.reservation_pb2 import Reservation
from inventory.type.v1.stock_pb2 import StockLevel
from inventory.type.v1.transfer_pb2 import Transfer
from query_svc.read_model import Span


class BeyondSourceError(Exception):
    """The source need not hold what was asked for: it was closed too long ago. The database holds it."""


class Source(Protocol):
    """What can be asked of the present state of things; `ReadModel` says what each method returns."""

    @property
    def kept_since(self) -> datetime:
        """The instant since which all that has changed is there; of what is closed, no more need be."""

    async def level(self, sku: str, location_id: str, /) -> StockLevel | None:
        """Return one level."""

    async def levels(self, names: Sequence[tuple[str, str]], /) -> list[StockLevel | None]:
        """Return levels by their names."""

    async def levels_of_item(self, sku: str, /) -> list[StockLevel]:
        """Return the levels of an item."""

    async def levels_of_items(self, skus: Sequence[str], /) -> list[list[StockLevel]]:
        """Return the levels of items."""

    async def availability(self, sku: str, /) -> tuple[Item | None, list[StockLevel]]:
        """Return an item and its levels."""

    async def item(self, sku: str, /) -> Item | None:
        """Return one item."""

    async def items(self, skus: Sequence[str], /) -> list[Item | None]:
        """Return items by their SKUs."""

    async def location(self, location_id: str, /) -> Location | None:
        """Return one location."""

    async def locations(self) -> list[Location]:
        """Return every location."""

    async def reservations(self, ids: Sequence[str], /) -> list[Reservation | None]:
        """Return reservations by their ids."""

    async def orders(self, ids: Sequence[str], /) -> list[Order | None]:
        """Return orders by their ids."""

    async def transfers(self, ids: Sequence[str], /) -> list[Transfer | None]:
        """Return transfers by their ids."""

    async def lots(self, names: Sequence[tuple[str, str, str]], /) -> list[Lot | None]:
        """Return lots by their names."""

    async def tails(
        self, span: Span, /, *, after: str | None, count: int, descending: bool = False
    ) -> list[str]:
        """Return the next tails of a span of an index."""
