"""Rows of the database as the messages that the read model must hold for them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.latlng_pb2 import LatLng

from inventory.type.v1.item_pb2 import BundleComponent, Dimensions, Item, ItemKind, ItemState
from inventory.type.v1.location_pb2 import Address, Location, LocationKind, LocationState
from inventory.type.v1.stock_pb2 import StockLevel

Row = dict[str, Any]
"""The columns of a row of the table, and perhaps others, by their names."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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


def _timestamp(instant: datetime) -> Timestamp:
    microseconds = (instant - _EPOCH) // timedelta(microseconds=1)
    return Timestamp(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1000)
