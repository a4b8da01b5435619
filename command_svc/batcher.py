"""The lane: gathers what callers ask while a transaction is under way and commits it as the next one.

One transaction at a time for each process: a lone request goes straight through, many share the cost of
one commit, and no two transactions of a process ever wait for the same level. Where callers ask again as
soon as they are answered, the next transaction waits for them a little, so that they stay together.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from time import monotonic
from typing import Protocol, Self

import structlog

from command_svc.domain.batch import Submission, Verdict
from command_svc.domain.scope import Scope
from command_svc.domain.transaction import OutOfReachError, Transaction
from command_svc.store.errors import ConflictError, UnavailableError
from command_svc.waiting import Waiting, wanted
from serving import tasks

log = structlog.get_logger()


class Store(Protocol):
    """What the lane needs of the command store; see `CommandStore.transact`."""

    async def transact(
        self, scope: Scope, decide: Callable[[Transaction], None], *, within: float = ...
    ) -> None:
        """Lock and read the scope, decide, commit."""


class QueueFullError(Exception):
    """More commands wait than the lane takes in; nothing was tried."""


class ClosedError(Exception):
    """The lane takes nothing in any more: the service is stopping, because it has broken maybe.

    What was taken in before it broke may have been carried out: a repeat with the same request ids tells.
    """


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the lane: commands in one transaction, commands waiting, tries, seconds of back-off.

    `deadline` is the longest time in seconds that a submission is worked on, whatever its caller grants.
    `patience` is for how many seconds a transaction is tried again, so that callers learn that the
    database is away before their deadlines pass. `gather` is for how many seconds after an answer, at
    most, a transaction waits for those who are expected to ask again.
    """

    batch: int = 256
    queue: int = 8192
    tries: int = 6
    first_backoff: float = 0.02
    longest_backoff: float = 1.0
    deadline: float = 30.0
    patience: float = 3.0
    gather: float = 0.01


TRIES_TOGETHER = 2
"""How often a batch meets other transactions before it is tried in halves: most conflicts pass at once."""


