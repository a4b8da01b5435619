"""Several processes, each with its lane, on the same levels, requests and names at once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import chain

import psycopg
import pytest

from command_svc.domain.batch import Submission
from command_svc.domain.catalog import CreateItem, CreateLocation
from command_svc.domain.commands import Command
from command_svc.domain.item import Item
from command_svc.domain.location import Location
from command_svc.domain.stock import AddStock, AdjustStock, MoveStock, RemoveStock
from tests.integration.command_svc.deadlocks import no_deadlock
from tests.integration.command_svc.lanes import PROCESSES, Answer, Processes, ask, lane
from tests.integration.command_svc.shop import Row, Shop

pytestmark = pytest.mark.stack

STOCK = 200


def flat(outcomes: Sequence[Sequence[Sequence[Answer]]]) -> list[Answer]:
    """Return the answers of all processes, one behind the other."""
    return list(chain.from_iterable(chain.from_iterable(outcomes)))


def tally(answers: Sequence[Answer]) -> Counter[str]:
    """Count what was accepted, and the refusals by their reasons."""
    return Counter("accepted" if isinstance(answer, bytes) else answer for answer in answers)


async def test_exactly_the_stock_is_sold(shop: Shop, several: Processes) -> None:
    await shop.carry_out(AddStock(shop.north, STOCK, "RECEIPT"))
    with no_deadlock(shop.stack):
        outcomes = several.carry_out(
            *([shop.one(RemoveStock(shop.north, 1, "SALE")) for _ in range(STOCK)] for _ in range(PROCESSES))
        )
    assert tally(flat(outcomes)) == {"accepted": STOCK, "INSUFFICIENT_STOCK": STOCK * (PROCESSES - 1)}
    assert sum(tally(flat([one]))["accepted"] > 0 for one in outcomes) > 1  # they did meet
    assert shop.audit() == {shop.north: Row(0, STOCK + 1)}


async def test_two_lines_of_one_request_never_sell_the_same_unit(shop: Shop, several: Processes) -> None:
    await shop.carry_out(AddStock(shop.north, STOCK, "RECEIPT"))
    line = RemoveStock(shop.north, 2, "SALE")
    outcomes = several.carry_out(
        *([shop.many(line, line, line, atomic=True) for _ in range(15)] for _ in range(PROCESSES))
    )
    assert tally(flat(outcomes))["accepted"] == STOCK // 6 * 3
    assert shop.audit() == {shop.north: Row(STOCK % 6, 1 + STOCK // 6 * 3)}


def mixed(shop: Shop, rng: random.Random) -> Iterator[Submission]:
    """Yield sales, moves both ways, adjustments and batches of them over both places."""
    places = [shop.north, shop.south]

    def command() -> Command:
        here, there = rng.sample(places, 2)
        quantity = rng.randint(1, 6)
        choices: list[Command] = [
            RemoveStock(here, quantity, "SALE"),
            MoveStock(here, there, quantity, "REBALANCE"),
            MoveStock(here, there, quantity, "REBALANCE"),
            AdjustStock(here, "LOSS", delta=-1),
        ]
        return rng.choice(choices)

    for _ in range(100):
        size = rng.choice([1, 1, 1, 7])
        yield shop.many(*(command() for _ in range(size)), atomic=rng.random() < 0.3)


async def test_moves_and_batches_over_two_places_neither_oversell_nor_deadlock(
    shop: Shop, several: Processes
) -> None:
    await shop.carry_out(AddStock(shop.north, STOCK, "RECEIPT"), AddStock(shop.south, STOCK, "RECEIPT"))
    plans = [list(mixed(shop, random.Random(seed))) for seed in range(PROCESSES)]
    with no_deadlock(shop.stack):
        outcomes = several.carry_out(*plans)

    taken, entries = 0, 2
    for plan, answers in zip(plans, outcomes, strict=True):
        for submission, verdicts in zip(plan, answers, strict=True):
            assert not submission.atomic or len(tally(verdicts)) == 1
            for one, verdict in zip(submission.requests, verdicts, strict=True):
                assert isinstance(verdict, bytes) or verdict == "INSUFFICIENT_STOCK"
                if isinstance(verdict, bytes):
                    entries += 1 + isinstance(one.command, MoveStock)
                    if isinstance(one.command, RemoveStock):
                        taken += one.command.quantity
                    elif isinstance(one.command, AdjustStock):
                        taken -= one.command.delta
    rows = shop.audit()
    assert sum(row.on_hand for row in rows.values()) == 2 * STOCK - taken
    assert sum(row.version for row in rows.values()) == entries
    assert tally(flat(outcomes))["INSUFFICIENT_STOCK"] > 0


async def test_the_first_stock_of_a_level_is_all_counted(shop: Shop, several: Processes) -> None:
    with no_deadlock(shop.stack):
        outcomes = several.carry_out(
            *([shop.one(AddStock(shop.south, 1, "RECEIPT")) for _ in range(30)] for _ in range(PROCESSES))
        )
    assert tally(flat(outcomes)) == {"accepted": 30 * PROCESSES}
    assert shop.audit() == {shop.south: Row(30 * PROCESSES, 30 * PROCESSES)}


async def test_many_new_levels_met_in_different_orders_are_all_counted(
    shop: Shop, several: Processes
) -> None:
    places = [f"{shop.sku}-{number}" for number in range(12)]
    await shop.carry_out(*(CreateLocation(Location(place, place, "STORE")) for place in places))
    plans = []
    for seed in range(PROCESSES):
        shuffled = random.Random(seed).sample(places, len(places))
        plans.append(
            [
                shop.many(*(AddStock(shop.north._replace(location_id=p), 1, "RECEIPT") for p in some))
                for some in (shuffled[:6], shuffled[3:9], shuffled[6:])
            ]
        )
    with no_deadlock(shop.stack):
        outcomes = several.carry_out(*plans)
    assert tally(flat(outcomes)) == {"accepted": 18 * PROCESSES}
    assert sum(row.on_hand for row in shop.audit().values()) == 18 * PROCESSES


async def test_of_many_who_create_the_same_item_or_location_one_does(shop: Shop, several: Processes) -> None:
    names = [f"{shop.sku}-new-{number}" for number in range(5)]

    def plan(number: int) -> list[Submission]:
        shuffled = random.Random(number).sample(names, len(names))
        items = [shop.one(CreateItem(Item(name, f"by {number}"))) for name in shuffled]
        places = [shop.one(CreateLocation(Location(name, f"by {number}", "STORE"))) for name in shuffled]
        return items + places

    with no_deadlock(shop.stack):
        outcomes = several.carry_out(*map(plan, range(PROCESSES)))
    lost = len(names) * (PROCESSES - 1)
    assert tally(flat(outcomes)) == {
        "accepted": 2 * len(names),
        "ITEM_ALREADY_EXISTS": lost,
        "LOCATION_ALREADY_EXISTS": lost,
    }
    for table, key in (("items", "sku"), ("locations", "location_id")):
        rows = shop.ask(f"SELECT {key}, version FROM {table} WHERE {key} LIKE %(sku)s || '-new-%%'")  # noqa: S608
        assert sorted(rows) == [(name, 1) for name in names]


# Requests


async def test_the_same_requests_everywhere_at_once_have_one_effect_and_one_answer(
    shop: Shop, several: Processes
) -> None:
    await shop.carry_out(AddStock(shop.north, 1000, "RECEIPT"))
    commands: list[Command] = [
        *(RemoveStock(shop.north, number, "SALE") for number in range(1, 11)),
        *(MoveStock(shop.north, shop.south, number, "REBALANCE") for number in range(1, 11)),
        CreateItem(Item(f"{shop.sku}-once", "Once")),
    ]
    asked = [shop.one(command, f"once-{number}") for number, command in enumerate(commands)]
    plans = [random.Random(seed).sample(asked * 3, len(asked) * 3) for seed in range(PROCESSES)]
    outcomes = several.carry_out(*plans)

    answers: dict[str, set[Answer]] = {}
    for plan, verdicts in zip(plans, outcomes, strict=True):
        for submission, (verdict,) in zip(plan, verdicts, strict=True):
            assert isinstance(verdict, bytes)
            answers.setdefault(submission.requests[0].request_id, set()).add(verdict)
    assert len(answers) == len(commands)
    assert all(len(different) == 1 for different in answers.values())
    assert shop.audit() == {shop.north: Row(890, 21), shop.south: Row(55, 10)}

    # And long afterwards, in a process that knows of nothing.
    async with lane(shop.url) as batcher:
        again = await ask(batcher, asked)
    assert [{one} for (one,) in again] == [answers[one.requests[0].request_id] for one in asked]
    assert shop.audit() == {shop.north: Row(890, 21), shop.south: Row(55, 10)}


async def test_of_different_bodies_under_one_request_id_one_wins_for_everybody(
    shop: Shop, several: Processes
) -> None:
    await shop.carry_out(AddStock(shop.north, 1000, "RECEIPT"), AddStock(shop.south, 1000, "RECEIPT"))
    names = [f"either-{number}" for number in range(20)]
    bodies: list[list[Command]] = [
        [RemoveStock(shop.north, 1, "SALE")] * len(names),
        # On the same level, and on another: no lock stands between those.
        [RemoveStock(shop.north, 2, "SALE")] * len(names),
        [RemoveStock(shop.south, 4, "SALE")] * len(names),
    ]
    plans = [
        random.Random(seed).sample(
            [shop.one(command, name) for command, name in zip(body, names, strict=True)] * 2, len(names) * 2
        )
        for seed, body in enumerate(bodies)
    ]
    outcomes = several.carry_out(*plans)

    winners: dict[str, set[tuple[int, Answer]]] = {}
    for process, (plan, verdicts) in enumerate(zip(plans, outcomes, strict=True)):
        for submission, (verdict,) in zip(plan, verdicts, strict=True):
            if isinstance(verdict, bytes):
                winners.setdefault(submission.requests[0].request_id, set()).add((process, verdict))
            else:
                assert verdict == "REQUEST_ID_REUSED"
    assert len(winners) == len(names)
    assert all(len(winner) == 1 for winner in winners.values())
    by = Counter(process for winner in winners.values() for process, _ in winner)
    assert shop.audit() == {
        shop.north: Row(1000 - by[0] - 2 * by[1], 1 + by[0] + by[1]),
        shop.south: Row(1000 - 4 * by[2], 1 + by[2]),
    }


@contextmanager
def partition(shop: Shop, day: date) -> Iterator[None]:
    """Have a partition of the requests of a day, if only for a while."""
    with psycopg.connect(shop.stack.postgres_url("owner"), autocommit=True) as owner:
        name = f"requests_{day:%Y%m%d}"
        there = owner.execute("SELECT to_regclass(%s)", (name,)).fetchone() != (None,)
        if not there:
            owner.execute(
                f"CREATE TABLE {name} PARTITION OF requests"
                f" FOR VALUES FROM ('{day}') TO ('{day + timedelta(days=1)}')"
            )
        try:
            yield
        finally:
            if not there:
                owner.execute(f"DROP TABLE {name}")


@pytest.mark.parametrize("days", [-7, -1, 1], ids=["a week ago", "yesterday", "by a clock ahead"])
async def test_a_request_recorded_on_another_day_is_not_carried_out_again(shop: Shop, days: int) -> None:
    await shop.carry_out(AddStock(shop.north, 10, "RECEIPT"))
    sale = RemoveStock(shop.north, 1, "SALE")
    day = datetime.now(UTC).date() + timedelta(days=days)
    with partition(shop, day), psycopg.connect(shop.url, autocommit=True) as connection:
        asked = shop.one(sale, "old", b"body")
        connection.execute(
            "INSERT INTO requests VALUES (%s, %s, %s, uuidv7(), now(), %s)",
            (asked.requests[0].request_id, b"body", b"the first answer", day),
        )
        async with lane(shop.url) as batcher:
            outcomes = await ask(batcher, [asked, shop.one(sale, "old", b"another"), shop.one(sale)])
        assert outcomes[:2] == [[b"the first answer"], ["REQUEST_ID_REUSED"]]
        assert shop.audit() == {shop.north: Row(9, 2)}


async def test_a_refused_request_leaves_its_id_free_for_a_later_try(shop: Shop) -> None:
    asked = shop.one(RemoveStock(shop.north, 5, "SALE"), "try")
    async with lane(shop.url) as batcher:
        assert await ask(batcher, [asked]) == [["INSUFFICIENT_STOCK"]]
        await ask(batcher, [shop.one(AddStock(shop.north, 5, "RECEIPT"))])
        ((answer,),) = await ask(batcher, [asked])
    assert isinstance(answer, bytes)
    assert shop.audit() == {shop.north: Row(0, 2)}
