"""Several lanes at once on promises, transfers and lots, which no single lock of a level guards."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from command_svc.domain.allocation import WantedLine
from command_svc.domain.catalog import ArchiveItem
from command_svc.domain.levels import LevelKey
from command_svc.domain.orders import FulfillOrder, OrderOutcome, PlaceOrder
from command_svc.domain.stock import AddStock, SetStockPolicy
from tests.integration.command_svc.deadlocks import no_deadlock
from tests.integration.command_svc.market import BEATEN, LATER, Market
from tests.integration.command_svc.story import Story
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack

TURNS = 60


async def test_an_order_that_waits_at_two_places_gets_both_when_they_are_filled_at_once(
    database: RunningStack, story: Story
) -> None:
    """The levels are locked by two transactions, the order is one row."""
    mug, pen, north = await story.item("mug"), await story.item("pen"), await story.place("north")
    levels = LevelKey(mug, north), LevelKey(pen, north)
    await story.all(*(SetStockPolicy(level, backorder_limit=99) for level in levels))
    async with Story(database) as other:
        for _ in range(15):
            placed = await story.one(
                PlaceOrder((WantedLine(mug, north, 1), WantedLine(pen, north, 1)), LATER), OrderOutcome
            )
            with no_deadlock(database):
                await asyncio.gather(
                    story.all(AddStock(levels[0], 1, "RECEIPT")), other.all(AddStock(levels[1], 1, "RECEIPT"))
                )
            await story.all(FulfillOrder(placed.order.order_id))
    story.check_sums()
    assert story.ask("SELECT sum(on_hand) AS left FROM stock_levels WHERE location_id = %s", north) == [
        {"left": 0}
    ]


async def test_an_item_is_archived_or_comes_to_a_new_place_never_both(
    database: RunningStack, story: Story
) -> None:
    north = await story.place("north")
    ends: Counter[tuple[str, ...]] = Counter()
    async with Story(database) as other:
        for number in range(20):
            sku = await story.item(f"mug-{number}")
            answers = await asyncio.gather(
                story.each(ArchiveItem(sku)), other.each(AddStock(LevelKey(sku, north), 1, "RECEIPT"))
            )
            ends[tuple(answer for (answer,) in answers if isinstance(answer, str))] += 1
    assert ends.keys() <= {("ITEM_IN_USE",), ("ITEM_ARCHIVED",)}, ends


async def busy(market: Market, lane: Story, seed: int) -> Counter[str]:
    """Carry out commands, alone and several in a transaction; count the answers."""
    rng, answers = random.Random(seed), Counter[str]()
    for _ in range(TURNS):
        commands = [market.command(rng) for _ in range(rng.choice([1, 1, 2, 6]))]
        answers.update(map(market.note, await lane.each(*commands)))
    return answers


async def test_everything_at_once_neither_oversells_nor_deadlocks_and_adds_up(
    database: RunningStack, story: Story
) -> None:
    mug, milk = await story.item("mug"), await story.item("milk", lot_tracked=True)
    gift = await story.item("gift", kind="BUNDLE", counted=False, components=((mug, 2), (milk, 1)))
    places = [await story.place(word, ships_online_orders=True) for word in ("north", "south")]
    market = Market(mug, milk, gift, places)
    await story.all(
        *(AddStock(level, 9, "RECEIPT", lot=market.lot(level, random.Random(0))) for level in market.levels),
        *(SetStockPolicy(level, backorder_limit=20) for level in market.levels),
    )
    async with Story(database) as second, Story(database) as third:
        with no_deadlock(database):
            tallies = await asyncio.gather(
                *(busy(market, teller, seed) for seed, teller in enumerate((story, second, third)))
            )
    story.check_sums()
    answers = sum(tallies, Counter[str]())
    assert answers.keys() <= {"accepted", *BEATEN}, answers
    assert answers["accepted"] > sum(answers.values()) / 3, answers