@dataclass(slots=True)
class Batcher:
    """Takes submissions in and answers each once its transaction is durable.

    Transactions run in the lane's own task: no caller that goes away cancels one. If that breaks, all who
    wait are told ClosedError, and the process ends (see `tasks.start`). Use as an async context manager:
    leaving it answers what waits, then stops.
    """

    store: Store
    limits: Limits = field(default_factory=Limits)
    _queue: OrderedDict[Waiting, int] = field(default_factory=OrderedDict)
    _queued: int = 0
    _under_way: list[Waiting] = field(default_factory=list)
    _arrival: asyncio.Event = field(default_factory=asyncio.Event)
    _expected: int = 1
    _closing: bool = False
    _lane: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._lane = tasks.start(self._run(), "lane")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        self._arrival.set()
        if self._lane is not None:
            await self._lane

    async def submit(self, submission: Submission, within: float = math.inf) -> list[Verdict]:
        """Carry the submission out; return a verdict for each request once it is durable.

        After `within` seconds it is not begun any more. A caller that goes away before its turn, or between
        two tries, takes its submission with it; otherwise it is carried out all the same. Raises
        AtomicRefusalError, QueueFullError, ExpiredError, ClosedError, and StoreError when the database
        stays away, after which a repeat with the same request ids is safe.
        """
        if self._closing:
            raise ClosedError
        size = len(submission.requests)
        if self._queue and self._queued + size > self.limits.queue:
            raise QueueFullError
        deadline = monotonic() + min(within, self.limits.deadline)
        waiting = Waiting(submission, deadline, asyncio.get_running_loop().create_future())
        self._queue[waiting] = size
        self._queued += size
        if self._is_gathered(self._expected):
            self._arrival.set()
        try:
            return await waiting.answer
        except asyncio.CancelledError:
            self._queued -= self._queue.pop(waiting, 0)
            raise

    async def _run(self) -> None:
        try:
            await self._serve()
        finally:
            # At its proper end nobody is left; when it has broken, nobody is to wait out a deadline.
            self._closing = True
            for waiting in self._under_way + self._take(self._queued):
                waiting.tell(ClosedError())

    async def _serve(self) -> None:
        company, until = 1, 0.0
        while not (self._closing and not self._queue):
            await self._gather(company, until)
            if batch := self._take(self.limits.batch):
                self._under_way, begun = batch, monotonic()
                await self._settle(batch, begun + self.limits.patience)
                # Those just answered may ask again; nobody waits for them for longer than it has taken.
                company, ended = len(batch) + len(self._queue), monotonic()
                until = ended + min(ended - begun, self.limits.gather)

    async def _gather(self, company: int, until: float) -> None:
        """Return when somebody waits, and with them so many as are expected, or that time has passed."""
        await self._arrived(1)
        seconds = until - monotonic()
        if seconds > 0 and not self._is_gathered(company):
            over = asyncio.get_running_loop().call_later(seconds, self._arrival.set)
            await self._arrived(company)
            over.cancel()

    async def _arrived(self, company: int) -> None:
        """Wait until so many wait, or the lane closes, or somebody sets `_arrival`."""
        self._expected = company
        if not self._is_gathered(company):
            self._arrival.clear()
            await self._arrival.wait()

    def _is_gathered(self, company: int) -> bool:
        return self._closing or len(self._queue) >= company or self._queued >= self.limits.batch

    def _take(self, limit: int) -> list[Waiting]:
        """Return the next submissions: as many as have up to `limit` requests, but at least one."""
        batch: list[Waiting] = []
        size = 0
        while self._queue:
            waiting, added = self._queue.popitem(last=False)
            if batch and size + added > limit:
                self._queue[waiting] = added
                self._queue.move_to_end(waiting, last=False)
                break
            self._queued -= added
            batch.append(waiting)
            size += added
        return batch

    async def _settle(self, batch: list[Waiting], give_up: float, *, stuck: bool = False) -> None:
        """Commit the batch and answer every caller.

        Tries again while others are in the way or the database is away, until `give_up`: safe even when a
        commit's outcome is unknown, for its request records tell. What fails as a whole is tried in
        halves, so that nobody fails for a neighbour, unless each is known to be `stuck` by itself.
        """
        for attempt in count(1):
            batch = wanted(batch, monotonic())
            if not batch:
                return
            try:
                apart = await self._commit(batch)
                break
            except Exception as error:  # noqa: BLE001 - the lane must live on; every caller is told
                failure = error
            last = attempt >= self.limits.tries or monotonic() >= give_up
            enough = not stuck and (last or attempt >= TRIES_TOGETHER)
            if len(batch) > 1 and _is_of_some(failure, enough=enough):
                await self._settle(await self._in_halves(batch, give_up), give_up, stuck=True)
                return
            if last or not isinstance(failure, ConflictError | UnavailableError):
                self._give_up(batch, failure)
                return
            log.info("trying a transaction again", attempt=attempt, reason=type(failure).__name__)
            batch = await self._pause(batch, attempt)
        for waiting in apart:
            await self._settle([waiting], give_up)

    async def _in_halves(self, batch: list[Waiting], give_up: float) -> list[Waiting]:
        """Try the batch in halves, each once; return those for whom others are in the way.

        They wait until their neighbours are through.
        """
        half = len(batch) // 2
        stuck: list[Waiting] = []
        for some in (batch[:half], batch[half:]):
            part = wanted(some, monotonic())  # the first half has taken its time
            try:
                apart = await self._commit(part) if part else []
            except UnavailableError:
                await self._settle(part, give_up)
            except Exception as error:  # noqa: BLE001 - as above
                if len(part) > 1:
                    stuck += await self._in_halves(part, give_up)
                elif isinstance(error, ConflictError):
                    stuck += part
                else:
                    part[0].tell(error)
            else:
                for waiting in apart:
                    await self._settle([waiting], give_up)
        return stuck

    def _give_up(self, batch: list[Waiting], failure: Exception) -> None:
        if isinstance(failure, UnavailableError):
            # Who waits behind this transaction has waited as long: nobody is to wait for the next one too.
            batch = batch + self._take(self._queued)
        for waiting in batch:
            waiting.tell(failure)

    async def _pause(self, batch: list[Waiting], attempt: int) -> list[Waiting]:
        """Wait before the next try; return who still wants it. Who will not is told before the wait."""
        backoff = min(self.limits.first_backoff * 2 ** (attempt - 1), self.limits.longest_backoff)
        seconds = random.uniform(backoff / 2, backoff)  # noqa: S311 - jitter, no secret
        batch = wanted(batch, monotonic() + seconds)
        if batch:
            await asyncio.sleep(seconds)
        return batch

    async def _commit(self, batch: list[Waiting]) -> list[Waiting]:
        """Run the batch as one transaction and answer its callers; return those who need one of their own.

        Raises what the store raises, and ConflictError when one that is alone already is out of reach.
        """
        outcomes: list[list[Verdict] | Exception] = []

        def decide_all(transaction: Transaction) -> None:
            outcomes.clear()
            outcomes.extend(waiting.decide(transaction) for waiting in batch)

        scope = Scope.of(waiting.submission for waiting in batch)
        longest = max(waiting.deadline for waiting in batch) - monotonic()
        try:
            await self.store.transact(scope, decide_all, within=longest)
        except UnavailableError as error:
            for waiting in batch:
                waiting.unknown = error
            raise
        apart: list[Waiting] = []
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if not isinstance(outcome, OutOfReachError):
                waiting.tell(outcome)
            elif len(batch) > 1:
                apart.append(waiting)
            else:
                # What is out of reach has been committed since the locks were taken.
                raise ConflictError(str(outcome)) from outcome
        return apart


def _is_of_some(failure: Exception, *, enough: bool) -> bool:
    """Tell whether a batch may have failed because of some of it, so that the others are tried without.

    A conflict may pass for all: it counts when the batch has met `enough` of them.
    """
    if isinstance(failure, ConflictError):
        return enough
    return not isinstance(failure, UnavailableError)
