"""The pure heart of the projector: from records of the journal to changes of the read model."""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from google.protobuf.message import DecodeError

from cdc.faults import Fault, FaultKind
from inventory.journal.v1.transaction_pb2 import Transaction
from inventory.query.v1.stock_query_service_pb2 import StockChange
from inventory.type.v1.stock_pb2 import StockLevel
from query_svc.read_model import Changes, Commits

Name = tuple[str, ...]

_NAMES: Mapping[str, Callable[[Any], Name]] = {
    "levels": lambda level: (level.sku, level.location_id),
    "items": lambda item: (item.sku,),
    "locations": lambda location: (location.location_id,),
    "lots": lambda lot: (lot.sku, lot.location_id, lot.lot_id),
    "reservations": lambda reservation: (reservation.reservation_id,),
    "orders": lambda order: (order.order_id,),
    "transfers": lambda transfer: (transfer.transfer_id,),
}
"""What a transaction tells of and what names each: the fields are those of Changes too."""


_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


FRAME_BYTES = 5
MAX_RECORD_BYTES = 1024 * 1024
"""What the journal's topic takes."""


class UndecodableError(Fault):
    """The value is not a transaction of the journal; the message says why."""


@dataclass(frozen=True, slots=True)
class Projection:
    """What a run of records changes.

    `changes` and `commits` cover the first `decoded` records; `told` is every change of a level in them, in
    order, each with the index of its record; `fault` says why the record after them cannot be decoded, and is
    None when all were.
    """

    changes: Changes
    commits: Commits
    told: Sequence[tuple[int, StockChange]]
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
    return Projection(fold(transactions), commits(transactions), told(transactions), len(transactions), fault)


def decode(value: bytes | None) -> Transaction:
    """Return the transaction, or a part of it, that a record carries. Raise UndecodableError.

    Nearly any bytes parse as some message, so what every transaction must say is checked too.
    """
    transaction = _parse(value)
    if not _ID.fullmatch(transaction.transaction_id):
        raise UndecodableError(
            f"it names no transaction_id, so it is something else: {transaction.transaction_id!r}",
            FaultKind.UNKNOWN_TYPE,
        )
    for kind, name in _NAMES.items():
        for thing in getattr(transaction, kind):
            if not (all(name(thing)) and thing.version > 0):
                raise UndecodableError(f"one of its {kind} is without a name or a version: {name(thing)!r}")
    return transaction


def _parse(value: bytes | None) -> Transaction:
    if value is None:
        raise UndecodableError("it has no value")
    if len(value) > MAX_RECORD_BYTES:
        raise UndecodableError(f"{len(value)} bytes, more than {MAX_RECORD_BYTES}", FaultKind.OVERSIZED)
    if value[:1] == b"\0" and len(value) > FRAME_BYTES:
        # No message begins with a zero byte; what a registry's serialiser writes does.
        number = int.from_bytes(value[1:FRAME_BYTES], "big")
        raise UndecodableError(
            f"it is framed with the schema id {number}, and the journal has none", FaultKind.UNKNOWN_SCHEMA
        )
    try:
        return Transaction.FromString(value)
    except DecodeError as error:
        raise UndecodableError(f"it is no inventory.journal.v1.Transaction: {error}") from error


def fold(transactions: Sequence[Transaction]) -> Changes:
    """Return each thing that the transactions tell of once, at its newest version.

    The order of the transactions and their repetition do not matter.
    """
    newest: dict[str, Any] = {kind: _newest(transactions, kind, name) for kind, name in _NAMES.items()}
    return Changes(**newest, follows=_follows(transactions, newest["levels"]))


def _follows(
    transactions: Sequence[Transaction], levels: Collection[StockLevel]
) -> Mapping[tuple[str, str], int]:
    """Return the version that each level's changes follow: the entries that led to it are dense.

    A level whose last entry came with an earlier run of records is left out.
    """
    entries: dict[tuple[str, str], set[int]] = defaultdict(set)
    for transaction in transactions:
        for entry in transaction.movements:
            entries[entry.sku, entry.location_id].add(entry.version)
    follows = {}
    for level in levels:
        name, version = (level.sku, level.location_id), level.version
        while version in entries[name]:
            version -= 1
        if version < level.version:
            follows[name] = version
    return follows


def commits(transactions: Sequence[Transaction]) -> Commits:
    """Return the transactions whose last part is among these: the parts before it have come before it."""
    whole = [transaction for transaction in transactions if transaction.part == transaction.part_count]
    return Commits(
        [UUID(transaction.transaction_id).bytes for transaction in whole],
        max((transaction.record_time.ToMilliseconds() for transaction in whole), default=0),
    )


def _newest(transactions: Sequence[Transaction], kind: str, name: Callable[[Any], Name]) -> Collection[Any]:
    newest: dict[Name, Any] = {}
    for transaction in transactions:
        for thing in getattr(transaction, kind):
            key = name(thing)
            if key not in newest or newest[key].version < thing.version:
                newest[key] = thing
    return newest.values()


def told(transactions: Sequence[Transaction]) -> list[tuple[int, StockChange]]:
    """Return every change of a level, in order, with the index of its transaction and the level it leaves.

    The levels of a transaction may stand in a later part than the entries that led to them.
    """
    levels = {
        (one.transaction_id, level.sku, level.location_id, level.version): level
        for one in transactions
        for level in one.levels
    }
    return [
        (
            index,
            StockChange(
                movement=entry,
                level=levels.get((one.transaction_id, entry.sku, entry.location_id, entry.version)),
            ),
        )
        for index, one in enumerate(transactions)
        for entry in one.movements
    ]
