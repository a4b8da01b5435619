"""The chain of a day: whole while nobody tampers, and the first broken entry named when somebody has."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from audit.chain import Broken, Flaw
from tests.integration.audit.old_days import DAYS, EACH
from tests.integration.audit.world import SECONDS, World, refusal

pytestmark = pytest.mark.stack

PUT_IN = """
INSERT INTO audit_log OVERRIDING SYSTEM VALUE
SELECT day, transaction_number, 0, record_time, method, verdict, 'forged', proof, source, request_id,
       trace_id, skus, location_ids
FROM audit_log WHERE entry_id = %(id)s
"""


async def sealed(world: World, count: int = 6) -> list[int]:
    """Write and seal some entries; return their ids in order."""
    await world.write(
        *(refusal(number, skus=("MUG", "TÄSSE"), location_ids=("BER",)) for number in range(count))
    )
    assert await world.seal() == count
    return [entry.entry_id for entry in await world.entries()]


async def test_a_day_without_entries_is_whole(world: World) -> None:
    proof = await world.prove()
    assert (proof.broken, proof.is_complete, proof.end.position, proof.waiting) == (None, True, 0, 0)


async def test_what_is_sealed_step_by_step_is_one_chain(world: World) -> None:
    await sealed(world, 3)
    noted = (await world.prove()).end
    await world.write(*(refusal(number) for number in range(4)))
    waiting = await world.prove()
    assert (waiting.broken, waiting.end, waiting.waiting) == (None, noted, 4)
    assert await world.seal() == 4
    whole = await world.prove()
    assert (whole.broken, whole.is_complete, whole.end.position, whole.waiting) == (None, True, 7, 0)
    assert await world.prove(noted) == whole


async def test_what_is_committed_late_comes_late_into_the_chain(world: World) -> None:
    insert = (
        "INSERT INTO audit_log (day, record_time, method, verdict, actor, proof, source, request_id,"
        " trace_id, skus, location_ids) VALUES (now()::date, now(), 'm', 'OK', 'late', '', '', '', '',"
        " '{}', '{}')"
    )
    with psycopg.connect(world.stack.postgres_url("command"), options="-c timezone=UTC") as slow:
        slow.execute(insert)
        await world.write(refusal())
        assert await world.seal() == 0  # something before it may still come
    assert await world.seal() == 2
    assert [entry.actor for entry in await world.entries()] == ["late", "till"]
    assert (await world.prove()).broken is None


async def test_several_seal_each_entry_once(world: World) -> None:
    await world.write(*(refusal(number) for number in range(3000)))
    counts = await asyncio.gather(*(world.seal() for _ in range(4)))
    while (more := await world.seal()) > 0:
        counts.append(more)
    assert sum(counts) == 3000
    proof = await world.prove()
    assert (proof.broken, proof.is_complete, proof.end.position) == (None, True, 3000)


@pytest.mark.parametrize(
    ("statement", "flaw"),
    [
        ("UPDATE audit_log SET actor = 'nobody' WHERE entry_id = %(id)s", Flaw.ENTRY_CHANGED),
        ("UPDATE audit_log SET skus = ARRAY['MUG'] WHERE entry_id = %(id)s", Flaw.ENTRY_CHANGED),
        (
            "UPDATE audit_log SET record_time = record_time + '1 us' WHERE entry_id = %(id)s",
            Flaw.ENTRY_CHANGED,
        ),
        ("UPDATE audit_seals SET seal = sha256('') WHERE entry_id = %(id)s", Flaw.ENTRY_CHANGED),
        ("DELETE FROM audit_log WHERE entry_id = %(id)s", Flaw.ENTRY_MISSING),
        ("DELETE FROM audit_seals WHERE entry_id = %(id)s", Flaw.SEAL_MISSING),
        (PUT_IN, Flaw.ENTRY_UNSEALED),
    ],
)
async def test_tampering_in_the_middle_is_found_where_it_is(world: World, statement: str, flaw: Flaw) -> None:
    ids = await sealed(world)
    noted = (await world.prove()).end
    place = 0 if flaw is Flaw.ENTRY_UNSEALED else 3
    world.tampering.execute(statement.encode(), {"id": ids[place]})
    found = (await world.prove()).broken
    named = {Flaw.SEAL_MISSING: 0, Flaw.ENTRY_UNSEALED: 0}.get(flaw, ids[place])
    assert found == Broken(flaw, place + 1, named)
    assert (await world.prove(noted)).broken is None  # what comes after is not concerned


async def test_an_entry_put_in_behind_all_that_was_sealed_is_found(world: World) -> None:
    ids = await sealed(world)
    world.tampering.execute("DELETE FROM audit_seals WHERE entry_id = %s", [ids[-1]])
    assert (await world.prove()).broken == Broken(Flaw.SEAL_MISSING, 6, 0)


async def test_a_day_that_was_written_anew_is_found_by_who_has_noted_a_seal(world: World) -> None:
    ids = await sealed(world)
    noted = (await world.prove()).end
    world.tampering.execute("UPDATE audit_log SET actor = 'nobody' WHERE entry_id = %s", [ids[2]])
    world.tampering.execute("TRUNCATE audit_seals, audit_days")
    assert await world.seal() == 6
    assert (await world.prove()).broken is None  # in itself it is whole
    assert (await world.prove(noted)).broken == Broken(Flaw.ENTRY_CHANGED, 6, ids[5])


async def test_days_have_chains_of_their_own(old: World) -> None:
    proofs = [await old.log.prove(day, None, SECONDS) for day in DAYS]
    assert [(proof.broken, proof.end.position) for proof in proofs] == [(None, EACH)] * len(DAYS)


@pytest.mark.parametrize("role", ["command", "query", "cdc", "archive", "audit"])
@pytest.mark.parametrize("verb", ["UPDATE", "DELETE", "TRUNCATE"])
def test_no_service_changes_what_is_written(world: World, role: str, verb: str) -> None:
    may = [
        table
        for table in ("audit_log", "audit_seals", "audit_days")
        for (granted,) in world.tampering.execute(
            "SELECT has_table_privilege(%s, %s, %s)", (f"inventory_{role}", table, verb)
        ).fetchall()
        if granted
    ]
    assert may == []


@pytest.mark.parametrize(
    ("role", "writes", "reads"),
    [("command", True, False), ("audit", True, False), ("query", False, True), ("cdc", False, False)],
)
def test_who_writes_does_not_read(world: World, role: str, *, writes: bool, reads: bool) -> None:
    ((may_write, may_read, may_place),) = world.tampering.execute(
        "SELECT has_any_column_privilege(%(role)s, 'audit_log', 'INSERT'),"
        " has_any_column_privilege(%(role)s, 'audit_log', 'SELECT'),"
        " has_column_privilege(%(role)s, 'audit_log', 'transaction_number', 'INSERT')",
        {"role": f"inventory_{role}"},
    ).fetchall()
    assert (may_write, may_read, may_place) == (writes, reads, False)
