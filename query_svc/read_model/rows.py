"""How each kind of thing is stored: its bucket, its hash, its field, its value, its entries in indexes."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, Self, cast

from inventory.type.v1.item_pb2 import Item
from inventory.type.v1.location_pb2 import Location
from inventory.type.v1.lot_pb2 import Lot
from inventory.type.v1.order_pb2 import Order
from inventory.type.v1.reservation_pb2 import Reservation
from inventory.type.v1.stock_pb2 import StockLevel
from inventory.type.v1.transfer_pb2 import Transfer
from query_svc.read_model import indexes
from query_svc.read_model.feed_writing import Told
from query_svc.read_model.indexes import Entries, Entry, member
from query_svc.read_model.keys import Keys, bucket_of
from query_svc.read_model.values import pack, pack_level

Versioned = StockLevel | Item | Location | Lot | Reservation | Order | Transfer

Place = tuple[int, str, str]
"""A bucket, the key of a hash in it, and a field of that."""


_NO_THINGS = {"follows", "told", "begun"}


@dataclass(frozen=True, slots=True)
class Changes:
    """What to put into the read model: each thing at most once.

    `follows` has, for levels by (sku, location_id), the version that the first of their changes followed.
    Where the read model holds an older one, changes have been lost on the way.

    `told` is every change of a level that led to them, in order, for the feed. `begun` is the offset of the
    first record they come from; without it, that is where the writer resumed.
    """

    levels: Collection[StockLevel] = ()
    items: Collection[Item] = ()
    locations: Collection[Location] = ()
    lots: Collection[Lot] = ()
    reservations: Collection[Reservation] = ()
    orders: Collection[Order] = ()
    transfers: Collection[Transfer] = ()
    follows: Mapping[tuple[str, str], int] = field(default_factory=dict)
    told: Sequence[Told] = ()
    begun: int | None = None

    @classmethod
    def of(cls, kind: str, things: Collection[Versioned]) -> Self:
        """Return changes of one kind, which is the name of its field."""
        return cls(**cast("dict[str, Any]", {kind: things}))

    def __len__(self) -> int:
        return sum(len(getattr(self, one.name)) for one in fields(self) if one.name not in _NO_THINGS)


class Row(NamedTuple):
    """A change as the function library takes it.

    `indexes` are those that such a thing may stand in; `follows` is the version it follows, "" if not known.
    """

    bucket: int
    key: str
    field: str
    value: bytes
    kept: str
    current: str
    indexes: tuple[str, ...]
    follows: int | str = ""


def rows_of(changes: Changes, keys: Keys) -> Iterator[Row]:
    """Yield the row of each change."""

    def of_bucket(kind: str, name: str) -> Place:
        bucket = bucket_of(name)
        return bucket, keys.of_bucket(bucket, kind), name

    for level in changes.levels:
        place = (bucket_of(level.sku), keys.levels(level.sku), level.location_id)
        kept, current = indexes.of_level(level)
        value = pack_level(level, has_entries=bool(current))
        follows = changes.follows.get((level.sku, level.location_id), "")
        yield Row(*place, value, _text(kept), _text(current), indexes.LEVELS, follows)
    for lot in changes.lots:
        place = (bucket_of(lot.sku), keys.lots(lot.sku), member(lot.location_id, lot.lot_id))
        yield _row(place, lot, indexes.of_lot(lot), indexes.LOTS)
    for item in changes.items:
        yield _row(of_bucket("items", item.sku), item, indexes.of_item(item), indexes.ITEMS)
    for location in changes.locations:
        yield _row(of_bucket("locations", location.location_id), location, Entries([], []), ())
    for reservation in changes.reservations:
        place = of_bucket("reservations", reservation.reservation_id)
        yield _row(place, reservation, indexes.of_reservation(reservation), indexes.RESERVATIONS)
    for order in changes.orders:
        yield _row(of_bucket("orders", order.order_id), order, indexes.of_order(order), indexes.ORDERS)
    for transfer in changes.transfers:
        place = of_bucket("transfers", transfer.transfer_id)
        yield _row(place, transfer, indexes.of_transfer(transfer), indexes.TRANSFERS)


def _row(place: Place, message: Versioned, entries: Entries, names: tuple[str, ...]) -> Row:
    value = pack(message.version, message, has_entries=bool(entries.current))
    return Row(*place, value, _text(entries.kept), _text(entries.current), names)


def _text(entries: list[Entry]) -> str:
    """Return entries in the form that functions.lua reads."""
    return "".join([f"{index}\1{name}\2" for index, name in entries])
