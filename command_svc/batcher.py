"""The lane: gathers what callers ask while a transaction is under way and commits it as the next one.

One transaction at a time for each process: a lone request goes straight through, many share the cost of
one commit, and no two transactions of a process ever wait for the same level.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, Self

import structlog

from command_svc.domain.batch import AtomicRefusalError, Scope, Submission, Verdict, decide
from command_svc.domain.transaction import Transaction
from command_svc.store.errors import ConflictError, RejectedError, UnavailableError

log = structlog.get_logger()


class Store(Protocol):
    """What the lane needs of the command store; see `CommandStore.transact`."""

    async def transact(self, scope: Scope, decide: Callable[[Transaction], None]) -> None:
        """Lock and read the scope, decide, commit."""


class QueueFullError(Exception):
    """More commands wait than the lane takes in; nothing was tried."""


class ClosedError(Exception):
    """The lane takes nothing in any more: the service is stopping."""


@dataclass(slots=True)
class _Waiting:
    submission: Submission
    answer: asyncio.Future[list[Verdict]]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the lane: commands in one transaction, commands waiting, tries, seconds of back-off.

    `patience` is for how many seconds a transaction is tried again, so that callers learn that the
    database is away before their deadlines pass. `linger` is how long, in seconds, a transaction waits
    for company; 0 for a lone process.
    """

    batch: int = 256
    queue: int = 8192
    tries: int = 6
    first_backoff: float = 0.02
    longest_backoff: float = 1.0
    patience: float = 3.0
    linger: float = 0.0


@dataclass(slots=True)
class Batcher:
    """Takes submissions in and answers each once its transaction is durable.

    Use as an async context manager: leaving it answers what waits, then stops.
    """

    store: Store
    limits: Limits = field(default_factory=Limits)
    _queue: deque[_Waiting] = field(default_factory=deque)
    _queued: int = 0
    _arrival: asyncio.Event = field(default_factory=asyncio.Event)
    _closing: bool = False
    _lane: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._lane = asyncio.create_task(self._run(), name="lane")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        self._arrival.set()
        if self._lane is not None:
            await self._lane

    async def submit(self, submission: Submission) -> list[Verdict]:
        """Carry the submission out; return a verdict for each request once it is durable.

        A caller that goes away before its turn takes its submission with it; afterwards it is carried
        out all the same. Raises AtomicRefusalError, QueueFullError, ClosedError, and StoreError when the
        database stays away, after which a repeat with the same request ids is safe.
        """
        if self._closing:
            raise ClosedError
        size = len(submission.requests)
        if self._queue and self._queued + size > self.limits.queue:
            raise QueueFullError
        waiting = _Waiting(submission, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._queued += size
        self._arrival.set()
        return await waiting.answer

    async def _run(self) -> None:
        while True:
            if not self._queue:
                if self._closing:
                    return
                self._arrival.clear()
                await self._arrival.wait()
                if self.limits.linger and not self._closing:
                    await asyncio.sleep(self.limits.linger)
            batch = self._take(self.limits.batch)
            if batch:
                await self._settle(batch)

    def _take(self, limit: int) -> list[_Waiting]:
        """Return the next submissions: as many as have up to `limit` requests, but at least one."""
        batch: list[_Waiting] = []
        size = 0
        while self._queue:
            waiting = self._queue[0]
            added = len(waiting.submission.requests)
            if batch and size + added > limit:
                break
            self._queue.popleft()
            self._queued -= added
            if not waiting.answer.done():  # else its caller has gone
                batch.append(waiting)
                size += added
        return batch

    async def _settle(self, batch: list[_Waiting]) -> None:
        """Commit the batch, in halves if the database refuses it whole, and answer every caller."""
        try:
            answers = await self._commit(batch)
        except RejectedError as error:
            if len(batch) > 1:
                half = len(batch) // 2
                await self._settle(batch[:half])
                await self._settle(batch[half:])
                return
            answers = [error]
        except UnavailableError as error:
            # Who waits behind this transaction has waited as long: nobody is to wait for the next one too.
            batch = batch + self._take(self._queued)
            answers = [error] * len(batch)
        except Exception as error:  # noqa: BLE001 - the lane must live on; every caller is told
            answers = [error] * len(batch)
        for waiting, answer in zip(batch, answers, strict=True):
            if waiting.answer.done():
                continue
            if isinstance(answer, Exception):
                waiting.answer.set_exception(answer)
            else:
                waiting.answer.set_result(answer)

    async def _commit(self, batch: list[_Waiting]) -> list[list[Verdict] | Exception]:
        """Run the batch as one transaction, again while others are in the way or the database is away.

        Trying again is safe even when a commit's outcome is unknown: its request records tell.
        """
        scope = Scope.of(waiting.submission for waiting in batch)
        answers: list[list[Verdict] | Exception] = []

        def decide_all(transaction: Transaction) -> None:
            answers.clear()
            for waiting in batch:
                try:
                    answers.append(decide(transaction, waiting.submission))
                except AtomicRefusalError as refusal:
                    answers.append(refusal)

        time = asyncio.get_running_loop().time
        give_up = time() + self.limits.patience
        backoff = self.limits.first_backoff
        for attempt in range(1, self.limits.tries + 1):
            try:
                await self.store.transact(scope, decide_all)
            except (ConflictError, UnavailableError) as error:
                if attempt == self.limits.tries or time() >= give_up:
                    raise
                log.info("trying a transaction again", attempt=attempt, reason=type(error).__name__)
                await asyncio.sleep(random.uniform(backoff / 2, backoff))  # noqa: S311 - jitter, no secret
                backoff = min(2 * backoff, self.limits.longest_backoff)
            else:
                return answers
        raise AssertionError("unreachable: the last attempt returns or raises")
