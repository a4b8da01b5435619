"""The indexes that lists walk: which there are, and what stands in them for each row.

A member is what the index is ordered by, then what names the row, with a NUL between the parts: no text of
the contracts holds one. So the members that begin with a part and a NUL are those of that part.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from inventory.type.v1.item_pb2 import Item, ItemState
from inventory.type.v1.lot_pb2 import Lot
from inventory.type.v1.order_pb2 import Order, OrderState
from inventory.type.v1.reservation_pb2 import Reservation, ReservationState
from inventory.type.v1.stock_pb2 import StockLevel
from inventory.type.v1.transfer_pb2 import Transfer, TransferState

NAME_CHARACTERS = 64
"""So much of an item's name counts for its order: 256 bytes at most, as a page token takes them."""

NO_DATE: Final = "99999999"
"""Stands in the place of the expiry date of a lot that keeps."""

LEVELS_BY_LOCATION: Final = "levels-by-location"
LOW_BY_SKU: Final = "low-by-sku"
LOW_BY_LOCATION: Final = "low-by-location"
BACKORDERED_BY_SKU: Final = "backordered-by-sku"
BACKORDERED_BY_LOCATION: Final = "backordered-by-location"
LEVELS: Final = (
    LEVELS_BY_LOCATION,
    LOW_BY_SKU,
    LOW_BY_LOCATION,
    BACKORDERED_BY_SKU,
    BACKORDERED_BY_LOCATION,
)

LOTS_BY_EXPIRY: Final = "lots-by-expiry"
LOTS_BY_SKU: Final = "lots-by-sku"
LOTS_BY_LOCATION: Final = "lots-by-location"
LOTS: Final = (LOTS_BY_EXPIRY, LOTS_BY_SKU, LOTS_BY_LOCATION)

ITEMS_BY_SKU: Final = "items-by-sku"
ITEMS_BY_NAME: Final = "items-by-name"
ITEMS_BY_CATEGORY: Final = "items-by-category"
ITEMS_BY_TAG: Final = "items-by-tag"
ITEMS_BY_BARCODE: Final = "items-by-barcode"
ITEMS_BY_PARENT: Final = "items-by-parent"
ARCHIVED_ITEMS: Final = "archived-items"
ITEMS: Final = (
    ITEMS_BY_SKU,
    ITEMS_BY_NAME,
    ITEMS_BY_CATEGORY,
    ITEMS_BY_TAG,
    ITEMS_BY_BARCODE,
    ITEMS_BY_PARENT,
    ARCHIVED_ITEMS,
)

RESERVATIONS_BY_ID: Final = "reservations-by-id"
RESERVATIONS_BY_REFERENCE: Final = "reservations-by-reference"
RESERVATIONS_BY_SKU: Final = "reservations-by-sku"
PENDING_RESERVATIONS: Final = "pending-reservations"
RESERVATIONS: Final = (
    RESERVATIONS_BY_ID,
    RESERVATIONS_BY_REFERENCE,
    RESERVATIONS_BY_SKU,
    PENDING_RESERVATIONS,
)

ORDERS_BY_ID: Final = "orders-by-id"
ORDERS_BY_REFERENCE: Final = "orders-by-reference"
ORDERS_BY_SKU: Final = "orders-by-sku"
OPEN_ORDERS: Final = "open-orders"
ORDERS: Final = (ORDERS_BY_ID, ORDERS_BY_REFERENCE, ORDERS_BY_SKU, OPEN_ORDERS)

TRANSFERS_BY_ID: Final = "transfers-by-id"
TRANSFERS_BY_REFERENCE: Final = "transfers-by-reference"
TRANSFERS_BY_SKU: Final = "transfers-by-sku"
TRANSFERS_BY_SOURCE: Final = "transfers-by-source"
TRANSFERS_BY_DESTINATION: Final = "transfers-by-destination"
TRANSFERS_IN_TRANSIT: Final = "transfers-in-transit"
ARRIVING_TRANSFERS: Final = "arriving-transfers"
TRANSFERS: Final = (
    TRANSFERS_BY_ID,
    TRANSFERS_BY_REFERENCE,
    TRANSFERS_BY_SKU,
    TRANSFERS_BY_SOURCE,
    TRANSFERS_BY_DESTINATION,
    TRANSFERS_IN_TRANSIT,
    ARRIVING_TRANSFERS,
)

OWNERS: Final[Mapping[str, tuple[str, tuple[int, ...]]]] = {
    LEVELS_BY_LOCATION: ("levels", (1, 0)),
    LOW_BY_SKU: ("levels", (0, 1)),
    LOW_BY_LOCATION: ("levels", (1, 0)),
    BACKORDERED_BY_SKU: ("levels", (0, 1)),
    BACKORDERED_BY_LOCATION: ("levels", (1, 0)),
    LOTS_BY_EXPIRY: ("lots", (1, 2, 3)),
    LOTS_BY_SKU: ("lots", (0, 2, 3)),
    LOTS_BY_LOCATION: ("lots", (2, 0, 3)),
    **dict.fromkeys(ITEMS, ("items", (-1,))),
    **dict.fromkeys(RESERVATIONS, ("reservations", (-1,))),
    **dict.fromkeys(ORDERS, ("orders", (-1,))),
    **dict.fromkeys(TRANSFERS, ("transfers", (-1,))),
}
"""For each index, the kind of the rows that stand in it, and which parts of a member name one, in order."""

