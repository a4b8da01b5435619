"""Events of levels: one for each entry of the ledger."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from google.protobuf.message import Message

from cdc.events.event import Event, UnknownKindError, event_id
from inventory.event.v1 import stock_event_pb2 as pb
from inventory.journal.v1.transaction_pb2 import Transaction
from inventory.type.v1 import stock_pb2 as stock
from inventory.type.v1.stock_pb2 import StockLevel, StockMovement

Make = Callable[[StockMovement], Message]


def _reserved(entry: StockMovement) -> pb.StockReserved:
    if entry.reason == stock.MOVEMENT_REASON_ORDER:
        return pb.StockReserved(quantity=entry.delta.reserved, order_id=entry.reference)
    return pb.StockReserved(quantity=entry.delta.reserved, reservation_id=entry.reference)


def _released(entry: StockMovement) -> pb.StockReleased:
    if entry.reason == stock.MOVEMENT_REASON_ORDER:
        return pb.StockReleased(quantity=-entry.delta.reserved, order_id=entry.reference)
    expired = entry.kind == stock.MOVEMENT_KIND_EXPIRE
    return pb.StockReleased(quantity=-entry.delta.reserved, reservation_id=entry.reference, expired=expired)


def _written_off(entry: StockMovement) -> pb.StockWrittenOff:
    if entry.delta.in_transit:
        return pb.StockWrittenOff(quantity=-entry.delta.in_transit, transfer_id=entry.reference)
    return pb.StockWrittenOff(quantity=-entry.delta.on_hand, order_id=entry.reference)


_MAKE: Mapping[stock.MovementKind.ValueType, tuple[str, Make]] = MappingProxyType(
    {
        stock.MOVEMENT_KIND_ADD: (
            "stock_added",
            lambda entry: pb.StockAdded(quantity=entry.delta.on_hand),
        ),
        stock.MOVEMENT_KIND_REMOVE: (
            "stock_removed",
            lambda entry: pb.StockRemoved(quantity=-entry.delta.on_hand),
        ),
        stock.MOVEMENT_KIND_ADJUST: (
            "stock_adjusted",
            lambda entry: pb.StockAdjusted(difference=entry.delta.on_hand),
        ),
        stock.MOVEMENT_KIND_MOVE_OUT: (
            "stock_moved",
            lambda entry: pb.StockMoved(quantity=-entry.delta.on_hand, from_location_id=entry.location_id),
        ),
        stock.MOVEMENT_KIND_MOVE_IN: (
            "stock_moved",
            lambda entry: pb.StockMoved(quantity=entry.delta.on_hand, to_location_id=entry.location_id),
        ),
        stock.MOVEMENT_KIND_RESERVE: ("stock_reserved", _reserved),
        stock.MOVEMENT_KIND_CONFIRM: (
            "stock_confirmed",
            lambda entry: pb.StockConfirmed(quantity=-entry.delta.reserved, reservation_id=entry.reference),
        ),
        stock.MOVEMENT_KIND_RELEASE: ("stock_released", _released),
        stock.MOVEMENT_KIND_EXPIRE: ("stock_released", _released),
        stock.MOVEMENT_KIND_SET_POLICY: ("stock_policy_set", lambda _: pb.StockPolicySet()),
        stock.MOVEMENT_KIND_SHIP: (
            "stock_shipped",
            lambda entry: pb.StockShipped(quantity=-entry.delta.on_hand, order_id=entry.reference),
        ),
        stock.MOVEMENT_KIND_RETURN: (
            "stock_returned",
            lambda entry: pb.StockReturned(quantity=entry.delta.on_hand, order_id=entry.reference),
        ),
        stock.MOVEMENT_KIND_WRITE_OFF: ("stock_written_off", _written_off),
        stock.MOVEMENT_KIND_DISPATCH: (
            "stock_dispatched",
            lambda entry: pb.StockDispatched(quantity=-entry.delta.on_hand, transfer_id=entry.reference),
        ),
        stock.MOVEMENT_KIND_EXPECT: (
            "stock_expected",
            lambda entry: pb.StockExpected(quantity=entry.delta.in_transit, transfer_id=entry.reference),
        ),
        stock.MOVEMENT_KIND_RECEIVE: (
            "stock_received",
            lambda entry: pb.StockReceived(quantity=entry.delta.on_hand, transfer_id=entry.reference),
        ),
        stock.MOVEMENT_KIND_CANCEL_TRANSFER: (
            "stock_recalled",
            lambda entry: pb.StockRecalled(
                quantity=entry.delta.on_hand or -entry.delta.in_transit, transfer_id=entry.reference
            ),
        ),
        stock.MOVEMENT_KIND_BACKORDER: (
            "stock_backordered",
            lambda entry: pb.StockBackordered(quantity=entry.delta.backordered, order_id=entry.reference),
        ),
        stock.MOVEMENT_KIND_FILL_BACKORDER: (
            "backorder_filled",
            lambda entry: pb.BackorderFilled(quantity=entry.delta.reserved, order_id=entry.reference),
        ),
        stock.MOVEMENT_KIND_CANCEL_BACKORDER: (
            "backorder_cancelled",
            lambda entry: pb.BackorderCancelled(quantity=-entry.delta.backordered, order_id=entry.reference),
        ),
    }
)


def stock_events(transaction: Transaction, levels: Sequence[StockLevel | None]) -> Iterator[Event]:
    """Yield the event of each movement; `levels` are those after the movements. Raise UnknownKindError."""
    ends = _ends(transaction.movements)
    for index, (entry, level) in enumerate(zip(transaction.movements, levels, strict=True)):
        if entry.kind not in _MAKE:
            raise UnknownKindError(entry.kind)
        name, make = _MAKE[entry.kind]
        content = make(entry)
        if isinstance(content, pb.StockMoved) and index in ends:
            content.MergeFrom(ends[index])
        key = f"{entry.sku}@{entry.location_id}"
        message = pb.StockEvent(
            event_id=event_id(transaction, key, entry.version),
            transaction_id=transaction.transaction_id,
            record_time=transaction.record_time,
            entry=entry,
            level=level,
        )
        getattr(message, name).CopyFrom(content)
        yield Event(key, message)


def _ends(movements: Sequence[StockMovement]) -> dict[int, pb.StockMoved]:
    """Return, by the index of each half of a move, its other end.

    A move's leaving entries stand together before its arriving ones, one of each for a lot.
    """
    ends: dict[int, pb.StockMoved] = {}
    leaving: dict[tuple[str, str], list[int]] = {}
    source: dict[tuple[str, str], str] = {}
    for index, entry in enumerate(movements):
        move = (entry.sku, entry.request_id)
        if entry.kind == stock.MOVEMENT_KIND_MOVE_OUT:
            leaving.setdefault(move, []).append(index)
            source[move] = entry.location_id
        elif entry.kind == stock.MOVEMENT_KIND_MOVE_IN and move in source:
            ends[index] = pb.StockMoved(from_location_id=source[move])
            for out in leaving.pop(move, ()):
                ends[out] = pb.StockMoved(to_location_id=entry.location_id)
    return ends
