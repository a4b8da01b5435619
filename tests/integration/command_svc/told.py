"""What a record of the journal tells of a row, in the words of the table's columns."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

Row = dict[str, Any]

# Of each kind that the journal tells: its table and the columns that name a row.
TOLD = {
    "items": ("items", ("sku",)),
    "locations": ("locations", ("location_id",)),
    "levels": ("stock_levels", ("sku", "location_id")),
    "lots": ("lots", ("sku", "location_id", "lot_id")),
    "reservations": ("reservations", ("reservation_id",)),
    "orders": ("orders", ("order_id",)),
    "transfers": ("transfers", ("transfer_id",)),
    "movements": ("stock_movements", ("sku", "location_id", "version")),
}

# Messages within messages, by the field that holds them: the columns that hold one element for each.
PARTS = {
    ("reservations", "lines"): {
        "sku": "skus",
        "location_id": "location_ids",
        "lot_id": "lot_ids",
        "quantity": "quantities",
        "confirmed": "confirmed",
        "released": "released",
    },
    ("orders", "lines"): {"sku": "line_skus", "quantity": "line_quantities"},
    ("orders", "allocations"): {
        "sku": "skus",
        "location_id": "location_ids",
        "lot_id": "lot_ids",
        "quantity": "quantities",
        "backordered": "backordered",
        "shipped": "shipped",
        "cancelled": "cancelled",
        "returned": "returned",
    },
    ("transfers", "lines"): {
        "sku": "skus",
        "lot_id": "lot_ids",
        "quantity": "quantities",
        "received": "received",
        "written_off": "written_off",
        "returned": "returned",
        "serials": "serials",
    },
    ("items", "components"): {"sku": "component_skus", "quantity": "component_quantities"},
}


def told_of(kind: str, message: Message) -> Row:
    """Return what a message says, in the words of its table's columns."""
    said: Row = {}
    for field in message.DESCRIPTOR.fields:
        if (columns := PARTS.get((kind, field.name))) is not None:
            parts = getattr(message, field.name)
            for name, column in columns.items():
                values = [getattr(part, name) for part in parts]
                said[column] = [list(one) for one in values] if name == "serials" else values
        elif field.name in {"delta", "result"}:
            end = "_delta" if field.name == "delta" else ""
            quantities = getattr(message, field.name)
            said |= {
                f"{one.name}{end}": getattr(quantities, one.name) for one in quantities.DESCRIPTOR.fields
            }
        elif field.name == "address":
            address = getattr(message, field.name)
            said |= {one.name: getattr(address, one.name) for one in address.DESCRIPTOR.fields}
            said["address_lines"] = list(said.pop("lines"))
        elif field.name in {"dimensions", "coordinates"}:
            there = message.HasField(field.name)
            part = getattr(message, field.name)
            said |= {one.name: getattr(part, one.name) if there else None for one in part.DESCRIPTOR.fields}
        else:
            said[field.name] = value_of(message, field.name)
    return said


def told_in(kind: str, message: Message, row: Row) -> Row:
    """Return the columns of a row that the message tells of too, and what follows from them."""
    row = {name: str(value) if isinstance(value, UUID) else value for name, value in row.items()}
    if kind == "levels":
        available = row["on_hand"] - row["reserved"]
        row["available"] = available
        row["sellable"] = max(0, available - row["safety_stock"])
        row["low"] = available + row["in_transit"] - row["backordered"] <= row["reorder_point"]
    if kind == "items":
        row["counted"] = row["kind"] == "PHYSICAL" or row["licensed"]
    if kind == "lots":
        row["serial_count"] = row["serials"]
    return {name: row[name] for name in told_of(kind, message)}


def value_of(message: Message, name: str) -> Any:  # noqa: ANN401 - of any type that a column has
    field = message.DESCRIPTOR.fields_by_name[name]
    value = getattr(message, name)
    if field.type == FieldDescriptor.TYPE_ENUM:
        assert field.enum_type is not None
        return _word(field.enum_type.name, field.enum_type.values_by_number[value].name)
    if isinstance(value, Timestamp):
        return value.ToDatetime(UTC) if message.HasField(name) else None
    if isinstance(value, Date):
        return date(value.year, value.month, value.day) if message.HasField(name) else None
    if isinstance(value, str | int | float | bool | datetime):
        return value
    return dict(value) if hasattr(value, "items") else list(value)


def _word(enum: str, value: str) -> str:
    """Return ITEM_KIND_BUNDLE of ItemKind as BUNDLE."""
    prefix = "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in enum)
    return value.removeprefix(f"{prefix.removeprefix('_')}_")
