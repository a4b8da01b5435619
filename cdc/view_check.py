"""What the read model stores against the rows, beside live traffic."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from cdc.comparison import VIEW, Report, Spot, view_fault
from cdc.tables import Connection, Name, Table
from query_svc.read_model import Changes, Maintenance, ReadModel, Stored, Versioned
from query_svc.rows import Row

RETRY_SECONDS = 0.1


class Difference(NamedTuple):
    """A thing as its row says, and what is stored of it instead; `stale` if that is only older."""

    name: Name
    expected: Versioned
    stored: Stored
    stale: bool


View = Callable[[], Awaitable[Maintenance]]
"""The generation to look at: asked for before every look, for another one may be live by then."""


async def differences(
    connection: Connection, view: View, table: Table, things: Sequence[Versioned], deadline: float
) -> list[Difference]:
    """Return those of the things, rows of a table as messages, that are not stored as the rows say.

    What is stored may be behind a row, and ahead of one that was read a moment ago; so may the stream be of
    what this connection can see. Both is asked again until the deadline (of time.monotonic), the row too. A
    version between two that the row had one after the other is taken for right.
    """
    found: list[Difference] = []
    while things and not await (generation := await view()).shows(table.kind, things):
        is_last = time.monotonic() >= deadline
        unlike: dict[Name, tuple[Versioned, Stored]] = {}
        seen = await generation.stored(table.kind, things)
        for thing, stored in zip(things, seen, strict=True):
            if stored.matches:
                continue
            if stored.version == thing.version or (stored.value is not None and not stored.version):
                found.append(Difference(table.name(thing), thing, stored, stale=False))
            else:
                unlike[table.name(thing)] = (thing, stored)
        rows = {table.name_of(row): table.message(row) for row in await table.named(connection, unlike)}
        things = []
        for name, (thing, stored) in unlike.items():
            row = rows.get(name, thing)
            if thing.version < stored.version < row.version:
                continue
            if is_last and stored.version < thing.version:
                found.append(Difference(name, row, stored, stale=True))
            elif is_last and stored.version > row.version:
                found.append(Difference(name, row, stored, stale=False))
            else:
                things.append(row)
        if things and not is_last:
            await asyncio.sleep(RETRY_SECONDS)
    return found


class Patience:
    """How long to wait for the read model and this connection to come up with one another."""

    def __init__(self, seconds: float, *, is_total: bool) -> None:
        self._seconds = seconds
        self._until = time.monotonic() + seconds if is_total else None

    def deadline(self) -> float:
        """Return, for a step that begins now, until when to wait, of time.monotonic."""
        return self._until or time.monotonic() + self._seconds


class Comparing:
    """Compares rows of a table with what the read model shows of them.

    With `repair` what is only stale is put right and is no fault; what is wrong is put right too, and is.
    """

    def __init__(self, view: ReadModel, table: Table, patience: Patience, *, repair: bool) -> None:
        self._spot = Spot(VIEW, table.kind)
        self._view = view
        self._table = table
        self._patience = patience
        self._repair = repair

    async def compare(self, connection: Connection, rows: Sequence[Row], report: Report) -> None:
        """Compare some rows, and report."""
        table = self._table
        report.compared[self._spot] += len(rows)
        things = [table.message(row) for row in rows]
        deadline = self._patience.deadline()
        for one in await differences(connection, self._view.maintenance, table, things, deadline):
            view = await self._view.maintenance()
            if one.stale and self._repair:
                await view.put(Changes.of(table.kind, [one.expected]))
                report.repaired[self._spot] += 1
                continue
            shown = view.message(table.kind, one.stored, one.name)
            report.fault(self._spot, f"{table.words(one.name)}: {view_fault(one.expected, shown)}")
            if self._repair:
                (stored,) = await view.stored(table.kind, [one.expected])
                if stored.value == one.stored.value:
                    await view.replace(stored)
