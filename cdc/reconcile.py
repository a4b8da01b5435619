"""The proof that ledger, rows and read model tell the same: once, or all the time.

Every check walks in the order of keys, in small steps and bounded memory, beside live traffic: the books
in `books`, the read model in `view_walks`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from cdc import books, view_walks
from cdc.comparison import BOOKS, Report, Spot
from cdc.tables import Connection, DatabaseError, connect_database
from cdc.view_check import Patience
from query_svc.read_model import ReadModel, ReadModelUnavailableError, Retention

__all__ = ["SPOTS", "Reconciler", "Report", "Spot", "Status", "reconcile"]

SPOTS: Final = (*BOOKS, *view_walks.SPOTS)
"""Everything that is compared."""

# For so much of the time it works, the rest it leaves to others.
SHARE = 0.2
PATIENCE_SECONDS = 5.0
RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 15.0

log = structlog.get_logger()

Walk = books.Walk | view_walks.Walk


async def reconcile(
    database_url: str,
    view: ReadModel,
    *,
    wait: float = 0.0,
    retention: Retention = Retention(),  # noqa: B008 - it never changes
) -> Report:
    """Compare everything once, and report; nothing is repaired.

    The read model gets until `wait` seconds from the start to come up to the rows, and the rows to it.
    `database_url` is for a role that may read every table. Raises DatabaseError and
    ReadModelUnavailableError.
    """
    report = Report()
    async with connect_database(database_url) as connection:
        for walk in _walks(view, Patience(wait, is_total=True), retention, repair=False):
            while await walk.step(connection, report):
                pass
    return report


@dataclass(slots=True)
class Status:
    """What the continuous reconciliation has come to know; times are seconds since 1970, 0 for never.

    current: the cycle that runs, or ran last; last: the last that was completed, None before the first.
    total: all completed cycles together.
    walk: what the cycle compares at present, empty between two.
    trouble: why it cannot go on at present, empty while it can.
    """

    cycles: int = 0
    walk: str = ""
    current: Report = field(default_factory=Report)
    current_start_time: float = 0.0
    last: Report | None = None
    last_start_time: float = 0.0
    last_end_time: float = 0.0
    total: Report = field(default_factory=Report)
    trouble: str = ""


class Reconciler:
    """Compares everything, over and over, until it is cancelled; `status` may be read at any time.

    In the read model, what is only stale is put right without a word, what was closed longer ago than the
    `retention` keeps it is taken away, and what is wrong is reported and put right. Books that differ are
    reported, cycle after cycle: which of them is right is for people to say.
    A cycle begins `interval` seconds after the one before, or as soon as that is done.
    """

    def __init__(  # noqa: PLR0913 - the parts it is made of
        self,
        database_url: str,
        view: ReadModel,
        *,
        interval: float,
        share: float = SHARE,
        patience: float = PATIENCE_SECONDS,
        retention: Retention = Retention(),  # noqa: B008 - it never changes
    ) -> None:
        self.status = Status()
        self._database_url = database_url
        self._view = view
        self._interval = interval
        self._share = share
        self._patience = patience
        self._retention = retention

    async def run(self) -> None:
        """Run cycle after cycle, for ever; wait where PostgreSQL or Redis is away, and go on from there."""
        while True:
            begun = time.monotonic()
            self.status.current, self.status.current_start_time = Report(), time.time()
            patience = Patience(self._patience, is_total=False)
            await self._cycle(list(_walks(self._view, patience, self._retention, repair=True)))
            self._close_cycle()
            await asyncio.sleep(max(0.0, begun + self._interval - time.monotonic()))

    async def _cycle(self, walks: list[Walk]) -> None:
        """Go through all walks, which keep their places over any trouble."""
        retry = RETRY_SECONDS
        while walks:
            try:
                async with connect_database(self._database_url) as connection:
                    while walks:
                        await self._walk(connection, walks[0])
                        walks.pop(0)
                        retry = RETRY_SECONDS
            except (DatabaseError, ReadModelUnavailableError) as error:
                if not self.status.trouble:
                    log.warning("reconciliation waits", walk=self.status.walk, cause=repr(error))
                self.status.trouble = repr(error)
                await asyncio.sleep(retry)
                retry = min(2 * retry, MAX_RETRY_SECONDS)

    async def _walk(self, connection: Connection, walk: Walk) -> None:
        self.status.walk = walk.name
        report, more = self.status.current, True
        while more:
            faults, begun = report.fault_count, time.monotonic()
            more = await walk.step(connection, report)
            self.status.trouble = ""
            if report.fault_count > faults:
                shown = report.faults[faults:]
                log.error("drift", walk=walk.name, found=report.fault_count - faults, faults=shown)
            await asyncio.sleep((time.monotonic() - begun) * (1 / self._share - 1))

    def _close_cycle(self) -> None:
        status = self.status
        status.last, status.last_start_time, status.last_end_time = (
            status.current,
            status.current_start_time,
            time.time(),
        )
        status.cycles += 1
        status.walk = ""
        status.total.add(status.current)
        log.info(
            "reconciled",
            cycle=status.cycles,
            seconds=round(status.last_end_time - status.last_start_time, 3),
            compared=_words(status.current.compared),
            drift=_words(status.current.drift),
            repaired=_words(status.current.repaired),
            retired=_words(status.current.retired),
        )


def _words(counts: Mapping[Spot, int]) -> dict[str, int]:
    return {str(spot): number for spot, number in counts.items()}


def _walks(view: ReadModel, patience: Patience, retention: Retention, *, repair: bool) -> Sequence[Walk]:
    return [*books.walks(), *view_walks.walks(view, patience, retention, repair=repair)]
