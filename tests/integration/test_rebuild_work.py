"""Who works on a rebuild: one process at a time, and another one where that has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cdc.pipeline.rebuilding import RebuildRunner
from cdc.rebuild import RebuildOvertakenError, Tools
from cdc.rebuild_work import RebuildUnderWayError, RebuildWork
from inventory.admin.v1 import pipeline_service_pb2 as pb
from query_svc.read_model import (
    GENERATION,
    GenerationsWriter,
    Plan,
    connect_generations,
)
from query_svc.read_model.keys import bucket_of
from serving import tasks
from tests.integration.rebuild_world import GRACE_SECONDS, RebuildWorld, rebuild_world, traffic
from tests.redis_server import RedisServer
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack


class World(RebuildWorld):
    """A world, and what other processes would work with in it."""

    def __init__(
        self, stack: RunningStack, redis: RedisServer, tools: Tools, writer: GenerationsWriter
    ) -> None:
        super().__init__(stack, redis, tools, writer)
        self._query_url = stack.postgres_url("query")

    @asynccontextmanager
    async def work(self) -> AsyncIterator[RebuildWork]:
        """Give what another process would work with."""
        async with RebuildWork(
            self._query_url, self.redis.url, GENERATION, grace_seconds=GRACE_SECONDS
        ) as work:
            yield work

    @asynccontextmanager
    async def runner(self) -> AsyncIterator[RebuildRunner]:
        """Give what runs rebuilds in the pipeline's process."""
        async with self.work() as work, connect_generations(self.redis.url) as generations:
            runner = RebuildRunner(work, generations)
            running = asyncio.create_task(runner.run())
            try:
                yield runner
            finally:
                await tasks.end(running)


@pytest.fixture
async def world(database: RunningStack, tmp_path: Path) -> AsyncIterator[World]:
    """Give a world whose live generation shows all rows."""
    async with rebuild_world(World, database, tmp_path) as world:
        yield world


async def taken(work: RebuildWork) -> bool:
    """Tell whether a process could take the rebuild."""
    try:
        await work.take()
    except RebuildUnderWayError:
        return False
    return True


async def test_one_process_at_a_time_works_on_it(world: World, tmp_path: Path) -> None:
    async with traffic(world), world.work() as one, world.work() as other:
        await one.take()
        await one.begin("console", attended=False)
        working = asyncio.create_task(one.work(lambda _: None))
        async with asyncio.timeout(60):
            refused = 0
            while not await taken(other):
                refused += 1
                await asyncio.sleep(0.05)
            # It is over when another can take it, not before.
            record = await other.rebuilds.record()
            assert await working == Plan(f"{GENERATION}r1", number=1)
        assert refused
        assert record is not None
        assert (record.number, record.actor, record.error) == (1, "console", "")
        assert record.start_time < record.end_time
        with pytest.raises(RebuildUnderWayError):
            await one.take()
    await world.proves_equal(tmp_path)


async def test_who_has_lost_the_lease_stops(world: World) -> None:
    async with traffic(world), world.work() as work:
        await work.take()
        await work.begin("console", attended=False)
        # The projector does not look at the plan any more: it cannot come to an end.
        world.stop()
        working = asyncio.create_task(work.work(lambda _: None))
        with world.redis.client() as client:
            client.delete(f"{GENERATION}:rebuild:lease")
        with pytest.raises(RebuildOvertakenError):
            await working


async def test_what_was_asked_for_and_left_is_taken_up(world: World, tmp_path: Path) -> None:
    """Begun by a process that is gone at once, its lease still there; by another that ends in the middle."""
    async with traffic(world):
        async with world.work() as killed:
            await killed.take()
            await killed.begin("operator", attended=True)
        async with world.runner() as runner:
            left = await runner.status()
            assert left is not None
            assert (left.generation, left.actor, left.state) == (
                f"{GENERATION}r1",
                "operator",
                pb.REBUILD_STATE_JOINING,
            )
            with pytest.raises(RebuildUnderWayError):
                await runner.start("another")
            await stands(runner, lambda rebuild: rebuild.state > pb.REBUILD_STATE_JOINING)
        async with world.runner() as runner:
            done = await stands(runner, lambda rebuild: rebuild.HasField("end_time"))
            assert (done.state, done.actor, done.error) == (pb.REBUILD_STATE_DONE, "operator", "")
            again = await runner.start("another")
            assert (again.generation, again.running) == (f"{GENERATION}r2", True)
            await stands(runner, lambda rebuild: rebuild.state == pb.REBUILD_STATE_DONE)
    await world.proves_equal(tmp_path)


async def test_what_cannot_go_on_says_why_and_waits_to_be_asked_for(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdc.rebuild.CATCH_UP_SECONDS", 0.3)
    wrong = f"{GENERATION}r1:{{b{bucket_of('S-7')}}}:levels:S-7"
    async with traffic(world), world.runner() as runner:
        with world.redis.client() as client:
            client.hset(wrong, "W-7", b"9999 wrong")
            await runner.start("operator")
            still = await stands(runner, lambda rebuild: bool(rebuild.error) and not rebuild.running)
            assert "1 of the levels are not as their rows say: S-7 at W-7" in still.error
            assert still.state == pb.REBUILD_STATE_COMPARING
            client.hdel(wrong, "W-7")
        async with world.work() as work:
            await work.give_up()
        assert (await runner.start("operator")).error == ""
        await stands(runner, lambda rebuild: rebuild.state == pb.REBUILD_STATE_GIVEN_UP)
    await world.proves_equal(tmp_path)


async def stands(runner: RebuildRunner, wanted: Callable[[pb.Rebuild], bool]) -> pb.Rebuild:
    """Wait until the rebuild stands as is wanted, and return how it does."""
    async with asyncio.timeout(60):
        while True:
            rebuild = await runner.status()
            if rebuild is not None and wanted(rebuild):
                return rebuild
            await asyncio.sleep(0.05)
