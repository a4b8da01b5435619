"""What several processes have done at once is what one of them would have done, in some order.

The accepted commands are decided again one transaction after the other, in the order of their clocks, by
the same domain on a store in memory: every answer and the state in the end must be the same.
"""

from __future__ import annotations

import pickle
import random
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any
from uuid import UUID, uuid4

import pytest

from command_svc.domain.batch import Request, Stamp, Submission, decide
from command_svc.domain.catalog import CreateItem, CreateLocation
from command_svc.domain.commands import Command, Outcome
from command_svc.domain.item import Item
from command_svc.domain.location import Location
from command_svc.domain.orders import OrderOutcome
from command_svc.domain.reservations import Resolution
from command_svc.domain.scope import Scope
from command_svc.domain.stock import AddStock, SetStockPolicy
from command_svc.domain.transfers import TransferOutcome
from tests.integration.command_svc.lanes import PROCESSES, Processes
from tests.integration.command_svc.market import BEATEN, Market
from tests.integration.command_svc.shop import Shop
from tests.unit.command_svc.making import request
from tests.unit.command_svc.memory_store import MemoryStore

pytestmark = pytest.mark.stack

ROUNDS = 4
SUBMISSIONS = 30
ID_FIELDS = ("order_id", "reservation_id", "transfer_id")

Ids = dict[UUID, UUID]
"""The ids that were given, with those given when it is decided again: a refused command takes one, too."""


@dataclass(frozen=True)
class Done:
    """An accepted command, the transaction that it was decided in, and its place there."""

    stamp: Stamp
    place: tuple[int, int]
    request: Request
    outcome: Outcome


def keep(outcome: Outcome, stamp: Stamp | None) -> bytes:
    """Stand in for the services' encoders: an answer that can be taken apart again."""
    return pickle.dumps((outcome, stamp))


def asked(rng: random.Random, commands: list[Command]) -> Submission:
    """Return a submission of the commands, of a random kind."""
    requests = tuple(replace(request(command, uuid4().hex), encode=keep) for command in commands)
    return Submission(requests, atomic=rng.random() < 0.3)


@pytest.mark.parametrize("seed", range(3))
async def test_all_that_was_accepted_has_a_serial_order(shop: Shop, several: Processes, seed: int) -> None:
    rng = random.Random(seed)
    name = uuid4().hex[:8]
    items = [
        Item(f"mug-{name}", "Mug"),
        Item(f"Milk-{name}", "Milk", lot_tracked=True),
        Item(
            f"gift-{name}",
            "Gift",
            kind="BUNDLE",
            counted=False,
            components=((f"mug-{name}", 2), (f"Milk-{name}", 1)),
        ),
    ]
    places = [Location(f"{at}-{name}", at, "STORE", ships_online_orders=True) for at in ("north", "South")]
    await shop.carry_out(*map(CreateItem, items), *map(CreateLocation, places))
    mug, milk, gift = (item.sku for item in items)
    market = Market(mug, milk, gift, [place.location_id for place in places])
    stocked: list[Command] = [
        *(AddStock(level, 9, "RECEIPT", lot=market.lot(level, rng)) for level in market.levels),
        *(SetStockPolicy(level, backorder_limit=20) for level in market.levels),
    ]
    done = carry_out(several, market, [[asked(rng, stocked)], *[[]] * (PROCESSES - 1)])
    for _ in range(ROUNDS):
        plans = [
            [
                asked(rng, [market.command(rng) for _ in range(rng.choice([1, 1, 1, 2, 5]))])
                for _ in range(SUBMISSIONS)
            ]
            for _ in range(PROCESSES)
        ]
        done += carry_out(several, market, plans)
    done.sort(key=lambda one: (one.stamp.record_time, one.stamp.transaction_id, one.place))
    assert len({one.stamp for one in done}) > ROUNDS * PROCESSES
    assert kept(decided_again(done, items, places)) == found(shop, name)


def carry_out(several: Processes, market: Market, plans: list[list[Submission]]) -> list[Done]:
    """Let every process carry out its plan, all at once; return what was accepted, and let `market` know."""
    done: list[Done] = []
    for plan, answers in zip(plans, several.carry_out(*plans), strict=True):
        for row, (submission, outcomes) in enumerate(zip(plan, answers, strict=True)):
            for column, (one, answer) in enumerate(zip(submission.requests, outcomes, strict=True)):
                if isinstance(answer, str):
                    assert answer in BEATEN
                    continue
                outcome, stamp = pickle.loads(answer)  # noqa: S301 - of our own making
                done.append(Done(stamp, (row, column), one, outcome))
                market.note(outcome)
    return done


def decided_again(done: list[Done], items: list[Item], places: list[Location]) -> MemoryStore:
    """Decide the commands in their order; check that every answer is what it was; return the store."""
    store = MemoryStore(items, places)
    ids: Ids = {}
    for stamp, group in groupby(done, key=lambda one: one.stamp):
        members = list(group)
        requests = [replace(one.request, command=_renamed(one.request.command, ids)) for one in members]
        store.now = stamp.record_time
        working = store.read(Scope.of([Submission(tuple(requests))]))
        working.id = stamp.transaction_id
        for one, again in zip(members, requests, strict=True):
            (verdict,) = decide(working, Submission((again,)))
            assert isinstance(verdict, bytes), (verdict, one)
            outcome, _ = pickle.loads(verdict)  # noqa: S301 - of our own making
            assert _named_alike(outcome, one.outcome, ids) == one.outcome
        store.keep(working)
    return store


def _renamed(command: Command, ids: Ids) -> Command:
    """Return the command with the ids that were given when it was decided again."""
    changes: Any = {name: ids[value] for name in ID_FIELDS if (value := getattr(command, name, None))}
    return replace(command, **changes)


def _named_alike(outcome: Outcome, first: Outcome, ids: Ids) -> Outcome:
    """Return the outcome under the id that it had at first; remember which is which."""
    match outcome, first:
        case OrderOutcome(), OrderOutcome():
            ids[first.order.order_id] = outcome.order.order_id
            return outcome._replace(order=replace(outcome.order, order_id=first.order.order_id))
        case Resolution(), Resolution():
            reservation_id = first.reservation.reservation_id
            ids[reservation_id] = outcome.reservation.reservation_id
            return outcome._replace(reservation=replace(outcome.reservation, reservation_id=reservation_id))
        case TransferOutcome(), TransferOutcome():
            ids[first.transfer.transfer_id] = outcome.transfer.transfer_id
            return outcome._replace(
                transfer=replace(outcome.transfer, transfer_id=first.transfer.transfer_id)
            )
    return outcome


def kept(store: MemoryStore) -> list[tuple[Any, ...]]:
    """Return the levels and lots of a store in memory."""
    levels = [
        (*key, "", one.on_hand, one.reserved, one.backordered, one.in_transit, one.version)
        for key, one in store.levels.items()
    ]
    lots = [(*key, one.on_hand, one.reserved, 0, 0, one.version) for key, one in store.lots.items()]
    return sorted([*levels, *lots])


def found(shop: Shop, name: str) -> list[tuple[Any, ...]]:
    """Return the levels and lots that the database has of the items of that name."""
    return sorted(
        shop.ask(
            """
            SELECT sku, location_id, '', on_hand, reserved, backordered, in_transit, version
            FROM stock_levels WHERE sku LIKE '%%-' || %(name)s
            UNION ALL
            SELECT sku, location_id, lot_id, on_hand, reserved, 0, 0, version
            FROM lots WHERE sku LIKE '%%-' || %(name)s
            """,
            {"name": name},
        )
    )
