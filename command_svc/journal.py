"""The journal record of a transaction: everything that happened in it, for every reader downstream."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from command_svc.domain.transaction import Transaction
from command_svc.messages import (
    extension_message,
    item_message,
    level_message,
    location_message,
    lot_message,
    movement_message,
    order_message,
    reservation_message,
    timestamp,
    transfer_message,
)
from inventory.journal.v1.transaction_pb2 import Transaction as TransactionMessage

MAX_PART_BYTES = 480 * 1024
"""A part stays below the broker's record limit of 512 kB, with room for its envelope."""


def encode(transaction: Transaction) -> list[bytes]:
    """Return the transaction as serialised journal messages, each below `MAX_PART_BYTES`.

    A level follows the movements that led to it, in the same part or a later one.
    """
    parts = list(_parts(transaction))
    for number, part in enumerate(parts, start=1):
        part.part, part.part_count = number, len(parts)
    return [part.SerializeToString() for part in parts]


def _parts(transaction: Transaction) -> Iterator[TransactionMessage]:
    contents = chain(
        (("items", item_message(after)) for _, after in transaction.items.changed()),
        (("locations", location_message(after)) for _, after in transaction.locations.changed()),
        (("movements", movement_message(entry, transaction.id)) for entry in transaction.movements),
        (("reservation_extensions", extension_message(one)) for one in transaction.extensions),
        (("reservations", reservation_message(after)) for _, after in transaction.reservations.changed()),
        (("orders", order_message(after)) for _, after in transaction.orders.changed()),
        (("transfers", transfer_message(after)) for _, after in transaction.transfers.changed()),
        (("lots", lot_message(after)) for _, after in transaction.lots.changed()),
        (("levels", level_message(after)) for _, after in transaction.levels.changed()),
    )
    empty = _empty(transaction).ByteSize() + 12  # its numbers
    part, size = _empty(transaction), empty
    for name, message in contents:
        added = message.ByteSize() + 8  # its tag and length
        if size > empty and size + added > MAX_PART_BYTES:
            yield part
            part, size = _empty(transaction), empty
        getattr(part, name).append(message)
        size += added
    yield part


def _empty(transaction: Transaction) -> TransactionMessage:
    return TransactionMessage(transaction_id=str(transaction.id), record_time=timestamp(transaction.now))
