"""A new generation of the read model, beside the live one, from the rows in PostgreSQL.

First the projector applies the stream to the new one too. Then every row is put there, in the order of the
keys: of row and stream, versions decide. Then all is compared, the new one becomes the live one in one step,
and when everybody reads that, the former one is removed. What has been done stands in the plan beside the
data: a rebuild that was interrupted anywhere is gone on with where it was, and of two at once, one stops.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cdc.tables import BY_KIND, TABLES, Connection, Table
from cdc.view_check import differences
from query_svc.read_model import Changes, Generations, Maintenance, Phase, Plan, Retention, Versioned
from serving import tasks

PAGE = 2000
PAGES = 5
PART = 250
PARTS = 8
JOINING_POLL_SECONDS = 0.1
CATCH_UP_SECONDS = 10.0
# Five times as long as readers and the projector take to learn of a change.
GRACE_SECONDS = 5.0


class RebuildError(Exception):
    """The rebuild cannot go on; the live generation is untouched, and what was done is kept."""


class RebuildOvertakenError(RebuildError):
    """Somebody else goes on with the rebuild."""


@dataclass(frozen=True)
class Tools:
    """What a rebuild works with; `maintenance` opens a generation, to be closed by the rebuild.

    What was closed longer ago than the `retention` keeps it is neither filled in nor compared.
    """

    connection: Connection
    generations: Generations
    maintenance: Callable[[str], Maintenance]
    grace_seconds: float = GRACE_SECONDS
    retention: Retention = Retention()  # noqa: RUF009 - it never changes


async def begin(generations: Generations) -> Plan:
    """Begin a rebuild, unless one was begun, and return its plan.

    Raise RebuildOvertakenError, and ReadModelUnavailableError.
    """
    plan = await generations.read()
    if plan.phase is Phase.IDLE:
        return await _swap(generations, plan, _begun(plan, generations.family))
    return plan


async def go_on(tools: Tools, report: Callable[[Plan], None]) -> Plan:
    """Go on with the rebuild that was begun, if any, and return the plan at its end.

    `report` is told of every step. Raise RebuildError when the new generation does not come to show what
    the rows say; RebuildOvertakenError, ReadModelUnavailableError and DatabaseError.
    """
    plan = await tools.generations.read()
    while plan.phase is not Phase.IDLE:
        # Which one that is changes with the switch.
        async with tools.maintenance(plan.other) as other:
            while plan.other == other.generation:
                report(plan)
                plan = await _swap(tools.generations, plan, await _step(tools, other, plan))
    report(plan)
    return plan


async def abandon(generations: Generations) -> Plan:
    """Give up a rebuild that has not switched yet: what it filled will be removed. Return the new plan.

    Raise RebuildError where there is none that can be given up, RebuildOvertakenError where it goes on while
    this is done.
    """
    plan = await generations.read()
    if plan.phase not in (Phase.JOINING, Phase.FILLING, Phase.COMPARING):
        raise RebuildError(f"there is nothing to give up: {plan.phase}")
    return await _swap(generations, plan, replace(plan, phase=Phase.REMOVING, kind="", after=None, rows=0))


async def _swap(generations: Generations, seen: Plan, plan: Plan) -> Plan:
    if plan != seen and not await generations.swap(seen, plan):
        raise RebuildOvertakenError("somebody else goes on with the rebuild")
    return plan


def _begun(plan: Plan, family: str) -> Plan:
    number = plan.number + 1
    return replace(plan, phase=Phase.JOINING, other=f"{family}r{number}", number=number)


async def _step(tools: Tools, other: Maintenance, plan: Plan) -> Plan:
    """Do the next small step of a rebuild, which may be done again, and return the plan after it."""
    match plan.phase:
        case Phase.JOINING:
            if await other.joined():
                return replace(plan, phase=Phase.FILLING, kind=TABLES[0].kind)
            await asyncio.sleep(JOINING_POLL_SECONDS)
            return plan
        case Phase.FILLING:
            return await _stretch(tools, other, plan, _fill) or replace(
                plan, phase=Phase.COMPARING, kind=TABLES[0].kind, after=None, rows=0
            )
        case Phase.COMPARING:
            return await _stretch(tools, other, plan, _compare) or replace(
                plan, live=plan.other, other=plan.live, phase=Phase.SWITCHED, kind="", after=None, rows=0
            )
        case Phase.SWITCHED:
            # Until nobody reads the former one any more, it is written.
            await asyncio.sleep(tools.grace_seconds)
            return replace(plan, phase=Phase.REMOVING)
        case _:
            if not plan.rows:
                # Until nobody writes it any more.
                await asyncio.sleep(tools.grace_seconds)
            removed = await other.discard()
            rows = plan.rows + removed
            return replace(plan, rows=rows) if removed else Plan(live=plan.live, number=plan.number)


Work = Callable[[Connection, Maintenance, Table, Sequence[Versioned]], Coroutine[None, None, None]]


async def _stretch(tools: Tools, other: Maintenance, plan: Plan, work: Work) -> Plan | None:
    """Do the work on the next rows, PAGES pages at most; None at the end of the last table.

    The next page is read, and Redis works on some parts, while one is made ready.
    """
    table = BY_KIND[plan.kind]
    kept_since = tools.retention.kept_since(datetime.now(UTC))
    after, rows = plan.after, plan.rows
    working: deque[asyncio.Task[None]] = deque()
    reading = asyncio.create_task(table.page(tools.connection, after, PAGE))
    try:
        for further in reversed(range(PAGES)):
            if not (found := await reading):
                break
            after = table.name_of(found[-1])
            if further:
                reading = asyncio.create_task(table.page(tools.connection, after, PAGE))
            kept = [row for row in found if not table.closed_before(row, kept_since)]
            rows += len(kept)
            for start in range(0, len(kept), PART):
                part = [table.message(row) for row in kept[start : start + PART]]
                working.append(asyncio.create_task(work(tools.connection, other, table, part)))
                # It leaves for Redis before the next is made ready.
                await asyncio.sleep(0)
                if len(working) == PARTS:
                    await working.popleft()
        while working:
            await working.popleft()
    finally:
        await tasks.end(reading, *working)
        # What they ended with besides is of no account.
        await asyncio.gather(reading, *working, return_exceptions=True)
    if after != plan.after:
        return replace(plan, after=after, rows=rows)
    later = TABLES[TABLES.index(table) + 1 :]
    return replace(plan, kind=later[0].kind, after=None) if later else None


async def _fill(_: Connection, other: Maintenance, table: Table, things: Sequence[Versioned]) -> None:
    await other.put(Changes.of(table.kind, things))


async def _compare(
    connection: Connection, other: Maintenance, table: Table, things: Sequence[Versioned]
) -> None:
    """Return when all of these are stored as their rows say. Raise RebuildError if they never are."""

    async def view() -> Maintenance:
        return other

    deadline = time.monotonic() + CATCH_UP_SECONDS
    if differing := await differences(connection, view, table, things, deadline):
        shown = ", ".join(table.words(one.name) for one in differing[:5])
        raise RebuildError(f"{len(differing)} of the {table.kind} are not as their rows say: {shown}")
