"""Events of reservations, orders and transfers: one for what one command did to one of them."""

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from cdc.events.event import Envelope, Event, event_id
from inventory.event.v1.order_event_pb2 import OrderEvent
from inventory.event.v1.reservation_event_pb2 import ReservationEvent
from inventory.event.v1.transfer_event_pb2 import TransferEvent
from inventory.event.v1.units_pb2 import EventUnits
from inventory.journal.v1.transaction_pb2 import ReservationExtension, Transaction
from inventory.type.v1 import stock_pb2 as stock
from inventory.type.v1.order_pb2 import Order
from inventory.type.v1.reservation_pb2 import Reservation
from inventory.type.v1.stock_pb2 import StockLevel, StockMovement
from inventory.type.v1.transfer_pb2 import Transfer

Place = tuple[str, str]
"""The name of an event, and of the list in it where the units of an entry belong."""


@dataclass(frozen=True)
class Kind:
    """A kind of thing: its envelope, and what the kinds of entries that refer to it say happened."""

    envelope: type[ReservationEvent | OrderEvent | TransferEvent]
    member: str
    places: Mapping[stock.MovementKind.ValueType, Place]
    # What happened when it is new without an entry; nothing when empty.
    made: str = ""
    # Likewise when it has changed, and nothing tells why: so it was before extensions were told.
    changed: str = ""


EXTENDED = "reservation_extended"

RESERVATIONS = Kind(
    ReservationEvent,
    "reservation",
    MappingProxyType(
        {
            stock.MOVEMENT_KIND_RESERVE: ("reservation_made", "units"),
            stock.MOVEMENT_KIND_CONFIRM: ("reservation_confirmed", "units"),
            stock.MOVEMENT_KIND_RELEASE: ("reservation_cancelled", "units"),
            stock.MOVEMENT_KIND_EXPIRE: ("reservation_expired", "units"),
        }
    ),
    changed=EXTENDED,
)

ORDERS = Kind(
    OrderEvent,
    "order",
    MappingProxyType(
        {
            stock.MOVEMENT_KIND_RESERVE: ("order_placed", "reserved"),
            stock.MOVEMENT_KIND_BACKORDER: ("order_placed", "backordered"),
            stock.MOVEMENT_KIND_SHIP: ("order_fulfilled", "units"),
            stock.MOVEMENT_KIND_RELEASE: ("order_cancelled", "released"),
            stock.MOVEMENT_KIND_CANCEL_BACKORDER: ("order_cancelled", "backordered"),
            stock.MOVEMENT_KIND_RETURN: ("order_returned", "units"),
            stock.MOVEMENT_KIND_WRITE_OFF: ("order_returned", "written_off"),
            stock.MOVEMENT_KIND_FILL_BACKORDER: ("order_backorder_filled", "units"),
        }
    ),
    # Of goods that are not counted alone.
    made="order_placed",
)

TRANSFERS = Kind(
    TransferEvent,
    "transfer",
    MappingProxyType(
        {
            stock.MOVEMENT_KIND_DISPATCH: ("transfer_dispatched", "dispatched"),
            stock.MOVEMENT_KIND_EXPECT: ("transfer_dispatched", "expected"),
            stock.MOVEMENT_KIND_RECEIVE: ("transfer_received", "units"),
            stock.MOVEMENT_KIND_WRITE_OFF: ("transfer_received", "written_off"),
            stock.MOVEMENT_KIND_CANCEL_TRANSFER: ("transfer_cancelled", "units"),
        }
    ),
)


@dataclass(slots=True)
class _Deed:
    """What one command did to one thing."""

    event: str
    actor: str
    request_id: str
    content: dict[str, Any] = field(default_factory=dict)


def promise_events(
    transaction: Transaction,
    levels: Sequence[StockLevel | None],
    kind: Kind,
    things: Collection[Reservation | Order | Transfer],
    *,
    whole: bool,
) -> Iterator[Event]:
    """Yield the events of the things of a kind; `levels` are those after the movements.

    Unless the transaction is `whole`, a thing without entries may have them elsewhere: it has no event.
    """
    deeds = _deeds(transaction, levels, kind, {_id(kind, thing) for thing in things})
    for thing in things:
        name = _id(kind, thing)
        done = list(deeds.get(name, {}).values())
        event = kind.made if thing.version == 1 else kind.changed
        if not done and whole and event:
            actor = thing.actor if thing.version == 1 else ""
            done = [_Deed(event, actor, "")]
        for deed in done:
            yield Event(name, _envelope(transaction, kind, thing, deed, name))


def _deeds(
    transaction: Transaction,
    levels: Sequence[StockLevel | None],
    kind: Kind,
    names: Collection[str],
) -> dict[str, dict[Place, _Deed]]:
    """Return what was done to each thing, in order: by the event and the request that it is part of."""
    deeds: dict[str, dict[Place, _Deed]] = {}
    for entry, level in _happened(transaction, levels):
        if isinstance(entry, ReservationExtension):
            if entry.reservation_id in names:
                deed = _Deed(EXTENDED, entry.actor, entry.request_id, {"expire_time": entry.expire_time})
                deeds.setdefault(entry.reservation_id, {})[EXTENDED, entry.request_id] = deed
            continue
        if entry.kind not in kind.places or entry.reference not in names:
            continue
        event, part = kind.places[entry.kind]
        mine = deeds.setdefault(entry.reference, {})
        confirmed = ("reservation_confirmed", entry.request_id)
        if event == "reservation_cancelled" and confirmed in mine:
            event, part = "reservation_confirmed", "released"
        deed = mine.setdefault((event, entry.request_id), _Deed(event, entry.actor, entry.request_id))
        deed.content.setdefault(part, []).append(
            EventUnits(
                sku=entry.sku,
                location_id=entry.location_id,
                lot_id=entry.lot_id,
                quantity=_quantity(entry),
                level=level,
            )
        )
    return deeds


def _happened(
    transaction: Transaction, levels: Sequence[StockLevel | None]
) -> Iterator[tuple[StockMovement | ReservationExtension, StockLevel | None]]:
    """Yield the entries, each with the level after it, and the extensions, each in its place among them."""
    extensions = deque(transaction.reservation_extensions)
    for index, (entry, level) in enumerate(zip(transaction.movements, levels, strict=True)):
        while extensions and extensions[0].movement_count <= index:
            yield extensions.popleft(), None
        yield entry, level
    for extension in extensions:
        yield extension, None


def _quantity(entry: StockMovement) -> int:
    delta = entry.delta
    return abs(delta.on_hand or delta.reserved or delta.backordered or delta.in_transit)


def _id(kind: Kind, thing: Reservation | Order | Transfer) -> str:
    return str(getattr(thing, f"{kind.member}_id"))


def _envelope(
    transaction: Transaction, kind: Kind, thing: Reservation | Order | Transfer, deed: _Deed, name: str
) -> Envelope:
    content: dict[str, Any] = {kind.member: thing, deed.event: deed.content}
    return kind.envelope(
        event_id=event_id(transaction, deed.event, name, deed.request_id),
        transaction_id=transaction.transaction_id,
        record_time=transaction.record_time,
        actor=deed.actor,
        request_id=deed.request_id,
        **content,
    )
