"""Items and locations, and the commands that create them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from command_svc.domain.levels import NEVER

if TYPE_CHECKING:
    from command_svc.domain.transaction import Transaction

PHYSICAL = "PHYSICAL"
ACTIVE = "ACTIVE"
GTIN_LENGTHS = (8, 12, 13, 14)


@dataclass(frozen=True, slots=True)
class Item:
    """Something that is stocked or sold; `version` is 0 until it is created."""

    sku: str
    name: str
    description: str = ""
    kind: str = PHYSICAL
    unit_of_measure: str = "each"
    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    barcodes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    state: str = ACTIVE
    version: int = 1
    create_time: datetime = NEVER
    update_time: datetime = NEVER


@dataclass(frozen=True, slots=True)
class Location:
    """A place that holds stock. `coordinates` are latitude and longitude in degrees."""

    location_id: str
    name: str
    kind: str
    region_code: str = ""
    postal_code: str = ""
    locality: str = ""
    address_lines: tuple[str, ...] = ()
    coordinates: tuple[float, float] | None = None
    time_zone: str = "UTC"
    priority: int = 0
    ships_online_orders: bool = False
    state: str = ACTIVE
    version: int = 1
    create_time: datetime = NEVER
    update_time: datetime = NEVER


@dataclass(frozen=True, slots=True)
class CreateItem:
    """Create `item`; its times are set when it is decided."""

    item: Item


@dataclass(frozen=True, slots=True)
class CreateLocation:
    """Create `location`; its times are set when it is decided."""

    location: Location


def create_item(transaction: Transaction, command: CreateItem) -> Item:
    """Return the new item; raises ItemAlreadyExistsError."""
    return transaction.add_item(command.item)


def create_location(transaction: Transaction, command: CreateLocation) -> Location:
    """Return the new location; raises LocationAlreadyExistsError."""
    return transaction.add_location(command.location)


def is_gtin(barcode: str) -> bool:
    """Tell whether `barcode` is a GTIN-8, -12, -13 or -14 whose check digit is right (GS1 mod 10)."""
    if len(barcode) not in GTIN_LENGTHS or not (barcode.isascii() and barcode.isdigit()):
        return False
    weighted = sum(int(digit) * (3, 1)[place % 2] for place, digit in enumerate(reversed(barcode[:-1])))
    return (weighted + int(barcode[-1])) % 10 == 0
