"""The read model against the rows: every row is shown, and nothing that is no row."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

from cdc.comparison import Report, view_fault
from cdc.tables import TABLES, Connection, Name, Table
from cdc.view_check import RETRY_SECONDS, differences
from query_svc.read_model import Changes, Maintenance, ReadModel

PAGE = 500

VIEW = "read model"
"""Where a difference is found."""


class Patience:
    """How long to wait for the read model and this connection to come up with one another."""

    def __init__(self, seconds: float, *, is_total: bool) -> None:
        self._seconds = seconds
        self._until = time.monotonic() + seconds if is_total else None

    def deadline(self) -> float:
        """Return, for a step that begins now, until when to wait, of time.monotonic."""
        return self._until or time.monotonic() + self._seconds


class RowsWalk:
    """The rows of a table against what the read model shows of them.

    With `repair` what is only stale is put right and is no fault; what is wrong is put right too, and is.
    """

    def __init__(self, view: ReadModel, table: Table, patience: Patience, *, repair: bool) -> None:
        self.name = f"{table.kind} in the read model"
        self._view = view
        self._table = table
        self._patience = patience
        self._repair = repair
        self._after: Name | None = None

    async def step(self, connection: Connection, report: Report) -> bool:
        """Check the next rows; False when there were none."""
        table = self._table
        rows = await table.page(connection, self._after, PAGE)
        if not rows:
            return False
        if table.kind != "levels":  # counted with the ledger
            report.compared[table.kind] += len(rows)
        things = [table.message(row) for row in rows]
        deadline = self._patience.deadline()
        for one in await differences(connection, self._view.maintenance, table, things, deadline):
            view = await self._view.maintenance()
            if one.stale and self._repair:
                await view.put(Changes.of(table.kind, [one.expected]))
                report.repaired[table.kind] += 1
                continue
            shown = view.message(table.kind, one.stored, one.name)
            report.fault(VIEW, f"{table.words(one.name)}: {view_fault(one.expected, shown)}")
            if self._repair:
                (stored,) = await view.stored(table.kind, [one.expected])
                if stored.value == one.stored.value:
                    await view.replace(stored)
        self._after = table.name_of(rows[-1])
        return True


class StraysWalk:
    """What the read model shows of a kind, of which there is no row. With `repair` it is taken away."""

    def __init__(self, view: ReadModel, table: Table, patience: Patience, *, repair: bool) -> None:
        self.name = f"{table.kind} without a row"
        self._view = view
        self._table = table
        self._patience = patience
        self._repair = repair
        self._walked: tuple[Maintenance, AsyncIterator[list[Name]]] | None = None

    async def step(self, connection: Connection, report: Report) -> bool:
        """Check the next names; False when there were none. Begins anew with another generation."""
        view = await self._view.maintenance()
        if self._walked is None or self._walked[0] is not view:
            self._walked = (view, view.names(self._table.kind))
        try:
            names = await anext(self._walked[1], None)
        except BaseException:
            self._walked = None
            raise
        if names is None:
            return False
        for start in range(0, len(names), PAGE):
            for name in await self._without_row(connection, names[start : start + PAGE]):
                report.fault(VIEW, f"{self._table.words(name)}: the read model shows it, there is no row")
                if self._repair:
                    await view.remove(self._table.kind, name)
        return True

    async def _without_row(self, connection: Connection, names: Sequence[Name]) -> list[Name]:
        """Return the names of which there is no row, and comes none: the stream may be ahead."""
        deadline = self._patience.deadline()
        missing = set(names)
        while missing:
            found = await self._table.named(connection, missing)
            missing -= {self._table.name_of(row) for row in found}
            if time.monotonic() >= deadline:
                break
            if missing:
                await asyncio.sleep(RETRY_SECONDS)
        return sorted(missing)


def walks(view: ReadModel, patience: Patience, *, repair: bool) -> Sequence[RowsWalk | StraysWalk]:
    """Return all checks of the read model, each at its beginning."""
    return [
        *(RowsWalk(view, table, patience, repair=repair) for table in TABLES),
        *(StraysWalk(view, table, patience, repair=repair) for table in TABLES),
    ]
