"""Crashes in the middle of a load that is never repeated: answered is durable, the rest all or nothing."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.load import under_load
from tests.stack_fixture import RunningStack
from tests.workers import workers

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def two(stack: RunningStack) -> Iterator[RunningStack]:
    """Give the stack with two processes for each service."""
    with workers(stack, 2):
        yield stack


def processes(stack: RunningStack, name: str) -> list[int]:
    """Return the worker processes of a program."""
    parent = stack.pid(name)
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


async def test_a_service_that_crashes_again_and_again(stack: RunningStack) -> None:
    async with under_load(stack) as load:
        for _ in range(3):
            await asyncio.to_thread(stack.kill, "command")
            await load.answers(40)
        assert load.failed


async def test_every_reader_of_the_changes_crashes_in_the_same_moment(stack: RunningStack) -> None:
    async with under_load(stack) as load:
        for victim in ("projector", "connect", "broker"):
            await asyncio.to_thread(stack.kill, victim)
        await load.answers(200)
        # None of them stands between a caller and the commit.
        assert not load.failed
        for victim in ("broker", "connect", "connector", "projector"):
            await asyncio.to_thread(stack.wait_ready, victim)


async def test_a_database_that_crashes_with_all_its_readers_attached(stack: RunningStack) -> None:
    async with under_load(stack) as load:
        await asyncio.to_thread(stack.kill, "postgres")
        await load.answers(100)
        for reader in ("postgres", "connector", "command", "projector", "query"):
            await asyncio.to_thread(stack.wait_ready, reader)


async def test_a_view_that_crashes(stack: RunningStack) -> None:
    async with under_load(stack) as load:
        await asyncio.to_thread(stack.kill, "valkey")
        await load.answers(100)
        assert not load.failed
        for reader in ("valkey", "projector", "query"):
            await asyncio.to_thread(stack.wait_ready, reader)


async def test_one_process_of_two_crashes_and_the_other_goes_on(two: RunningStack) -> None:
    async with under_load(two) as load:
        first, second = processes(two, "command")
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(20):
            # A dead one stays in the list until its parent has looked.
            while len(later := set(processes(two, "command")) - {first}) < 2:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.05)
        assert second in later
        await load.answers(200)


async def test_a_service_of_two_processes_crashes_as_a_whole(two: RunningStack) -> None:
    async with under_load(two) as load:
        workers_before = processes(two, "command")
        await asyncio.to_thread(two.kill, "command")
        await load.answers(100)
        await asyncio.to_thread(two.wait_ready, "command")
        assert not set(processes(two, "command")) & set(workers_before)
