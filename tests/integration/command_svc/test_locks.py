"""What a transaction locks, in which order, and what it reads only after that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.batch import Submission, Verdict, decide
from command_svc.domain.catalog import CreateItem, UpdateItem, UpdateLocation
from command_svc.domain.item import Item
from command_svc.domain.levels import LevelKey
from command_svc.domain.refusals import InsufficientStockError
from command_svc.domain.reservations import ReserveStock
from command_svc.domain.scope import Scope
from command_svc.domain.sourcing import Strategy
from command_svc.domain.stock import AddStock, RemoveStock
from command_svc.domain.transaction import Transaction
from command_svc.store import statements
from tests.integration.command_svc.lanes import ask, lane
from tests.integration.command_svc.neighbour import PATIENCE, Neighbour, transacting
from tests.integration.command_svc.shop import Row, Shop

pytestmark = pytest.mark.stack


async def check_waits(shop: Shop, neighbour: Neighbour) -> None:
    """Check that nothing is decided on a level that somebody else has locked."""
    decided: list[Transaction] = []
    await neighbour.lock(shop.north)
    async with transacting(shop, (Scope(levels={shop.north}), decided.append)) as (task,):
        blocked = asyncio.create_task(neighbour.blocks(1))
        await asyncio.wait([blocked, task], return_when=asyncio.FIRST_COMPLETED)
        blocked.cancel()
        assert not decided
        await neighbour.let_go()
    assert decided


async def test_nothing_is_decided_on_a_level_before_it_is_locked(shop: Shop, neighbour: Neighbour) -> None:
    await shop.carry_out(AddStock(shop.north, 1, "RECEIPT"))
    await check_waits(shop, neighbour)


async def test_the_check_of_the_lock_notices_when_there_is_none(
    shop: Shop, neighbour: Neighbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.carry_out(AddStock(shop.north, 1, "RECEIPT"))
    lock = "FOR UPDATE OF l\n"
    assert lock in statements.LOCK_LEVELS
    monkeypatch.setattr(statements, "LOCK_LEVELS", statements.LOCK_LEVELS.replace(lock, ""))
    with pytest.raises(AssertionError):
        await check_waits(shop, neighbour)


async def test_of_two_who_would_sell_the_last_unit_one_waits_and_is_refused(
    shop: Shop, neighbour: Neighbour
) -> None:
    await shop.carry_out(AddStock(shop.north, 1, "RECEIPT"))
    verdicts: list[Verdict] = []

    def sell(submission: Submission) -> tuple[Scope, Callable[[Transaction], object]]:
        return Scope.of([submission]), lambda transaction: verdicts.extend(decide(transaction, submission))

    await neighbour.lock(shop.north)
    asked = [shop.one(RemoveStock(shop.north, 1, "SALE")) for _ in range(2)]
    async with transacting(shop, *map(sell, asked)):
        await neighbour.blocks(2)
        await neighbour.let_go()
    assert isinstance(verdicts[0], bytes)
    assert isinstance(verdicts[1], InsufficientStockError)
    assert shop.audit() == {shop.north: Row(0, 2)}


async def test_a_hold_that_was_made_and_expired_during_the_wait_is_in_nobodys_way(
    shop: Shop, neighbour: Neighbour
) -> None:
    """It keeps more than was locked, as nobody knew of it then: the command is decided again."""
    levels = shop.south, shop.north
    await shop.carry_out(*(AddStock(level, 1, "RECEIPT") for level in levels))
    lines = tuple(WantedLine(*level, 1) for level in levels)
    hold = ReserveStock(lines, timedelta(microseconds=1), Terms(Strategy("PRIORITY")))
    sale = RemoveStock(shop.south, 1, "SALE")
    async with lane(shop.url) as first, lane(shop.url) as second:
        await neighbour.lock(shop.south)
        asked = [asyncio.create_task(ask(first, [shop.one(hold)]))]
        await neighbour.blocks(1)
        asked.append(asyncio.create_task(ask(second, [shop.one(sale)])))
        await neighbour.blocks(2)
        await neighbour.let_go()
        answers = await asyncio.gather(*asked)
    assert all(isinstance(answer, bytes) for ((answer,),) in answers), answers
    assert shop.ask("SELECT state FROM reservations WHERE skus[1] = %(sku)s") == [("EXPIRED",)]


async def test_of_too_many_expired_holds_those_beyond_the_locks_are_left_to_the_next(shop: Shop) -> None:
    most = statements.MOST_OVERDUE
    await shop.carry_out(AddStock(shop.south, most + 1, "RECEIPT"), AddStock(shop.north, 1, "RECEIPT"))
    terms, instant = Terms(Strategy("PRIORITY")), timedelta(microseconds=1)
    south, north = (WantedLine(*level, 1) for level in (shop.south, shop.north))
    await shop.carry_out(*[ReserveStock((south,), instant, terms)] * most)
    await shop.carry_out(ReserveStock((south, north), instant, terms))
    await shop.carry_out(RemoveStock(shop.south, 1, "SALE"))
    states = shop.ask("SELECT state, count(*) FROM reservations WHERE skus[1] = %(sku)s GROUP BY state")
    assert dict(states) == {"EXPIRED": most, "PENDING": 1}


async def test_requests_and_clock_are_read_after_the_locks(shop: Shop, neighbour: Neighbour) -> None:
    """A record or a time from before the wait would sell twice, or let time run backwards."""
    await shop.carry_out(AddStock(shop.north, 10, "RECEIPT"))
    asked = shop.one(RemoveStock(shop.north, 1, "SALE"), "once", b"body")
    verdicts: list[object] = []
    seen: list[Transaction] = []

    def sell(transaction: Transaction) -> None:
        seen.append(transaction)
        verdicts.extend(decide(transaction, asked))

    await neighbour.lock(shop.north)
    async with transacting(shop, (Scope.of([asked]), sell)):
        await neighbour.blocks(1)
        ((committed_at,),) = await neighbour.run(
            "INSERT INTO requests VALUES (%s, %s, %s, uuidv7(), now(), CURRENT_DATE)"
            " RETURNING clock_timestamp()",
            asked.requests[0].request_id,
            b"body",
            b"the first answer",
        )
        await neighbour.let_go()
    assert verdicts == [b"the first answer"]
    assert seen[0].now > committed_at
    assert shop.audit() == {shop.north: Row(10, 1)}


async def test_items_are_locked_in_the_order_of_their_keys_for_whatever_reason(
    shop: Shop, neighbour: Neighbour
) -> None:
    """Two transactions, each of which changes the item that the other brings to a new place."""
    other = f"{shop.sku}-z"
    await shop.carry_out(CreateItem(Item(other, "Cup")))

    def plan(changed: str, brought: str) -> tuple[Scope, Callable[[Transaction], object]]:
        submission = shop.many(
            UpdateItem(changed, {"name": "New"}),
            AddStock(LevelKey(brought, shop.south.location_id), 1, "RECEIPT"),
        )
        return Scope.of([submission]), lambda transaction: decide(transaction, submission)

    await neighbour.run("SELECT sku FROM items WHERE sku = %s FOR UPDATE", other)
    async with transacting(shop, plan(other, shop.sku)):
        await neighbour.blocks(1)
        async with transacting(shop, plan(shop.sku, other)):
            await neighbour.blocks(2)
            await neighbour.let_go()
    rows = shop.ask("SELECT sku, version FROM items WHERE sku LIKE %(sku)s || '%%'")
    assert dict(rows) == {shop.sku: 2, other: 2}


async def test_a_location_that_is_being_changed_holds_up_no_stock(shop: Shop, neighbour: Neighbour) -> None:
    place = shop.south.location_id
    await neighbour.run(statements.READ_LOCATIONS, [place])
    async with asyncio.timeout(PATIENCE / 2):
        await shop.carry_out(AddStock(shop.south, 1, "RECEIPT"))
    await neighbour.let_go()
    await shop.carry_out(UpdateLocation(place, {"name": "New"}))
