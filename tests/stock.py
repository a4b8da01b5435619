"""What a view shows, and transactions that tell of it, for tests."""

from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from inventory.journal.v1.transaction_pb2 import Transaction
from inventory.type.v1.item_pb2 import Item, ItemKind, ItemState
from inventory.type.v1.location_pb2 import Address, Location, LocationKind, LocationState
from inventory.type.v1.lot_pb2 import Lot
from inventory.type.v1.order_pb2 import Order, OrderAllocation, OrderLine, OrderState
from inventory.type.v1.reservation_pb2 import Reservation, ReservationLine, ReservationState
from inventory.type.v1.stock_pb2 import StockLevel
from inventory.type.v1.transfer_pb2 import Transfer, TransferLine, TransferState

BEGINNING = 1_790_000_000

Thing = StockLevel | Item | Location | Lot | Reservation | Order | Transfer


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
        counted=True,
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


def lot(sku: str, location_id: str, lot_id: str, version: int, expiry: Date | None = None) -> Lot:
    """Return a lot with units."""
    return Lot(
        sku=sku,
        location_id=location_id,
        lot_id=lot_id,
        expiry_date=expiry,
        on_hand=7,
        reserved=2,
        version=version,
        create_time=_moment(0),
        update_time=_moment(version),
    )


def promise_id(number: int) -> str:
    """Return the id (UUIDv7) of what came into being `number` seconds after the others' beginning."""
    milliseconds = (BEGINNING + number) * 1000
    return str(UUID(int=milliseconds << 80 | 7 << 76 | 1 << 63 | number))


def reservation(number: int, version: int = 1, sku: str = "MUG-1", reference: str = "") -> Reservation:
    """Return a pending reservation of two units at WH-1, the `number`th."""
    return Reservation(
        reservation_id=promise_id(number),
        state=ReservationState.RESERVATION_STATE_PENDING,
        lines=[ReservationLine(sku=sku, location_id="WH-1", quantity=2)],
        expire_time=_moment(number + 900),
        channel="web",
        reference=reference,
        actor="shop",
        version=version,
        create_time=_moment(number),
        update_time=_moment(number + version),
    )


def order(number: int, version: int = 1, sku: str = "MUG-1", reference: str = "") -> Order:
    """Return an open order of two units at WH-1, the `number`th."""
    return Order(
        order_id=promise_id(number),
        state=OrderState.ORDER_STATE_OPEN,
        lines=[OrderLine(sku=sku, quantity=2)],
        allocations=[OrderAllocation(sku=sku, location_id="WH-1", quantity=2)],
        channel="web",
        reference=reference,
        actor="shop",
        version=version,
        create_time=_moment(number),
        update_time=_moment(number + version),
    )


def transfer(number: int, version: int = 1, sku: str = "MUG-1", reference: str = "") -> Transfer:
    """Return a transfer of two units in transit from WH-1 to WH-2, the `number`th."""
    return Transfer(
        transfer_id=promise_id(number),
        state=TransferState.TRANSFER_STATE_IN_TRANSIT,
        source_location_id="WH-1",
        destination_location_id="WH-2",
        lines=[TransferLine(sku=sku, quantity=2)],
        reference=reference,
        actor="shop",
        version=version,
        create_time=_moment(number),
        update_time=_moment(number + version),
    )


def transaction(number: int, *contents: Thing) -> Transaction:
    """Return the whole transaction that left the contents as they are."""
    return Transaction(
        transaction_id=str(UUID(int=number)),
        part=1,
        part_count=1,
        levels=[one for one in contents if isinstance(one, StockLevel)],
        items=[one for one in contents if isinstance(one, Item)],
        locations=[one for one in contents if isinstance(one, Location)],
        lots=[one for one in contents if isinstance(one, Lot)],
        reservations=[one for one in contents if isinstance(one, Reservation)],
        orders=[one for one in contents if isinstance(one, Order)],
        transfers=[one for one in contents if isinstance(one, Transfer)],
    )


def _moment(seconds: int) -> Timestamp:
    return Timestamp(seconds=BEGINNING + seconds)
