"""A job that breaks in a way that nobody expects is told of, and is done again; the service goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import cast
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from command_svc.seal_notes import SealNotes
from command_svc.store.errors import UnavailableError
from command_svc.store.upkeep import UpkeepStore
from command_svc.sweeper import Sweeper, SweepError
from command_svc.upkeep import Upkeep, UpkeepError
from tests.unit.command_svc.memory_store import MemoryStore

PATIENCE = 5.0


class FailingStore(MemoryStore):
    """A store whose look for expired reservations fails as told."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__()
        self.failures = list(failures)
        self.looks = 0

    async def overdue(self, limit: int) -> list[UUID]:
        """Fail as told."""
        self.looks += 1
        for failure in self.failures:
            raise failure
        return await super().overdue(limit)


async def until(holds: Callable[[], bool]) -> None:
    """Return when it holds; TimeoutError after PATIENCE."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("failure", "level"),
    [(LookupError("nobody expects this"), "error"), (UnavailableError("away"), "warning")],
    ids=["a fault", "the database is away"],
)
async def test_a_sweep_that_fails_is_told_of_and_the_next_one_comes(failure: Exception, level: str) -> None:
    store = FailingStore(failure)
    sweeper = Sweeper(store, 0.001)
    with capture_logs() as logged:
        sweeping = asyncio.create_task(sweeper.run())
        await until(lambda: store.looks > 2)
        with pytest.raises(SweepError, match=str(failure)):
            await sweeper.check()
        store.failures.clear()
        looks = store.looks
        await until(lambda: store.looks > looks + 1)
    await sweeper.check()
    assert not sweeping.done()
    sweeping.cancel()
    assert (logged[0]["event"], logged[0]["log_level"]) == ("expired reservations not freed", level)


async def test_a_job_of_the_upkeep_that_breaks_is_told_of_and_the_others_are_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Jobs(Upkeep):
        """The upkeep, with jobs that note that they were done."""

        broken = True

        async def _create_partitions(self) -> None:
            if self.broken:
                raise LookupError("nobody expects this")

        async def _look(self) -> None:
            self._looked_at = time.monotonic()

    for job in ("_mark_wal", "_drop_expired", "_seal", "_note", "_refresh_summary"):
        monkeypatch.setattr(Upkeep, job, _done)
    keeper = Jobs(
        cast("UpkeepStore", None),
        summary_every=timedelta(minutes=1),
        ahead=timedelta(days=3),
        notes=SealNotes(None),
    )
    with capture_logs() as logged:
        await keeper.round()
    assert [(entry["event"], entry["log_level"], entry["job"]) for entry in logged] == [
        ("upkeep job broke", "error", "partitions")
    ]
    with pytest.raises(UpkeepError, match=r"job partitions breaks: .*nobody expects this"):
        await keeper.check()
    keeper.broken = False
    await keeper.round()
    await keeper.check()


async def _done(_: Upkeep) -> None:
    """Do a job that has nothing to do."""
