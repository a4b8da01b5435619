"""Lanes in processes of their own, as the worker processes of the service have them."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier

from command_svc import journal
from command_svc.batcher import Batcher, Limits
from command_svc.domain.batch import AtomicRefusalError, Submission, Verdict
from command_svc.store.store import CommandStore

PROCESSES = 3
PATIENCE = 60.0
# Small transactions, so that many of them meet.
SMALL = Limits(batch=5)

Answer = bytes | str
"""What became of one request: its encoded answer, the reason of its refusal, or the kind of error."""

_barrier: Barrier | None = None


def store(url: str) -> CommandStore:
    """Return a store, not yet open."""
    return CommandStore(
        url, journal.encode, connections=2, statement_timeout=10.0, connect_timeout=5.0, lock_timeout=10.0
    )


@asynccontextmanager
async def lane(url: str, limits: Limits = SMALL) -> AsyncIterator[Batcher]:
    """Run a lane on the database."""
    async with store(url) as opened, Batcher(opened, limits) as batcher:
        yield batcher


async def ask(batcher: Batcher, submissions: Sequence[Submission]) -> list[list[Answer]]:
    """Submit all at once; return what became of every request of each."""
    outcomes = await asyncio.gather(*map(batcher.submit, submissions), return_exceptions=True)
    return [_answers(submission, outcome) for submission, outcome in zip(submissions, outcomes, strict=True)]


def _answers(submission: Submission, outcome: list[Verdict] | BaseException) -> list[Answer]:
    if isinstance(outcome, list):
        return [verdict if isinstance(verdict, bytes) else verdict.reason for verdict in outcome]
    if isinstance(outcome, AtomicRefusalError):
        return [outcome.refusal.reason] * len(submission.requests)
    return [type(outcome).__name__] * len(submission.requests)


@dataclass(frozen=True)
class Processes:
    """PROCESSES processes, each with a lane of its own on the same database."""

    url: str
    _pool: ProcessPoolExecutor

    def carry_out(self, *plans: Sequence[Submission]) -> list[list[list[Answer]]]:
        """Let every process submit its plan at once, all at the same moment; return what became of it."""
        assert len(plans) == PROCESSES
        runs = [self._pool.submit(_carry_out, self.url, list(plan)) for plan in plans]
        return [run.result(PATIENCE) for run in runs]


@contextmanager
def processes(url: str) -> Iterator[Processes]:
    """Keep the processes, and end them."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(PROCESSES)
    with ProcessPoolExecutor(PROCESSES, context, initializer=_join, initargs=(barrier,)) as pool:
        yield Processes(url, pool)


def _join(barrier: Barrier) -> None:
    global _barrier  # noqa: PLW0603 - a process of the pool has no other place for it
    _barrier = barrier


def _carry_out(url: str, plan: list[Submission]) -> list[list[Answer]]:
    async def run() -> list[list[Answer]]:
        async with store(url) as opened, Batcher(opened, SMALL) as batcher:
            await opened.ping()
            assert _barrier is not None
            # Nobody begins before all can: so no process takes two plans either.
            await asyncio.to_thread(_barrier.wait, PATIENCE)
            return await ask(batcher, plan)

    return asyncio.run(run())
