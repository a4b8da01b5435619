"""The read model against the rows: every row is shown, and nothing that is no row.

A promise that was closed longer ago than the retention keeps it need not be shown, and is taken away.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Final, Generic, NamedTuple, TypeVar

from cdc.comparison import VIEW, Report, Spot
from cdc.tables import FIRST_ID, TABLES, Connection, Name, Place, Table, Which
from cdc.view_check import RETRY_SECONDS, Comparing, Patience
from query_svc.read_model import Maintenance, ReadModel, Retention
from query_svc.rows import Row

PAGE = 500

T = TypeVar("T")

LISTS: Final = Spot(VIEW, "lists")


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


class _Part(NamedTuple):
    """Rows to walk through, after a place or from the beginning."""

    which: Which
    after: Place | None = None


class RowsWalk:
    """The rows of a table against what the read model shows of them.

    Of promises, those that are open, and those that changed last within the retention, both by an index: so
    it takes no longer the more was closed before. A walk that is `whole` looks at every row instead.
    """

    def __init__(self, table: Table, comparing: Comparing, retention: Retention, *, whole: bool) -> None:
        self.name = str(Spot(VIEW, table.kind))
        self._table = table
        self._comparing = comparing
        self._retention = retention
        self._parts = [_Part(Which.EVERY)]
        if table.open_state and not whole:
            since = retention.kept_since(datetime.now(UTC))
            # Those that are open first: what is closed meanwhile is among the others.
            self._parts = [_Part(Which.OPEN), _Part(Which.CLOSED, (since, FIRST_ID))]

    async def step(self, connection: Connection, report: Report) -> bool:
        """Check the next rows; False when there were none."""
        while self._parts:
            which, after = self._parts[0]
            if page := await self._table.page(connection, after, PAGE, which):
                await self._check(connection, page, report)
                self._parts[0] = _Part(which, self._table.place_of(page[-1], which))
                return True
            self._parts.pop(0)
        return False

    async def _check(self, connection: Connection, rows: Sequence[Row], report: Report) -> None:
        kept_since = self._retention.kept_since(datetime.now(UTC))
        await self._comparing.compare(
            connection, [row for row in rows if not self._table.closed_before(row, kept_since)], report
        )


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
    """Return all checks of the read model, each at its beginning.

    With `repair` they go over and over, by the indexes; without, they are a proof that relies on none.
    """
    return [
        *(
            RowsWalk(table, Comparing(view, table, patience, repair=repair), retention, whole=not repair)
            for table in TABLES
        ),
        *(StraysWalk(view, table, patience, retention, repair=repair) for table in TABLES),
        EntriesWalk(view, repair=repair),
    ]


SPOTS: Final = (*(Spot(VIEW, table.kind) for table in TABLES), LISTS)
"""What is compared of the read model."""
