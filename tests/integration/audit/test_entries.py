"""Every command and every refusal leaves one entry, in the change's own transaction or beside it."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from audit.writer import ENTRIES_LOST, AuditUnavailableError, AuditWriter
from command_svc.domain.stock import AddStock, MoveStock, RemoveStock
from command_svc.domain.trail import Trail
from query_svc.audit_log import Wanted
from tests.integration.audit.world import World, refusal
from tests.integration.command_svc.lanes import ask, lane
from tests.integration.command_svc.shop import open_shop

pytestmark = pytest.mark.stack


async def test_a_command_leaves_its_entry_with_its_change_and_a_repeat_none(world: World) -> None:
    shop = await open_shop(world.stack)
    add = shop.one(AddStock(shop.north, 5, "RECEIPT"), "add")
    move = shop.many(MoveStock(shop.north, shop.south, 2, "REBALANCE"), RemoveStock(shop.north, 9, "SALE"))
    async with lane(shop.url) as batcher:
        await ask(batcher, [add])
        await ask(batcher, [add])
        await ask(batcher, [move])
    entries = [entry for entry in await world.entries() if shop.sku in entry.skus]
    assert [(one.verdict, one.actor, one.request_id) for one in entries] == [
        ("OK", "tester", add.requests[0].request_id),
        ("OK", "tester", move.requests[0].request_id),
    ]
    assert set(entries[1].location_ids) == {shop.north.location_id, shop.south.location_id}
    ledger = shop.ask("SELECT DISTINCT transaction_id FROM stock_movements WHERE sku = %(sku)s")
    assert {one.transaction_id for one in entries} == {row[0] for row in ledger}


async def test_an_entry_names_what_its_request_brought_along(world: World) -> None:
    shop = await open_shop(world.stack)
    submission = shop.one(AddStock(shop.north, 5, "RECEIPT"))
    trail = Trail("some/Method", "token", "10.1.2.0/24", "ab" * 16, ("X-1",), ())
    (request,) = submission.requests
    object.__setattr__(request, "trail", trail)
    async with lane(shop.url) as batcher:
        await ask(batcher, [submission])
    (entry,) = await world.entries(Wanted(sku=shop.sku, request_id=request.request_id))
    assert (entry.method, entry.proof, entry.source, entry.trace_id) == trail[:4]
    assert entry.skus == ["X-1", shop.sku]


async def test_refusals_are_written_as_they_are_whatever_they_hold(world: World) -> None:
    odd = refusal(1, actor='Zoë "x"\\', skus=("a\0b", "ö{,}"), request_id="\\u0000")
    await world.write(odd, refusal(2))
    first, second = await world.entries()
    assert (first.actor, first.skus, first.request_id) == ('Zoë "x"\\', ["ab", "ö{,}"], "\\u0000")
    assert (first.record_time, first.transaction_id, second.request_id) == (odd.record_time, None, "r-2")


async def test_what_there_is_no_room_for_is_counted_in_the_log_itself(world: World) -> None:
    with psycopg.connect(world.stack.postgres_url("owner")) as blocking:
        blocking.execute("LOCK TABLE audit_log")
        async with AuditWriter(world.stack.postgres_url("audit"), connect_timeout=5.0, most=3) as writer:
            for number in range(5):
                writer.record(refusal(number))
            assert not writer.has_room
            with pytest.raises(AuditUnavailableError):
                await writer.check()
            blocking.rollback()
        await writer.check()
    entries = await world.entries()
    assert [one.request_id for one in entries if one.verdict != ENTRIES_LOST] == ["r-0", "r-1", "r-2"]
    assert [one.calls for one in entries if one.verdict == ENTRIES_LOST] == [2]


async def test_entries_wait_for_a_database_that_is_away(world: World) -> None:
    writer = AuditWriter(world.stack.postgres_url("audit"), connect_timeout=5.0)
    with psycopg.connect(world.stack.postgres_url("owner"), autocommit=True) as owner:
        owner.execute("ALTER TABLE audit_log RENAME TO away")
        try:
            async with writer:
                writer.record(refusal(7))
                await asyncio.sleep(0)
                owner.execute("ALTER TABLE away RENAME TO audit_log")
        finally:
            owner.execute("ALTER TABLE IF EXISTS away RENAME TO audit_log")
    assert [entry.request_id for entry in await world.entries()] == ["r-7"]


async def test_entries_are_found_by_what_they_say(world: World) -> None:
    kept = refusal(1, actor="ann", skus=("MUG",), location_ids=("BER", "HAM"), method="a.b/C")
    await world.write(kept, *(refusal(number) for number in range(2, 9)))
    for wanted in (
        Wanted(actors=["ann", "bob"]),
        Wanted(sku="MUG"),
        Wanted(location_id="HAM"),
        Wanted(methods="a.b"),
        Wanted(request_id="r-1"),
        Wanted(end=kept.record_time.replace(microsecond=0), verdict="OK"),
    ):
        expected = [] if wanted.verdict else ["r-1"]
        assert [entry.request_id for entry in await world.entries(wanted)] == expected
