"""What the tests on the real database share."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from command_svc.domain.catalog import CreateItem, CreateLocation, Item, Location
from command_svc.domain.levels import LevelKey
from tests.integration.command_svc.lanes import Processes, processes
from tests.integration.command_svc.shop import Shop
from tests.stack_fixture import RunningStack


@pytest.fixture
async def shop(stack: RunningStack) -> Shop:
    """Give a new item and two new places, without stock."""
    # Upper and lower case, a stop and a dash: in the order of a dictionary they would stand otherwise.
    name = uuid4().hex[:8]
    sku, north, south = f"sku-{name}", f"north.{name}", f"South-{name}"
    shop = Shop(stack, sku, LevelKey(sku, north), LevelKey(sku, south))
    await shop.carry_out(
        CreateItem(Item(sku, "Mug")),
        CreateLocation(Location(north, "North", "STORE")),
        CreateLocation(Location(south, "South", "WAREHOUSE")),
    )
    return shop


@pytest.fixture(scope="package")
def several(stack: RunningStack) -> Iterator[Processes]:
    """Give processes with a lane each."""
    with processes(stack.postgres_url("command")) as running:
        yield running