Entry = tuple[str, str]
"""An index and a member of it."""


class Entries(NamedTuple):
    """Where a row stands in the indexes."""

    kept: list[Entry]
    """Where it stands for ever: they follow from what never changes."""
    current: list[Entry]
    """Where it stands until its next version."""


def of_level(level: StockLevel) -> Entries:
    """Return where a level stands.

    Not by its SKU, which would cost another 100 bytes: who goes by that walks the items.
    """
    by_location = member(level.location_id, level.sku)
    current: list[Entry] = []
    if level.low or level.backordered:
        by_sku = member(level.sku, level.location_id)
    if level.low:
        current += ((LOW_BY_SKU, by_sku), (LOW_BY_LOCATION, by_location))
    if level.backordered:
        current += ((BACKORDERED_BY_SKU, by_sku), (BACKORDERED_BY_LOCATION, by_location))
    return Entries([(LEVELS_BY_LOCATION, by_location)], current)


def of_lot(lot: Lot) -> Entries:
    """Return where a lot stands: nowhere without units."""
    if not lot.on_hand:
        return Entries([], [])
    date = lot.expiry_date
    expiry = f"{date.year:04}{date.month:02}{date.day:02}" if lot.HasField("expiry_date") else NO_DATE
    return Entries(
        [],
        [
            (LOTS_BY_EXPIRY, member(expiry, lot.sku, lot.location_id, lot.lot_id)),
            (LOTS_BY_SKU, member(lot.sku, expiry, lot.location_id, lot.lot_id)),
            (LOTS_BY_LOCATION, member(lot.location_id, expiry, lot.sku, lot.lot_id)),
        ],
    )


def of_item(item: Item) -> Entries:
    """Return where an item stands: in its categories and in all that these are part of."""
    sku = item.sku
    kept = [(ITEMS_BY_SKU, sku)]
    if item.parent_sku:
        kept.append((ITEMS_BY_PARENT, member(item.parent_sku, sku)))
    current = [(ITEMS_BY_NAME, member(item.name[:NAME_CHARACTERS], sku))]
    current += ((ITEMS_BY_CATEGORY, member(path, sku)) for path in _paths(item.categories))
    current += ((ITEMS_BY_TAG, member(tag, sku)) for tag in item.tags)
    current += ((ITEMS_BY_BARCODE, member(barcode, sku)) for barcode in item.barcodes)
    if item.state == ItemState.ITEM_STATE_ARCHIVED:
        current.append((ARCHIVED_ITEMS, sku))
    return Entries(kept, current)


def of_reservation(reservation: Reservation) -> Entries:
    """Return where a reservation stands."""
    name = reservation.reservation_id
    kept = [(RESERVATIONS_BY_ID, name), (RESERVATIONS_BY_REFERENCE, member(reservation.reference, name))]
    kept += (
        (RESERVATIONS_BY_SKU, member(sku, name)) for sku in sorted({line.sku for line in reservation.lines})
    )
    pending = reservation.state == ReservationState.RESERVATION_STATE_PENDING
    return Entries(kept, [(PENDING_RESERVATIONS, name)] if pending else [])


def of_order(order: Order) -> Entries:
    """Return where an order stands: for a bundle, under its own SKU and under those of its components."""
    name = order.order_id
    kept = [(ORDERS_BY_ID, name), (ORDERS_BY_REFERENCE, member(order.reference, name))]
    skus = {line.sku for line in order.lines} | {allocation.sku for allocation in order.allocations}
    kept += ((ORDERS_BY_SKU, member(sku, name)) for sku in sorted(skus))
    is_open = order.state == OrderState.ORDER_STATE_OPEN
    return Entries(kept, [(OPEN_ORDERS, name)] if is_open else [])


def of_transfer(transfer: Transfer) -> Entries:
    """Return where a transfer stands."""
    name = transfer.transfer_id
    kept = [
        (TRANSFERS_BY_ID, name),
        (TRANSFERS_BY_REFERENCE, member(transfer.reference, name)),
        (TRANSFERS_BY_DESTINATION, member(transfer.destination_location_id, name)),
    ]
    if transfer.source_location_id:
        kept.append((TRANSFERS_BY_SOURCE, member(transfer.source_location_id, name)))
    skus = {line.sku for line in transfer.lines}
    kept += ((TRANSFERS_BY_SKU, member(sku, name)) for sku in sorted(skus))
    if transfer.state != TransferState.TRANSFER_STATE_IN_TRANSIT:
        return Entries(kept, [])
    arriving = member(transfer.destination_location_id, name)
    return Entries(kept, [(TRANSFERS_IN_TRANSIT, name), (ARRIVING_TRANSFERS, arriving)])


def member(*parts: str) -> str:
    """Return the member of these parts."""
    return "\0".join(parts)


def owner(index: str, name: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the kind and the name of the row that a member of an index stands for; None if for none."""
    kind, places = OWNERS[index]
    parts = name.split("\0")
    try:
        return kind, tuple(parts[place] for place in places)
    except IndexError:
        return None


def _paths(categories: Iterable[str]) -> list[str]:
    """Return the categories and all above them, each once."""
    found: dict[str, None] = {}
    for category in categories:
        parts = category.split("/")
        found |= dict.fromkeys("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
    return list(found)
