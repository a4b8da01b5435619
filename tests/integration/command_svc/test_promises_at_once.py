"""Several lanes at once on promises, transfers and lots, which no single lock of a level guards."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from uuid import UUID

import pytest

from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.batch import Command, Outcome
from command_svc.domain.catalog import ArchiveItem
from command_svc.domain.levels import LevelKey
from command_svc.domain.lots import LotReceipt
from command_svc.domain.orders import (
    CancelOrder,
    FulfillOrder,
    OrderOutcome,
    PlaceOrder,
    ReturnedUnits,
    ReturnOrder,
)
from command_svc.domain.reservations import (
    CancelReservation,
    ConfirmReservation,
    ReserveStock,
    Resolution,
)
from command_svc.domain.sourcing import Strategy
from command_svc.domain.stock import AddStock, MoveStock, RemoveStock, SetStockPolicy
from command_svc.domain.transfers import (
    CancelTransfer,
    DispatchedLine,
    DispatchTransfer,
    ReceiveTransfer,
    TransferOutcome,
)
from tests.integration.command_svc.deadlocks import no_deadlock
from tests.integration.command_svc.story import Story
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack

TERMS = Terms(Strategy("PRIORITY"))
LATER = TERMS._replace(backorder=True)
TURNS = 60
# What commands on the same things refuse when another was there before.
BEATEN = {
    "INSUFFICIENT_STOCK",
    "ORDER_CLOSED",
    "EXCEEDS_ORDER",
    "RESERVATION_RESOLVED",
    "RESERVATION_EXPIRED",
    "TRANSFER_RESOLVED",
}


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


@dataclass
class Market:
    """What several lanes do things to: an item, one of lots, a bundle of both, and promises of them."""

    mug: str
    milk: str
    gift: str
    places: list[str]
    orders: list[UUID] = field(default_factory=list)
    holds: list[UUID] = field(default_factory=list)
    transfers: list[UUID] = field(default_factory=list)

    @property
    def levels(self) -> list[LevelKey]:
        """The levels that there are."""
        return [LevelKey(sku, place) for sku in (self.milk, self.mug) for place in self.places]

    def lot(self, level: LevelKey, rng: random.Random) -> LotReceipt | None:
        """Return a lot that units which come to a level belong to."""
        return LotReceipt(rng.choice("abc")) if level.sku == self.milk else None

    def command(self, rng: random.Random) -> Command:
        """Return any command."""
        level, place = rng.choice(self.levels), rng.choice([*self.places, None])
        there = level._replace(location_id=self.places[self.places[0] == level.location_id])
        units = rng.randint(1, 3)
        lines = (WantedLine(rng.choice([self.mug, self.milk, self.gift]), place, units),)
        sent = (DispatchedLine(level.sku, units),)
        choices: list[Command] = [
            AddStock(level, units, "RECEIPT", lot=self.lot(level, rng)),
            AddStock(level, 1, "RECEIPT", lot=self.lot(level, rng)),
            RemoveStock(level, units, "SALE"),
            MoveStock(level, there, units, "REBALANCE"),
            PlaceOrder(lines, rng.choice([TERMS, LATER])),
            ReserveStock(lines, timedelta(seconds=rng.choice([0.001, 60])), TERMS),
            DispatchTransfer(level.location_id, "", there.location_id, sent),
        ]
        for one in rng.choices(self.orders, k=min(1, len(self.orders))):
            back = ReturnedUnits(level, 1, self.lot(level, rng))
            choices += [FulfillOrder(one), CancelOrder(one), ReturnOrder(one, (back,))]
        for one in rng.choices(self.holds, k=min(1, len(self.holds))):
            choices += [ConfirmReservation(one), CancelReservation(one)]
        for one in rng.choices(self.transfers, k=min(1, len(self.transfers))):
            choices += [ReceiveTransfer(one), CancelTransfer(one)]
        return rng.choice(choices)

    def note(self, answer: Outcome | str) -> str:
        """Remember what an answer has made; return in a word what it was."""
        match answer:
            case OrderOutcome():
                self.orders.append(answer.order.order_id)
            case Resolution():
                self.holds.append(answer.reservation.reservation_id)
            case TransferOutcome():
                self.transfers.append(answer.transfer.transfer_id)
        return answer if isinstance(answer, str) else "accepted"

    async def busy(self, lane: Story, seed: int) -> Counter[str]:
        """Carry out commands, alone and several in a transaction; count the answers."""
        rng, answers = random.Random(seed), Counter[str]()
        for _ in range(TURNS):
            commands = [self.command(rng) for _ in range(rng.choice([1, 1, 2, 6]))]
            answers.update(map(self.note, await lane.each(*commands)))
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
            tallies = await asyncio.gather(*map(market.busy, (story, second, third), count()))
    story.check_sums()
    answers = sum(tallies, Counter[str]())
    assert answers.keys() <= {"accepted", *BEATEN}, answers
    assert answers["accepted"] > sum(answers.values()) / 3, answers
