"""What a shop does to its stock, in the demo's own words: the one shape of both sources of orders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple, Protocol

from inventory.type.v1.stock_pb2 import MovementReason

WAREHOUSE = "WH-1"
STORE = "STORE-1"
DARK_STORE = "DARK-1"
PLACES = (WAREHOUSE, STORE, DARK_STORE)

# The stock of one item at one place: (sku, location_id).
Level = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Item:
    """An item as a source knows it; every field fits the contract of CreateItem."""

    sku: str
    name: str
    category: str = ""
    barcode: str = ""


class Line(NamedTuple):
    """One line of a document: `delta` units of an item arrive at (> 0) or leave (< 0) a place."""

    sku: str
    location_id: str
    delta: int
    reason: MovementReason.ValueType
    time: datetime


@dataclass(frozen=True, slots=True)
class Order:
    """A document of the shop with its lines, at least one: a sale, a return, a write-off or a find."""

    document: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Day:
    """The orders of a day, or of a part of a very long one."""

    date: date
    orders: tuple[Order, ...]


class Source(Protocol):
    """Where orders come from."""

    def days(self) -> Iterator[Day]:
        """Yield the days in order, the same ones every time, holding one day in memory."""
        ...

    def items(self) -> Mapping[str, Item]:
        """Return every item the days speak of, by SKU; complete once `days` has been read to its end."""
        ...
