"""The read model against the rows: every row is shown, and nothing that is no row.

A promise that was closed longer ago than the retention keeps it need not be shown, and is taken away.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Final, Generic, TypeVar

from cdc.comparison import VIEW, Report, Spot, view_fault
from cdc.tables import TABLES, Connection, Name, Table
from cdc.view_check import RETRY_SECONDS, differences
from query_svc.read_model import Changes, Maintenance, ReadModel, Retention
from query_svc.rows import Row

PAGE = 500

T = TypeVar("T")

LISTS: Final = Spot(VIEW, "lists")


class Patience:
    """How long to wait for the read model and this connection to come up with one another."""

    def __init__(self, seconds: float, *, is_total: bool) -> None:
        self._seconds = seconds
        self._until = time.monotonic() + seconds if is_total else None

    def deadline(self) -> float:
        """Return, for a step that begins now, until when to wait, of time.monotonic."""
        return self._until or time.monotonic() + self._seconds


class _Pages(Generic[T]):
    """The pages of a walk through the live generation, begun anew with another one and after an error."""

    def __init__(self, view: ReadModel, walk: Callable[[Maintenance], AsyncIterator[list[T]]]) -> None:
        self._view = view
        self._walk = walk
        self._walked: tuple[Maintenance, AsyncIterator[list[T]]] | None = None

    async def next(self) -> tuple[Maintenance, list[T] | None]:
        """Return the generation and its next page, None at the end."""
        generation = await self._view.maintenance()
        if self._walked is None or self._walked[0] is not generation:
            self._walked = (generation, self._walk(generation))
        try:
            return generation, await anext(self._walked[1], None)
        except BaseException:  # cancelled, too: a walk that was broken off yields no more
            self._walked = None
            raise


class RowsWalk:
    """The rows of a table against what the read model shows of them.

    With `repair` what is only stale is put right and is no fault; what is wrong is put right too, and is.
    """

    def __init__(
        self, view: ReadModel, table: Table, patience: Patience, retention: Retention, *, repair: bool
    ) -> None:
        self._spot = Spot(VIEW, table.kind)
        self.name = str(self._spot)
        self._view = view
        self._table = table
        self._patience = patience
        self._retention = retention
        self._repair = repair
        self._after: Name | None = None

    async def step(self, connection: Connection, report: Report) -> bool:
        """Check the next rows; False when there were none."""
        table = self._table
        page = await table.page(connection, self._after, PAGE)
        if not page:
            return False
        kept_since = self._retention.kept_since(datetime.now(UTC))
        rows = [row for row in page if not table.closed_before(row, kept_since)]
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
        self._after = table.name_of(page[-1])
        return True


class StraysWalk:
    """What the read model shows of a kind, of which there is no row. With `repair` it is taken away.

    So is what was closed longer ago than the retention keeps it, which is no fault.
    """

    def __init__(
        self, view: ReadModel, table: Table, patience: Patience, retention: Retention, *, repair: bool
    ) -> None:
        self._spot = Spot(VIEW, table.kind)
        self.name = f"{table.kind} without a row"
        self._table = table
        self._patience = patience
        self._retention = retention
        self._repair = repair
        self._names = _Pages(view, lambda generation: generation.names(table.kind))

    async def step(self, connection: Connection, report: Report) -> bool:
        """Check the next names; False when there were none. Begins anew with another generation."""
        view, names = await self._names.next()
        if names is None:
            return False
        for start in range(0, len(names), PAGE):
            rows, strays = await self._rows_of(connection, names[start : start + PAGE])
            for name in strays:
                report.fault(
                    self._spot, f"{self._table.words(name)}: the read model shows it, there is no row"
                )
                if self._repair:
                    await view.remove(self._table.kind, name)
            if self._repair:
                await self._retire(view, rows, report)
        return True

    async def _rows_of(self, connection: Connection, names: Sequence[Name]) -> tuple[list[Row], list[Name]]:
        """Return the rows of names, and the names of which there is none, and comes none.

        The stream may be ahead: what is missing is asked for again while there is patience.
        """
        deadline = self._patience.deadline()
        rows: list[Row] = []
        missing = set(names)
        while missing:
            found = await self._table.named(connection, missing)
            rows += found
            missing -= {self._table.name_of(row) for row in found}
            if time.monotonic() >= deadline:
                break
            if missing:
                await asyncio.sleep(RETRY_SECONDS)
        return rows, sorted(missing)

    async def _retire(self, view: Maintenance, rows: Sequence[Row], report: Report) -> None:
        """Take away those of the rows that have been closed for long, unless they are newer by now."""
        table, gone_before = self._table, self._retention.gone_before(datetime.now(UTC))
        versions = {
            table.name_of(row): row["version"] for row in rows if table.closed_before(row, gone_before)
        }
        if versions:
            report.retired[self._spot] += await view.retire(table.kind, versions)


class EntriesWalk:
    """What stands in the lists of the read model, though no row there belongs in its place.

    With `repair` it is only stale, and taken away.
    """

    name = "entries of lists without a row"

    def __init__(self, view: ReadModel, *, repair: bool) -> None:
        self._repair = repair
        self._listed = _Pages(view, lambda generation: generation.indexes.listed())

    async def step(self, _: Connection, report: Report) -> bool:
        """Check the next entries; False when there were none. Begins anew with another generation."""
        view, listed = await self._listed.next()
        if listed is None:
            return False
        for start in range(0, len(listed), PAGE):
            left_over = await view.indexes.left_over(listed[start : start + PAGE])
            if self._repair and left_over:
                report.repaired[LISTS] += await view.indexes.withdraw(left_over)
            elif not self._repair:
                for entry in left_over:
                    report.fault(LISTS, f"the list entry {entry} belongs to no row")
        return True


Walk = RowsWalk | StraysWalk | EntriesWalk


def walks(view: ReadModel, patience: Patience, retention: Retention, *, repair: bool) -> Sequence[Walk]:
    """Return all checks of the read model, each at its beginning."""
    return [
        *(RowsWalk(view, table, patience, retention, repair=repair) for table in TABLES),
        *(StraysWalk(view, table, patience, retention, repair=repair) for table in TABLES),
        EntriesWalk(view, repair=repair),
    ]


SPOTS: Final = (*(Spot(VIEW, table.kind) for table in TABLES), LISTS)
"""What is compared of the read model."""
