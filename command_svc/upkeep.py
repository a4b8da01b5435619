"""The upkeep of the schema: partitions ahead, old ones away, the summary fresh, an alarm if not.

Any number of processes may run it: each job is done by one of them at a time, and no more often than it
should be. Each looks for itself how things stand, so that each can tell.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from math import inf

import structlog

from command_svc.alarms import Alarm, Limits, alarms, rewritten
from command_svc.seal_notes import SealNotes
from command_svc.store.errors import StoreError
from command_svc.store.upkeep import SEALED_AT_ONCE, SealedDay, UpkeepStore

HEALTH_NAME = "upkeep"
ROUND_SECONDS = 15.0
PARTITIONS_EVERY = timedelta(hours=1)
MARKS_EVERY = timedelta(hours=1)
EXPIRY_EVERY = timedelta(minutes=10)
SEALS_EVERY = timedelta(seconds=10)
MOST_SEALING_STEPS = 500
NOTES_SECONDS = 600.0
NOTED_DAYS = 40
"""Days that are held against their notes, and noted late where nothing ran meanwhile."""
PATIENCE = 10
"""So many times in a row may a job be missed, or a look at how things stand, before it is an alarm."""

log = structlog.get_logger()


class UpkeepError(Exception):
    """Something is wrong with the upkeep; the message says what."""


class Upkeep:
    """Does the jobs on `store` round after round, and knows what is wrong.

    `summary_every` is the time between two refreshes of the summary, `ahead` the least time that must have
    partitions. `notes` keep the seals of days of the audit log that are over.
    """

    def __init__(
        self, store: UpkeepStore, *, summary_every: timedelta, ahead: timedelta, notes: SealNotes
    ) -> None:
        self._store = store
        self._notes = notes
        self._noted_at = -inf
        self._contradicted: list[SealedDay] = []
        self._summary_every = summary_every
        every = {
            "partitions": PARTITIONS_EVERY,
            "marks": MARKS_EVERY,
            "expiry": EXPIRY_EVERY,
            "seals": timedelta(seconds=ROUND_SECONDS),
            "summary": max(summary_every, timedelta(seconds=ROUND_SECONDS)),
        }
        self._limits = Limits(ahead, {job: PATIENCE * interval for job, interval in every.items()})
        self._alarms: dict[str, Alarm] = {}
        self._broken: dict[str, str] = {}
        self._looked_at: float | None = None

    async def run(self) -> None:
        """Do round after round; never returns."""
        while True:
            await self.round()
            await asyncio.sleep(ROUND_SECONDS)

    async def round(self) -> None:
        """Do what is due, then look how things stand.

        What fails is logged, and tried in the next round; so is what breaks, and `check` tells of it at once.
        """
        await self._attempt("partitions", self._create_partitions)
        await self._attempt("marks", self._mark_wal)
        await self._attempt("expiry", self._drop_expired)
        await self._attempt("seals", self._seal)
        await self._attempt("notes", self._note)
        await self._attempt("summary", self._refresh_summary)
        await self._attempt("look", self._look)

    async def check(self) -> None:
        """Return if all is well as far as is known; raises UpkeepError."""
        if self._looked_at is None:
            raise UpkeepError("nobody has looked yet")
        if time.monotonic() - self._looked_at > PATIENCE * ROUND_SECONDS:
            raise UpkeepError("nobody could look for a while")
        problems = [f"job {job} breaks: {cause}" for job, cause in self._broken.items()]
        problems += [f"{alarm.name}: {alarm.problem}" for alarm in self._alarms.values()]
        if problems:
            raise UpkeepError("; ".join(problems))

    async def _create_partitions(self) -> None:
        if made := await self._store.create_partitions(PARTITIONS_EVERY):
            log.info("partitions made", count=made)

    async def _mark_wal(self) -> None:
        await self._store.mark_wal(MARKS_EVERY)

    async def _drop_expired(self) -> None:
        while name := await self._store.drop_expired_partition(EXPIRY_EVERY):
            log.info("partition dropped", partition=name)

    async def _seal(self) -> None:
        for _ in range(MOST_SEALING_STEPS):  # the other jobs have their turn, too
            if await self._store.seal(SEALS_EVERY) != SEALED_AT_ONCE:
                break

    async def _note(self) -> None:
        """Note in every process: each may have a folder, a log and metrics of its own."""
        if time.monotonic() - self._noted_at >= NOTES_SECONDS:
            days = await self._store.sealed_days(NOTED_DAYS)
            self._contradicted = await asyncio.to_thread(self._notes.note, days)
            self._noted_at = time.monotonic()

    async def _refresh_summary(self) -> None:
        await self._store.refresh_summary(self._summary_every)

    async def _look(self) -> None:
        found = [*alarms(await self._store.condition(), self._limits), *rewritten(self._contradicted)]
        self._looked_at = time.monotonic()
        for alarm in found:
            # Once, not in every round: the health entry tells for as long as it lasts.
            if alarm.name not in self._alarms:
                log.error("upkeep alarm", alarm=alarm.name, problem=alarm.problem, remedy=alarm.remedy)
        for name in self._alarms.keys() - {alarm.name for alarm in found}:
            log.info("upkeep alarm is over", alarm=name)
        self._alarms = {alarm.name: alarm for alarm in found}

    async def _attempt(self, job: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (StoreError, OSError) as error:
            log.warning("upkeep job failed", job=job, cause=repr(error))
        except Exception as error:  # whatever it is, the other jobs have their turn, and this one again
            log.exception("upkeep job broke", job=job)
            self._broken[job] = repr(error)
            return
        self._broken.pop(job, None)
