"""Rows of the database as the messages that the read model must hold for them."""

from collections.abc import Iterator
from datetime import datetime
from math import floor
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from google.type.latlng_pb2 import LatLng

from inventory.type.v1.item_pb2 import BundleComponent, Dimensions, Item, ItemKind, ItemState
from inventory.type.v1.location_pb2 import Address, Location, LocationKind, LocationState
from inventory.type.v1.lot_pb2 import Lot
from inventory.type.v1.order_pb2 import Order, OrderAllocation, OrderLine, OrderState
from inventory.type.v1.reservation_pb2 import Reservation, ReservationLine, ReservationState
from inventory.type.v1.stock_pb2 import StockLevel
from inventory.type.v1.transfer_pb2 import Transfer, TransferLine, TransferState

Row = dict[str, Any]
"""The columns of a row of the table, and perhaps others, by their names."""


def level_of(row: Row) -> StockLevel:
    """Return a row of stock_levels with the figures that follow from it."""
    available = row["on_hand"] - row["reserved"]
    return StockLevel(
        sku=row["sku"],
        location_id=row["location_id"],
        on_hand=row["on_hand"],
        reserved=row["reserved"],
        available=available,
        safety_stock=row["safety_stock"],
        sellable=max(0, available - row["safety_stock"]),
        backordered=row["backordered"],
        backorder_limit=row["backorder_limit"],
        in_transit=row["in_transit"],
        reorder_point=row["reorder_point"],
        low=available + row["in_transit"] - row["backordered"] <= row["reorder_point"],
        version=row["version"],
        update_time=_timestamp(row["update_time"]),
        lot_tracked=row["lot_tracked"],
    )


def item_of(row: Row) -> Item:
    """Return a row of items."""
    sides = None
    if row["length_mm"] is not None:
        sides = Dimensions(length_mm=row["length_mm"], width_mm=row["width_mm"], height_mm=row["height_mm"])
    components = zip(row["component_skus"], row["component_quantities"], strict=True)
    return Item(
        sku=row["sku"],
        name=row["name"],
        description=row["description"],
        kind=ItemKind.Value(f"ITEM_KIND_{row['kind']}"),
        unit_of_measure=row["unit_of_measure"],
        categories=row["categories"],
        tags=row["tags"],
        barcodes=row["barcodes"],
        metadata=row["metadata"],
        state=ItemState.Value(f"ITEM_STATE_{row['state']}"),
        version=row["version"],
        create_time=_timestamp(row["create_time"]),
        update_time=_timestamp(row["update_time"]),
        counted=row["kind"] == "PHYSICAL" or row["licensed"],
        lot_tracked=row["lot_tracked"],
        parent_sku=row["parent_sku"],
        option_values=row["option_values"],
        dimensions=sides,
        weight_grams=row["weight_grams"],
        components=[BundleComponent(sku=sku, quantity=quantity) for sku, quantity in components],
    )


def location_of(row: Row) -> Location:
    """Return a row of locations; its address is there even when it says nothing."""
    place = None
    if row["latitude"] is not None:
        place = LatLng(latitude=row["latitude"], longitude=row["longitude"])
    return Location(
        location_id=row["location_id"],
        name=row["name"],
        kind=LocationKind.Value(f"LOCATION_KIND_{row['kind']}"),
        address=Address(
            region_code=row["region_code"],
            postal_code=row["postal_code"],
            locality=row["locality"],
            lines=row["address_lines"],
        ),
        coordinates=place,
        time_zone=row["time_zone"],
        priority=row["priority"],
        ships_online_orders=row["ships_online_orders"],
        state=LocationState.Value(f"LOCATION_STATE_{row['state']}"),
        version=row["version"],
        create_time=_timestamp(row["create_time"]),
        update_time=_timestamp(row["update_time"]),
    )


def lot_of(row: Row) -> Lot:
    """Return a row of lots."""
    day = row["expiry_date"]
    return Lot(
        sku=row["sku"],
        location_id=row["location_id"],
        lot_id=row["lot_id"],
        expiry_date=Date(year=day.year, month=day.month, day=day.day) if day else None,
        on_hand=row["on_hand"],
        reserved=row["reserved"],
        serial_count=row["serials"],
        version=row["version"],
        create_time=_timestamp(row["create_time"]),
        update_time=_timestamp(row["update_time"]),
    )


def reservation_of(row: Row) -> Reservation:
    """Return a row of reservations."""
    columns = ("sku", "location_id", "lot_id", "quantity", "confirmed", "released")
    arrays = ("skus", "location_ids", "lot_ids", "quantities", "confirmed", "released")
    return Reservation(
        reservation_id=str(row["reservation_id"]),
        state=ReservationState.Value(f"RESERVATION_STATE_{row['state']}"),
        lines=[ReservationLine(**line) for line in _parallel(row, columns, arrays)],
        expire_time=_timestamp(row["expire_time"]),
        **_common(row),
        channel=row["channel"],
    )


def order_of(row: Row) -> Order:
    """Return a row of orders."""
    units = ("backordered", "shipped", "cancelled", "returned")
    columns = ("sku", "location_id", "lot_id", "quantity", *units)
    arrays = ("skus", "location_ids", "lot_ids", "quantities", *units)
    lines = _parallel(row, ("sku", "quantity"), ("line_skus", "line_quantities"))
    return Order(
        order_id=str(row["order_id"]),
        state=OrderState.Value(f"ORDER_STATE_{row['state']}"),
        lines=[OrderLine(**line) for line in lines],
        allocations=[OrderAllocation(**one) for one in _parallel(row, columns, arrays)],
        **_common(row),
        channel=row["channel"],
    )


def transfer_of(row: Row) -> Transfer:
    """Return a row of transfers."""
    units = ("received", "written_off", "returned", "serials")
    columns, arrays = ("sku", "lot_id", "quantity", *units), ("skus", "lot_ids", "quantities", *units)
    arrival = row["expected_arrival_time"]
    source = row["source_location_id"]
    origin = {"source_location_id": source} if source else {"supplier": row["supplier"]}
    return Transfer(
        transfer_id=str(row["transfer_id"]),
        state=TransferState.Value(f"TRANSFER_STATE_{row['state']}"),
        **origin,
        destination_location_id=row["destination_location_id"],
        lines=[TransferLine(**line) for line in _parallel(row, columns, arrays)],
        expected_arrival_time=_timestamp(arrival) if arrival else None,
        **_common(row),
    )


def _common(row: Row) -> dict[str, Any]:
    """Return what every promise says of itself."""
    times = {name: _timestamp(row[name]) for name in ("create_time", "update_time")}
    return {name: row[name] for name in ("reference", "actor", "version")} | times


def _parallel(row: Row, names: tuple[str, ...], columns: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield the elements of columns that are parallel arrays, each with its fields by `names`."""
    for values in zip(*(row[column] for column in columns), strict=True):
        yield dict(zip(names, values, strict=True))


def _timestamp(instant: datetime) -> Timestamp:
    return Timestamp(seconds=floor(instant.timestamp()), nanos=instant.microsecond * 1000)
