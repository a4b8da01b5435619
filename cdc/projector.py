"""The pure heart of the projector: from records of the journal to changes of the read model."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from inventory.journal.v1.transaction_pb2 import Transaction
from inventory.type.v1.item_pb2 import Item
from inventory.type.v1.location_pb2 import Location
from inventory.type.v1.stock_pb2 import StockLevel
from query_svc.read_model import Changes


class UndecodableError(Exception):
    """The value is not a transaction of the journal; the message says why."""


@dataclass(frozen=True, slots=True)
class Projection:
    """What a run of records changes.

    `changes` covers the first `decoded` records; `fault` says why the record after them cannot be
    decoded, and is None when all were.
    """

    changes: Changes
    decoded: int
    fault: UndecodableError | None


def project(values: Sequence[bytes | None]) -> Projection:
    """Return what the records' values change, up to the first that cannot be decoded."""
    transactions: list[Transaction] = []
    fault = None
    for value in values:
        try:
            transactions.append(decode(value))
        except UndecodableError as error:
            fault = error
            break
    return Projection(fold(transactions), len(transactions), fault)


def decode(value: bytes | None) -> Transaction:
    """Return the transaction, or a part of it, that a record carries. Raise UndecodableError.

    Nearly any bytes parse as some message, so what every transaction must say is checked too.
    """
    if value is None:
        raise UndecodableError("it has no value")
    try:
        transaction = Transaction.FromString(value)
    except DecodeError as error:
        raise UndecodableError(f"it is no inventory.journal.v1.Transaction: {error}") from error
    if not transaction.transaction_id:
        raise UndecodableError("it names no transaction_id")
    for level in transaction.levels:
        if not (level.sku and level.location_id and level.version > 0):
            raise UndecodableError(f"a level without name or version: {level.sku!r}, {level.location_id!r}")
    for item in transaction.items:
        if not (item.sku and item.version > 0):
            raise UndecodableError(f"an item without SKU or version: {item.sku!r}")
    for location in transaction.locations:
        if not (location.location_id and location.version > 0):
            raise UndecodableError(f"a location without id or version: {location.location_id!r}")
    return transaction


def fold(transactions: Iterable[Transaction]) -> Changes:
    """Return each level, item and location of the transactions once, at its newest version.

    The order of the transactions and their repetition do not matter.
    """
    levels: dict[tuple[str, str], StockLevel] = {}
    items: dict[str, Item] = {}
    locations: dict[str, Location] = {}
    for transaction in transactions:
        for level in transaction.levels:
            name = (level.sku, level.location_id)
            if name not in levels or levels[name].version < level.version:
                levels[name] = level
        for item in transaction.items:
            if item.sku not in items or items[item.sku].version < item.version:
                items[item.sku] = item
        for location in transaction.locations:
            location_id = location.location_id
            if location_id not in locations or locations[location_id].version < location.version:
                locations[location_id] = location
    return Changes(levels.values(), items.values(), locations.values())
