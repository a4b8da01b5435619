"""Levels, items, locations and transactions for tests."""

from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from inventory.journal.v1.transaction_pb2 import Transaction
from inventory.type.v1.item_pb2 import Item, ItemKind, ItemState
from inventory.type.v1.location_pb2 import Address, Location, LocationKind, LocationState
from inventory.type.v1.stock_pb2 import StockLevel


def level(sku: str, location_id: str, version: int, on_hand: int = 7) -> StockLevel:
    """Return a level with typical figures; every one of them depends on `on_hand`."""
    return StockLevel(
        sku=sku,
        location_id=location_id,
        on_hand=on_hand,
        reserved=on_hand // 4,
        available=on_hand - on_hand // 4,
        safety_stock=5,
        sellable=max(0, on_hand - on_hand // 4 - 5),
        reorder_point=on_hand // 2,
        low=on_hand < 3,
        version=version,
        update_time=Timestamp(seconds=1_790_000_000 + version, nanos=123_456_000),
    )


def item(sku: str, version: int, name: str = "Mug") -> Item:
    """Return an item in every field."""
    return Item(
        sku=sku,
        name=name,
        description="Holds 300 ml",
        kind=ItemKind.ITEM_KIND_PHYSICAL,
        unit_of_measure="each",
        categories=["home/kitchen/mugs"],
        tags=["new", "blue"],
        barcodes=["4006381333931"],
        metadata={f"key-{i}": str(i) for i in range(8)},
        state=ItemState.ITEM_STATE_ACTIVE,
        version=version,
        create_time=Timestamp(seconds=1_790_000_000),
        update_time=Timestamp(seconds=1_790_000_000 + version),
    )


def location(location_id: str, version: int, name: str = "North") -> Location:
    """Return a location in every field but its coordinates."""
    return Location(
        location_id=location_id,
        name=name,
        kind=LocationKind.LOCATION_KIND_WAREHOUSE,
        address=Address(region_code="GB", postal_code="LS1 4AP", locality="Leeds", lines=["1 Wharf St"]),
        time_zone="Europe/London",
        priority=3,
        ships_online_orders=True,
        state=LocationState.LOCATION_STATE_ACTIVE,
        version=version,
        create_time=Timestamp(seconds=1_790_000_000),
        update_time=Timestamp(seconds=1_790_000_000 + version),
    )


def transaction(number: int, *contents: StockLevel | Item | Location) -> Transaction:
    """Return the whole transaction that left the contents as they are."""
    return Transaction(
        transaction_id=str(UUID(int=number)),
        part=1,
        part_count=1,
        levels=[one for one in contents if isinstance(one, StockLevel)],
        items=[one for one in contents if isinstance(one, Item)],
        locations=[one for one in contents if isinstance(one, Location)],
    )
