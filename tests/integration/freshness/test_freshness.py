"""Queries are answered from the view or the database, by what freshness is asked for and what is there."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import grpc
import psycopg
import pytest

from cdc.projector import project
from command_svc.domain.stock import AddStock
from inventory.journal.v1.transaction_pb2 import Transaction
from inventory.query.v1 import consistency_pb2 as pb
from query_svc.progress import Progress
from serving import tokens
from serving.tokens import CommittedTransaction
from stack.supervisor import Supervisor
from tests.integration.command_svc.story import Story
from tests.integration.freshness.world import FULLY, World, level_of, refused
from tests.redis_server import RedisServer
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack


def noticed(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Return what is set when a query waits for the view."""
    waits, wait = asyncio.Event(), Progress.wait

    async def noting(progress: Progress, transaction: CommittedTransaction, seconds: float) -> bool:
        waits.set()  # up to its wait it goes on without a pause
        return await wait(progress, transaction, seconds)

    monkeypatch.setattr(Progress, "wait", noting)
    return waits


async def test_nothing_older_than_a_token_is_answered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    level = await level_of(world.story)
    await world.project()
    on_hand, freshness = await world.ask(level, world.newest())
    assert (on_hand, freshness.source, freshness.degraded) == (7, pb.SOURCE_VIEW, False)

    await world.story.all(AddStock(level, 1, "RECEIPT"))
    assert (await world.ask(level))[0] == 7  # as the view is
    on_hand, freshness = await world.ask(level, world.newest())
    assert (on_hand, freshness.source, freshness.degraded) == (8, pb.SOURCE_DATABASE, True)
    assert freshness.HasField("as_of")

    await world.story.all(AddStock(level, 1, "RECEIPT"))
    waits = noticed(monkeypatch)
    waiting = asyncio.create_task(world.ask(level, world.newest()))
    await asyncio.wait_for(waits.wait(), 5)
    await world.project()
    on_hand, freshness = await waiting
    assert (on_hand, freshness.source) == (9, pb.SOURCE_VIEW_AFTER_WAIT)


async def test_what_is_fully_consistent_comes_from_the_database(world: World) -> None:
    level = await level_of(world.story)
    await world.project()
    await world.story.all(AddStock(level, 3, "RECEIPT"))
    on_hand, freshness = await world.ask(level, FULLY)
    assert (on_hand, freshness.source, freshness.degraded) == (10, pb.SOURCE_DATABASE, False)
    assert freshness.age.ToTimedelta() < timedelta(seconds=5)


async def test_tokens_of_nobody_are_refused(world: World) -> None:
    level = await level_of(world.story)
    await world.project()
    now = datetime.now(UTC)
    milliseconds = int(now.timestamp() * 1000)
    foreign = uuid.UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62 | 12345)
    later = uuid.UUID(int=(milliseconds + 3_600_000) << 80 | 7 << 76 | 2 << 62)
    (row,) = world.story.ask("SELECT id FROM installation")
    for token in (
        "",
        "nonsense",
        "x" * 128,
        tokens.encode(uuid.uuid4(), now, row["id"]),
        tokens.encode(foreign, now, row["id"]),
        tokens.encode(later, now + timedelta(hours=1), row["id"]),
    ):
        reason = await refused(world.ask(level, pb.Consistency(at_least_as_fresh=token)))
        assert reason == "INVALID_CONSISTENCY_TOKEN", token


@pytest.mark.parametrize("seconds", [0, 3600])
async def test_a_token_of_another_installation_is_refused_at_once(
    world: World, database: RunningStack, seconds: int
) -> None:
    """However old: nobody waits for it, and the database is not asked, which is away here."""
    level = await level_of(world.story)
    await world.project()
    await world.until(level, pb.SOURCE_VIEW)
    moment = datetime.now(UTC) - timedelta(seconds=seconds)
    name = uuid.UUID(int=int(moment.timestamp() * 1000) << 80 | 7 << 76 | 2 << 62 | 12345)
    (row,) = world.story.ask("SELECT id FROM installation")
    foreign, own = (tokens.encode(name, moment, one) for one in (uuid.uuid4(), row["id"]))
    await world.ask(level, FULLY)  # so the service has met its database
    supervisor = Supervisor(database.home)
    supervisor.stop_program("postgres")
    try:
        refusal = await refused(world.ask(level, pb.Consistency(at_least_as_fresh=foreign)))
        assert refusal == "INVALID_CONSISTENCY_TOKEN"
        if seconds:  # for all that is known, it may be one of this one
            _, freshness = await world.ask(level, pb.Consistency(at_least_as_fresh=own))
            assert freshness.source == pb.SOURCE_VIEW
    finally:
        supervisor.start_program("postgres")
        database.wait_ready("postgres")


async def test_without_redis_the_database_answers_until_the_view_is_whole_again(
    world: World, redis: RedisServer
) -> None:
    level = await level_of(world.story)
    await world.project()
    await world.until(level, pb.SOURCE_VIEW)
    redis.kill()
    for _ in range(20):
        on_hand, freshness = await world.ask(level, world.newest())
        assert (on_hand, freshness.source, freshness.degraded) == (7, pb.SOURCE_DATABASE, True)
    redis.start()
    for _ in range(20):  # it is there, and has nothing
        on_hand, freshness = await world.ask(level)
        assert (on_hand, freshness.source, freshness.degraded) == (7, pb.SOURCE_DATABASE, True)
    await world.project()
    await world.until(level, pb.SOURCE_VIEW)
    assert (await world.ask(level, world.newest()))[1].source == pb.SOURCE_VIEW


async def test_without_the_database_levels_are_served_with_their_age(
    world: World, database: RunningStack
) -> None:
    level = await level_of(world.story)
    await world.project()
    consistency = world.newest()
    await world.until(level, pb.SOURCE_VIEW)
    supervisor = Supervisor(database.home)
    supervisor.stop_program("postgres")
    try:
        await asyncio.sleep(5.5)
        on_hand, freshness = await world.ask(level, consistency)
        assert (on_hand, freshness.source, freshness.degraded) == (7, pb.SOURCE_VIEW, True)
        assert freshness.age.ToTimedelta() > timedelta(seconds=5)
        assert await refused(world.ask(level, FULLY)) == "DEPENDENCY_UNAVAILABLE"
    finally:
        supervisor.start_program("postgres")
        database.wait_ready("postgres")
    async with asyncio.timeout(20):
        while True:
            try:
                assert (await world.ask(level, FULLY))[0] == 7
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017 - until it is back
                await asyncio.sleep(0.1)
            else:
                break


def test_the_pulse_is_a_transaction_in_which_nothing_happened(database: RunningStack, story: Story) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    with psycopg.connect(database.postgres_url("cdc"), autocommit=True) as connection:
        connection.execute("SELECT public.pulse()")
    (row,) = story.ask("SELECT * FROM journal")
    pulse = Transaction.FromString(row["payload"])
    beat = pulse.record_time.ToDatetime(UTC)
    assert beat == row["create_time"] >= before
    expected = Transaction(transaction_id=str(row["id"]), part=1, part_count=1)
    expected.record_time.FromDatetime(beat)
    assert pulse == expected
    assert project([bytes(row["payload"])]).commits.ids == [row["id"].bytes]
