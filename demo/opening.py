"""Opens the shop: its places, its catalogue, its first stock."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from google.type.latlng_pb2 import LatLng

from client import InventoryClient, ItemAlreadyExistsError, LocationAlreadyExistsError
from demo.books import Books
from demo.events import DARK_STORE, STORE, WAREHOUSE, Item
from demo.plan import Plan
from inventory.command.v1.item_command_service_pb2 import CreateItemRequest
from inventory.command.v1.location_command_service_pb2 import CreateLocationRequest
from inventory.command.v1.stock_command_service_pb2 import AddStockRequest, StockCommand
from inventory.type.v1.item_pb2 import ITEM_KIND_PHYSICAL
from inventory.type.v1.location_pb2 import (
    LOCATION_KIND_DARK_STORE,
    LOCATION_KIND_STORE,
    LOCATION_KIND_WAREHOUSE,
    Address,
)
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_OPENING, MOVEMENT_REASON_RECEIPT

LOCATIONS = (
    CreateLocationRequest(
        location_id=WAREHOUSE,
        name="Warehouse Daventry",
        kind=LOCATION_KIND_WAREHOUSE,
        address=Address(region_code="GB", postal_code="NN11 8YH", locality="Daventry"),
        coordinates=LatLng(latitude=52.2833, longitude=-1.1667),
        time_zone="Europe/London",
        priority=10,
        ships_online_orders=True,
    ),
    CreateLocationRequest(
        location_id=STORE,
        name="Store London",
        kind=LOCATION_KIND_STORE,
        address=Address(region_code="GB", postal_code="W1B 5TG", locality="London"),
        coordinates=LatLng(latitude=51.5136, longitude=-0.1410),
        time_zone="Europe/London",
        priority=30,
    ),
    CreateLocationRequest(
        location_id=DARK_STORE,
        name="Dark store Manchester",
        kind=LOCATION_KIND_DARK_STORE,
        address=Address(region_code="GB", postal_code="M17 1DD", locality="Manchester"),
        coordinates=LatLng(latitude=53.4670, longitude=-2.3130),
        time_zone="Europe/London",
        priority=20,
        ships_online_orders=True,
    ),
)


@dataclass(slots=True)
class Created:
    """How many were created, and how many were there already."""

    new: int = 0
    there: int = 0


async def create_locations(client: InventoryClient) -> Created:
    """Create the three places; those that exist are left as they are."""
    created = Created()
    for request in LOCATIONS:
        try:
            await client.create_location(request)
            created.new += 1
        except LocationAlreadyExistsError:
            created.there += 1
    return created


async def create_items(clients: list[InventoryClient], items: list[Item]) -> Created:
    """Create the catalogue, shared out over the clients; items that exist are left as they are."""
    created = Created()
    left = iter(items)

    async def create(client: InventoryClient) -> None:
        for item in left:
            try:
                await client.create_item(item_request(item))
                created.new += 1
            except ItemAlreadyExistsError:
                created.there += 1

    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(create(client))
    return created


def item_request(item: Item) -> CreateItemRequest:
    """Return the command that creates an item."""
    return CreateItemRequest(
        sku=item.sku,
        name=item.name,
        kind=ITEM_KIND_PHYSICAL,
        categories=[item.category] if item.category else [],
        barcodes=[item.barcode] if item.barcode else [],
        tags=["demo"],
    )


def opening_stock(plan: Plan, books: Books) -> Iterator[StockCommand]:
    """Yield the commands that bring every level to its target; nothing for those that hold as much."""
    for (sku, place), target in plan.target.items():
        standing = books.expected((sku, place))
        if standing.on_hand < target:
            yield StockCommand(
                add=AddStockRequest(
                    sku=sku,
                    location_id=place,
                    quantity=target - standing.on_hand,
                    reason=MOVEMENT_REASON_RECEIPT if standing.version else MOVEMENT_REASON_OPENING,
                    reference="opening stock",
                )
            )
