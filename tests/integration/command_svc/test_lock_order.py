"""Levels are locked one after the other in the order of their keys, whatever leads to them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from itertools import pairwise

import psycopg
import pytest

from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.catalog import CreateItem, CreateLocation
from command_svc.domain.item import Item
from command_svc.domain.levels import LevelKey
from command_svc.domain.location import Location
from command_svc.domain.orders import PlaceOrder
from command_svc.domain.reservations import ReserveStock
from command_svc.domain.scope import Scope
from command_svc.domain.sourcing import Strategy
from command_svc.domain.stock import AddStock
from command_svc.domain.transaction import Transaction
from command_svc.domain.transfers import DispatchedLine, DispatchTransfer
from command_svc.store import statements
from tests.integration.command_svc.neighbour import Neighbour, transacting
from tests.integration.command_svc.shop import Shop
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack

# Not the order of a dictionary, which would have lower case first and pass over stops and dashes.
PLACES = ["B", "a", "a-b", "a.b", "aB", "b", "ba", "b.a"]


@pytest.fixture
async def keys(shop: Shop) -> list[LevelKey]:
    """Give stocked levels in the order in which they are to be locked."""
    keys = sorted(LevelKey(shop.sku, f"{place}-{shop.sku}") for place in PLACES)
    # On disk they lie the other way round.
    for key in reversed(keys):
        await shop.carry_out(
            CreateLocation(Location(key.location_id, "Place", "STORE")), AddStock(key, 10, "RECEIPT")
        )
    return keys


@pytest.fixture
async def other(shop: Shop) -> AsyncIterator[Neighbour]:
    """Give a second neighbour."""
    async with await psycopg.AsyncConnection.connect(shop.stack.postgres_url("owner")) as connection:
        yield Neighbour(connection)


@pytest.fixture
def _unsorted(database: RunningStack) -> Iterator[None]:
    """Have the planner sort where it is told to, and not because it is a way to something else."""
    with psycopg.connect(database.postgres_url("owner"), autocommit=True) as owner:
        owner.execute("ALTER DATABASE inventory SET enable_sort = off")
        yield
        owner.execute("ALTER DATABASE inventory RESET enable_sort")


def nothing(_: Transaction) -> None:
    """Decide nothing, so that nothing is committed."""


async def check_order(
    shop: Shop, keys: list[LevelKey], scope: Scope, neighbour: Neighbour, other: Neighbour
) -> None:
    """Check that a transaction over all levels waits for each having locked those before it alone."""
    for place, key in enumerate(keys):
        await neighbour.lock(key)
        async with transacting(shop, (scope, nothing)):
            await neighbour.blocks(1)
            assert await other.free(keys) == set(keys[place + 1 :])
            await neighbour.let_go()


async def all_of(  # noqa: PLR0911 - the table of the ways
    shop: Shop, keys: list[LevelKey], how: str
) -> Scope:
    """Return a scope that leads to all the levels: named, or known by the database alone."""
    lines = tuple(WantedLine(*key, 1) for key in keys)
    terms = Terms(Strategy("PRIORITY"))
    match how:
        case "named":
            return Scope(levels=set(keys))
        case "anywhere":
            return Scope(everywhere={shop.sku})
        case "components of a bundle anywhere":
            gift = Item(f"{shop.sku}-gift", "Gift", kind="BUNDLE", counted=False, components=((shop.sku, 1),))
            await shop.carry_out(CreateItem(gift))
            return Scope(everywhere={gift.sku}, taken={gift.sku})
        case "a reservation":
            await shop.carry_out(ReserveStock(lines, timedelta(hours=1), terms))
            return Scope(reservations=shop.ids("reservations"))
        case "an expired reservation in the way":
            await shop.carry_out(ReserveStock(lines, timedelta(microseconds=1), terms))
            return Scope(levels={keys[-1]}, taken={shop.sku})
        case "an order":
            await shop.carry_out(PlaceOrder(lines, terms))
            return Scope(orders=shop.ids("orders"))
        case _:
            ends = [key.location_id for key in keys]
            for source, destination in pairwise(ends):
                line = (DispatchedLine(shop.sku, 1),)
                await shop.carry_out(DispatchTransfer(source, "", destination, line))
            return Scope(transfers=shop.ids("transfers"))


WAYS = [
    "named",
    "anywhere",
    "components of a bundle anywhere",
    "a reservation",
    "an expired reservation in the way",
    "an order",
    "transfers",
]


@pytest.mark.usefixtures("_unsorted")
@pytest.mark.parametrize("how", WAYS)
async def test_levels_are_locked_one_after_the_other_in_the_order_of_their_keys(
    shop: Shop, keys: list[LevelKey], neighbour: Neighbour, other: Neighbour, how: str
) -> None:
    await check_order(shop, keys, await all_of(shop, keys, how), neighbour, other)


@pytest.mark.usefixtures("_unsorted")
@pytest.mark.parametrize(("name", "how"), [("LOCK_LEVELS", "named"), ("LOCK_SCOPE", "an order")])
async def test_the_check_of_the_order_notices_when_there_is_none(  # noqa: PLR0913, PLR0917 - fixtures
    shop: Shop,
    keys: list[LevelKey],
    neighbour: Neighbour,
    other: Neighbour,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    how: str,
) -> None:
    scope = await all_of(shop, keys, how)
    order = r'ORDER BY \S+ COLLATE "C", \S+ COLLATE "C"'
    statement, times = re.subn(order, "", getattr(statements, name))
    assert times == 1
    monkeypatch.setattr(statements, name, statement)
    with pytest.raises(AssertionError):
        await check_order(shop, keys, scope, neighbour, other)
