"""Who works on a rebuild: one process at a time, which says so all the while, and notes how it ended."""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import Self, TypeVar
from uuid import uuid4

from cdc.rebuild import (
    GRACE_SECONDS,
    RebuildError,
    RebuildOvertakenError,
    Tools,
    abandon,
    begin,
    go_on,
)
from cdc.tables import DatabaseError, connect_database
from query_svc.read_model import (
    LEASE_SECONDS,
    Phase,
    Plan,
    ReadModelUnavailableError,
    RebuildRecord,
    Retention,
    connect_generations,
    connect_maintenance,
    connect_rebuilds,
)
from serving import tasks

ABANDON_TRIES = 10

T = TypeVar("T")


class RebuildUnderWayError(Exception):
    """Another process is at work on a rebuild."""


class RebuildWork:
    """Begins a rebuild and works on it, while no other process does. A context manager.

    Two may be at work at once where one was asleep for longer than its lease: then the plan lets only one of
    them go on. Besides what the methods name, all raise ReadModelUnavailableError.
    """

    def __init__(
        self,
        database_url: str,
        redis_url: str,
        family: str,
        *,
        grace_seconds: float = GRACE_SECONDS,
        retention: Retention = Retention(),  # noqa: B008 - it never changes
    ) -> None:
        self._generations = connect_generations(redis_url, family=family)
        self.rebuilds = connect_rebuilds(redis_url, family=family)
        self._database_url = database_url
        self._redis_url = redis_url
        self._grace_seconds = grace_seconds
        self._retention = retention
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{uuid4()}"
        self._resources = AsyncExitStack()

    async def take(self) -> None:
        """Be the one at work, from now until the end of `work` or `leave`. Raise RebuildUnderWayError."""
        if not await self.rebuilds.take(self._holder):
            raise RebuildUnderWayError

    async def leave(self) -> None:
        """Let others work."""
        await self.rebuilds.leave(self._holder)

    async def begin(self, actor: str, *, attended: bool) -> Plan:
        """Begin a rebuild, or take over the one that was left, and return its plan. Only after `take`.

        Once `attended`, it stays so. Raise RebuildOvertakenError.
        """
        plan = await begin(self._generations)
        record = await self._record(plan) or RebuildRecord(plan.number, actor, time.time())
        await self.rebuilds.write(replace(record, attended=record.attended or attended, error=""))
        return plan

    async def work(self, report: Callable[[Plan], None]) -> Plan:
        """Work on the rebuild that was begun until its end, and return the plan. Only after `take`.

        `report` is told of every step. What keeps it from going on is noted and raised: DatabaseError, and
        RebuildError, after which nobody takes it up by itself; not RebuildOvertakenError.
        """
        return await self._leased(self._work(report))

    async def give_up(self) -> None:
        """Give up the rebuild, whoever is at work on it; what it filled is still to be removed.

        Raise RebuildError where there is none that can be given up.
        """
        for _ in range(ABANDON_TRIES):
            with suppress(RebuildOvertakenError):
                plan = await abandon(self._generations)
                break
        else:
            raise RebuildError("it goes on too fast to be given up")
        if record := await self._record(plan):
            await self.rebuilds.write(replace(record, attended=False))

    async def _work(self, report: Callable[[Plan], None]) -> Plan:
        seen = await self._generations.read()
        await self._note(seen, error="")
        try:
            async with connect_database(self._database_url) as connection:
                maintenance = partial(connect_maintenance, self._redis_url)
                tools = Tools(
                    connection, self._generations, maintenance, self._grace_seconds, self._retention
                )
                plan = await go_on(tools, report)
        except RebuildOvertakenError:
            raise
        except RebuildError as error:
            await self._note(seen, attended=False, error=str(error))
            raise
        except DatabaseError as error:
            await self._note(seen, error=str(error))
            raise
        await self._note(plan, attended=False, end_time=time.time(), error="")
        return plan

    async def _record(self, plan: Plan) -> RebuildRecord | None:
        """Return the record of a plan's rebuild, None where there is none of it."""
        record = await self.rebuilds.record()
        return record if record is not None and record.number == plan.number else None

    async def _note(self, plan: Plan, **changes: object) -> None:
        if record := await self._record(plan):
            await self.rebuilds.write(replace(record, **changes))  # type: ignore[arg-type] # named as its fields

    async def _leased(self, work: Coroutine[object, object, T]) -> T:
        """Do some work while the lease is kept; raise RebuildOvertakenError if it is lost."""
        working = asyncio.create_task(work, name="rebuild work")
        keeping = asyncio.create_task(self._keep(), name="rebuild lease")
        try:
            await asyncio.wait({working, keeping}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                keeping.result()
            return await working
        finally:
            await tasks.end(working, keeping)
            # What they ended with besides is of no account.
            await asyncio.gather(working, keeping, return_exceptions=True)
            # It runs out by itself.
            with suppress(ReadModelUnavailableError):
                await self.leave()

    async def _keep(self) -> None:
        """Keep the lease until it is lost; raise RebuildOvertakenError then."""
        kept = time.monotonic()
        while time.monotonic() - kept < LEASE_SECONDS:
            await asyncio.sleep(LEASE_SECONDS / 5)
            with suppress(ReadModelUnavailableError):
                if not await self.rebuilds.keep(self._holder):
                    break
                kept = time.monotonic()
        raise RebuildOvertakenError("the lease of the rebuild is lost")

    async def __aenter__(self) -> Self:
        await self._resources.enter_async_context(self._generations)
        await self._resources.enter_async_context(self.rebuilds)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._resources.aclose()


def is_left(plan: Plan, record: RebuildRecord | None) -> bool:
    """Tell whether a rebuild was begun that is to be taken up where nobody is at work on it."""
    return (
        plan.phase is not Phase.IDLE
        and record is not None
        and record.number == plan.number
        and record.attended
    )
