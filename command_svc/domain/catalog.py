"""Items and locations, and the commands that keep them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from command_svc.domain.item import ARCHIVED, Item
from command_svc.domain.location import INACTIVE, Location
from command_svc.domain.refusals import (
    InvalidComponentError,
    InvalidParentError,
    ItemAlreadyExistsError,
    ItemArchivedError,
    ItemInUseError,
    ItemNotFoundError,
    LocationAlreadyExistsError,
    LocationInactiveError,
    LocationNotFoundError,
    VersionMismatchError,
)

if TYPE_CHECKING:
    from command_svc.domain.transaction import Transaction

GTIN_LENGTHS = (8, 12, 13, 14)


@dataclass(frozen=True, slots=True)
class CreateItem:
    """Create `item`; its times are set when it is decided."""

    item: Item


@dataclass(frozen=True, slots=True)
class UpdateItem:
    """Set the `changes`, fields of Item by their names; never one that its facts come from."""

    sku: str
    changes: Mapping[str, Any]
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class ArchiveItem:
    """Let an item take no new stock or promises any more."""

    sku: str
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class CreateLocation:
    """Create `location`; its times are set when it is decided."""

    location: Location


@dataclass(frozen=True, slots=True)
class UpdateLocation:
    """Set the `changes`, fields of Location by their names; never its id or state."""

    location_id: str
    changes: Mapping[str, Any]
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class DeactivateLocation:
    """Let a location take no new stock or promises any more; what is there can leave."""

    location_id: str
    expected_version: int | None = None


def create_item(transaction: Transaction, command: CreateItem) -> Item:
    """Return the new item; raises ItemAlreadyExistsError, InvalidParentError and InvalidComponentError."""
    item = command.item
    if item.sku in transaction.facts:
        raise ItemAlreadyExistsError(item.sku)
    if item.parent_sku:
        parent = transaction.facts.get(item.parent_sku)
        if parent is None:
            raise InvalidParentError(item.sku, item.parent_sku, "there is no such item")
        if parent.parent_sku:
            raise InvalidParentError(item.sku, item.parent_sku, "it is a variant itself")
    for sku, _ in item.components:
        component = transaction.facts.get(sku)
        if component is None:
            raise InvalidComponentError(item.sku, sku, "there is no such item")
        if not component.counted:
            raise InvalidComponentError(item.sku, sku, f"it is {component.kind.lower()} and has no stock")
        if sku in transaction.archived:
            raise InvalidComponentError(item.sku, sku, "it is archived")
    created = replace(item, create_time=transaction.now, update_time=transaction.now)
    transaction.put_item(created)
    return created


def update_item(transaction: Transaction, command: UpdateItem) -> Item:
    """Return the item after it; raises ItemNotFoundError, ItemArchivedError and VersionMismatchError."""
    item = _item(transaction, command.sku, command.expected_version)
    return _put_item(transaction, replace(item, **command.changes))


def archive_item(transaction: Transaction, command: ArchiveItem) -> Item:
    """Return the archived item.

    Raises ItemNotFoundError, ItemArchivedError, VersionMismatchError, and ItemInUseError while stock or
    promises remain at any location. All levels of the item must have been read.
    """
    item = _item(transaction, command.sku, command.expected_version)
    left: Counter[str] = Counter()
    for key, level in transaction.levels.items():
        if key.sku == item.sku:
            for name in ("on_hand", "reserved", "backordered", "in_transit"):
                left[name] += getattr(level, name)
    if any(left.values()):
        raise ItemInUseError(item.sku, left)
    return _put_item(transaction, replace(item, state=ARCHIVED))


def create_location(transaction: Transaction, command: CreateLocation) -> Location:
    """Return the new location; raises LocationAlreadyExistsError."""
    location = command.location
    if location.location_id in transaction.location_ids:
        raise LocationAlreadyExistsError(location.location_id)
    created = replace(location, create_time=transaction.now, update_time=transaction.now)
    transaction.put_location(created)
    return created


def update_location(transaction: Transaction, command: UpdateLocation) -> Location:
    """Return the location after it; raises LocationNotFoundError and VersionMismatchError."""
    location = _location(transaction, command.location_id, command.expected_version)
    return _put_location(transaction, replace(location, **command.changes))


def deactivate_location(transaction: Transaction, command: DeactivateLocation) -> Location:
    """Return the location after it.

    Raises LocationNotFoundError, VersionMismatchError and LocationInactiveError.
    """
    location = _location(transaction, command.location_id, command.expected_version)
    if not location.is_active:
        raise LocationInactiveError(location.location_id)
    return _put_location(transaction, replace(location, state=INACTIVE))


def is_gtin(barcode: str) -> bool:
    """Tell whether `barcode` is a GTIN-8, -12, -13 or -14 whose check digit is right (GS1 mod 10)."""
    if len(barcode) not in GTIN_LENGTHS or not (barcode.isascii() and barcode.isdigit()):
        return False
    weighted = sum(int(digit) * (3, 1)[place % 2] for place, digit in enumerate(reversed(barcode[:-1])))
    return (weighted + int(barcode[-1])) % 10 == 0


def _item(transaction: Transaction, sku: str, expected_version: int | None) -> Item:
    item = transaction.items.get(sku)
    if item is None:
        raise ItemNotFoundError(sku)
    if item.state == ARCHIVED:
        raise ItemArchivedError(sku)
    if expected_version not in {None, item.version}:
        raise VersionMismatchError(f"item {sku}", expected_version or 0, item.version, sku=sku)
    return item


def _put_item(transaction: Transaction, item: Item) -> Item:
    changed = replace(item, version=item.version + 1, update_time=transaction.now)
    transaction.put_item(changed)
    return changed


def _location(transaction: Transaction, location_id: str, expected_version: int | None) -> Location:
    location = transaction.locations.get(location_id)
    if location is None:
        raise LocationNotFoundError(location_id)
    if expected_version not in {None, location.version}:
        raise VersionMismatchError(
            f"location {location_id}", expected_version or 0, location.version, location_id=location_id
        )
    return location


def _put_location(transaction: Transaction, location: Location) -> Location:
    changed = replace(location, version=location.version + 1, update_time=transaction.now)
    transaction.put_location(changed)
    return changed
