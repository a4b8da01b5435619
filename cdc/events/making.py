"""All events of a transaction."""

from collections.abc import Iterator

from cdc.events.event import Event, levels_after
from cdc.events.promises import ORDERS, RESERVATIONS, TRANSFERS, promise_events
from cdc.events.stock import stock_events
from inventory.journal.v1.transaction_pb2 import Transaction


def make(transaction: Transaction, *, whole: bool = True) -> Iterator[Event]:
    """Yield the events of a transaction, those of each key in the order in which they happened.

    `whole` says whether all its parts are there. Raise UnknownKindError.
    """
    levels = levels_after(transaction)
    yield from stock_events(transaction, levels)
    for kind, things in (
        (RESERVATIONS, transaction.reservations),
        (ORDERS, transaction.orders),
        (TRANSFERS, transaction.transfers),
    ):
        yield from promise_events(transaction, levels, kind, things, whole=whole)
