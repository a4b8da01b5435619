"""What a stored row is: its kind, its name, its place, its message."""

from google.protobuf.message import DecodeError

from inventory.type.v1.item_pb2 import Item
from inventory.type.v1.location_pb2 import Location
from inventory.type.v1.lot_pb2 import Lot
from inventory.type.v1.order_pb2 import Order
from inventory.type.v1.reservation_pb2 import Reservation
from inventory.type.v1.stock_pb2 import StockLevel
from inventory.type.v1.transfer_pb2 import Transfer
from query_svc.read_model.indexes import member
from query_svc.read_model.keys import Keys, bucket_of
from query_svc.read_model.rows import Changes, Row, Versioned, rows_of
from query_svc.read_model.values import unpack, unpack_level

Name = tuple[str, ...]

KINDS: dict[str, type[Versioned]] = {
    "levels": StockLevel,
    "items": Item,
    "locations": Location,
    "lots": Lot,
    "reservations": Reservation,
    "orders": Order,
    "transfers": Transfer,
}


def empty_row(keys: Keys, kind: str, name: Name) -> Row:
    """Return the row of a name as it is when nothing is stored of it."""
    bucket = bucket_of(name[0])
    key, field = keys.of_bucket(bucket, kind), name[0]
    if kind == "levels":
        key, field = keys.levels(name[0]), name[1]
    elif kind == "lots":
        key, field = keys.lots(name[0]), member(*name[1:])
    return Row(bucket, key, field, b"", "", "", ())


def stored_row(keys: Keys, kind: str, name: Name, value: bytes | None) -> Row | None:
    """Return the row whose value is stored, with its entries; None for a value that cannot be decoded."""
    if value is None:
        return empty_row(keys, kind, name)
    try:
        (row,) = rows_of(Changes.of(kind, [message_of(kind, name, value)]), keys)
    except DecodeError:
        return None
    return row


def message_of(kind: str, name: Name, value: bytes) -> Versioned:
    """Return the message of a stored value. Raise DecodeError when it holds none."""
    if kind == "levels":
        return unpack_level(name[0], name[1], value)
    return unpack(KINDS[kind], value)


def name_of(row: Row) -> tuple[str, Name]:
    """Return the kind and the name of a row."""
    _, _, kind, *sku = row.key.split(":", 3)
    return kind, (*sku, *row.field.split("\0"))


def entries_of(row: Row) -> list[tuple[str, str]]:
    """Return the indexes that a row stands in, and its members of them."""
    entries = (row.kept + row.current).split("\2")[:-1]
    return [(index, name) for index, _, name in (entry.partition("\1") for entry in entries)]
