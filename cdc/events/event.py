"""What an event is, and what all kinds of them are made with."""

from typing import NamedTuple, TypeAlias
from uuid import UUID, uuid5

from google.protobuf.message import Message

from cdc.faults import Fault, FaultKind
from inventory.event.v1.order_event_pb2 import OrderEvent
from inventory.event.v1.reservation_event_pb2 import ReservationEvent
from inventory.event.v1.stock_event_pb2 import StockEvent
from inventory.event.v1.transfer_event_pb2 import TransferEvent
from inventory.journal.v1.transaction_pb2 import Transaction
from inventory.type.v1.stock_pb2 import StockLevel, StockMovement

# Any UUID does, as long as it never changes: ids of events hang on it.
_NAMESPACE = UUID("6f1d2c1e-0b0f-5d6a-9a53-6a2f8f6f7c11")

Envelope: TypeAlias = StockEvent | ReservationEvent | OrderEvent | TransferEvent


class UnknownKindError(Fault):
    """An entry of the ledger is of a kind that this version knows no event for."""

    def __init__(self, kind: int) -> None:
        super().__init__(f"an entry is of the kind {kind}", FaultKind.UNKNOWN_TYPE)


class Event(NamedTuple):
    """A message and the key of its record."""

    key: str
    message: Envelope

    @property
    def type(self) -> str:
        """The name of what happened, as in "StockAdded"."""
        member = self.message.WhichOneof("event")
        happened: Message = getattr(self.message, str(member))
        return happened.DESCRIPTOR.name


def event_id(transaction: Transaction, *names: object) -> str:
    """Return the id of the event that the names tell from all others of its transaction."""
    return str(uuid5(_NAMESPACE, "/".join(map(str, (transaction.transaction_id, *names)))))


def levels_after(transaction: Transaction) -> list[StockLevel | None]:
    """Return the level after each of the movements, None where the transaction does not tell it.

    Policies and what follows from them are those at the end of the transaction.
    """
    last = {(level.sku, level.location_id): level for level in transaction.levels}
    return [_after(entry, last.get((entry.sku, entry.location_id))) for entry in transaction.movements]


def _after(entry: StockMovement, last: StockLevel | None) -> StockLevel | None:
    if last is None or last.version <= entry.version:
        return last if last and last.version == entry.version else None
    result = entry.result
    available = result.on_hand - result.reserved
    return StockLevel(
        sku=entry.sku,
        location_id=entry.location_id,
        on_hand=result.on_hand,
        reserved=result.reserved,
        available=available,
        safety_stock=last.safety_stock,
        sellable=max(0, available - last.safety_stock),
        backordered=result.backordered,
        backorder_limit=last.backorder_limit,
        in_transit=result.in_transit,
        reorder_point=last.reorder_point,
        low=available + result.in_transit - result.backordered <= last.reorder_point,
        version=entry.version,
        update_time=entry.record_time,
        lot_tracked=last.lot_tracked,
    )
