"""Which source answers a query: the view while it is there and fresh enough, else the database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

from inventory.query.v1 import consistency_pb2 as pb
from query_svc.breaker import Breaker
from query_svc.consistency import Demand, Requirement, invalid_token, requirement_of
from query_svc.database import Database, DatabaseUnavailableError
from query_svc.database_source import DatabaseSource
from query_svc.ledger import Ledger
from query_svc.mark_follower import MarkFollower
from query_svc.progress import Progress
from query_svc.read_model import ReadModel, ReadModelUnavailableError
from query_svc.replica import Replica
from query_svc.sources import BeyondSourceError, Source
from serving.errors import CallError
from serving.interceptor import remaining
from serving.tokens import CommittedTransaction

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATE_AFTER = timedelta(seconds=5)
"""A view that has heard of no commit for so long is late: the pipeline itself commits every second."""
ATTEMPTS = 2
"""So often is the view asked: once more when Redis was another one, or was lost, when the answer came."""


class ViewLateError(Exception):
    """The view has not heard of any commit for a while; the message says since when."""


class Request(Protocol):
    """What every query says."""

    @property
    def consistency(self) -> pb.Consistency:
        """How fresh the answer must be."""


class Response(Protocol):
    """What every answer says."""

    @property
    def freshness(self) -> pb.Freshness:
        """Where it comes from, and how old it may be."""


A = TypeVar("A", bound=Response)
Read = Callable[[Source], Awaitable[A]]
ReadLedger = Callable[[Ledger], Awaitable[A]]


class Reads:
    """Answers queries from `view`, of which `progress` tells what it holds, or from `database`.

    The view answers what asks for nothing else. A query with a token waits for its transaction, at most
    `token_wait` seconds and half of the time it has. What the view cannot answer, or may not, or no longer
    holds, the database does. Nothing is ever older than was asked for: what neither can answer fails with the
    database's error.
    """

    def __init__(  # noqa: PLR0913 - the parts it is made of
        self,
        view: ReadModel,
        database: Database,
        follower: MarkFollower,
        progress: Progress,
        breaker: Breaker,
        *,
        token_wait: float,
        replica: Replica | None = None,
    ) -> None:
        self._view = view
        self._database = database
        self._follower = follower
        self._progress = progress
        self._breaker = breaker
        self._token_wait = token_wait
        self._replica = replica

    async def answer(self, request: Request, read: Read[A]) -> A:
        """Return what `read` makes of a source that is fresh enough, with its freshness.

        Raise CallError INVALID_CONSISTENCY_TOKEN, what `read` raises, and DatabaseUnavailableError.
        """
        requirement = requirement_of(request.consistency, datetime.now(UTC), self._database.installation)
        second_best = requirement is not Demand.EVERYTHING
        if second_best:
            try:
                answer = await self._from_view(requirement, read)
            except BeyondSourceError:
                second_best = False
            else:
                if answer is not None:
                    return answer
        answer, as_of = await self._from_database(request.consistency, requirement, read)
        return _with(answer, pb.SOURCE_DATABASE, as_of, degraded=second_best)

    async def answer_from_ledger(self, request: Request, read: ReadLedger[A]) -> A:
        """Return what `read` makes of a ledger that is fresh enough. Raises as `answer` does.

        That is the replica's, where there is one that has what was asked for, else the primary's.
        """
        requirement = requirement_of(request.consistency, datetime.now(UTC), self._database.installation)
        second_best = False
        if self._replica is not None and requirement is not Demand.EVERYTHING:
            try:
                as_of = await self._replica.as_of(requirement, remaining() / 2)
                if as_of is not None:
                    return _with(await read(self._replica.ledger), pb.SOURCE_DATABASE, as_of)
            except DatabaseUnavailableError:
                second_best = True
        as_of = datetime.now(UTC)
        answer = await read(Ledger(self._database))
        return _with(answer, pb.SOURCE_DATABASE, as_of, degraded=second_best)

    async def check(self) -> None:
        """Return when a source answers; raise DatabaseUnavailableError when none does."""
        if not await self._sees_view():
            await self._database.ping()

    async def check_age(self) -> None:
        """Return when the view is not late; raise ViewLateError."""
        if not await self._sees_view():
            raise ViewLateError("it is not known what the view holds")
        age = datetime.now(UTC) - _instant(self._progress.as_of)
        if age > LATE_AFTER:
            raise ViewLateError(f"it has heard of no commit for {age.total_seconds():.0f} s")

    async def _from_view(self, requirement: Requirement, read: Read[A]) -> A | None:
        """Return the view's answer; None when it has none that is fresh enough. Raise BeyondSourceError."""
        for _ in range(ATTEMPTS):
            if not await self._sees_view():
                return None
            source = pb.SOURCE_VIEW
            if isinstance(requirement, CommittedTransaction) and not self._progress.holds(requirement):
                source = pb.SOURCE_VIEW_AFTER_WAIT
                if not await self._arrives(requirement):
                    return None
            lives, as_of = self._progress.lives, self._progress.as_of
            permit = self._breaker.enter()
            if permit is None:
                return None
            outcome: A | CallError | BeyondSourceError
            try:
                outcome = await read(self._view)
            except (CallError, BeyondSourceError) as error:
                outcome = error
            except ReadModelUnavailableError:
                self._breaker.failed(permit)
                return None
            self._breaker.succeeded(permit)
            if self._progress.lives == lives and self._follower.is_current:
                if isinstance(outcome, CallError | BeyondSourceError):
                    raise outcome
                return _with(outcome, source, _instant(as_of))
        return None

    async def _arrives(self, transaction: CommittedTransaction) -> bool:
        """Wait a while for a transaction, unless the view is late anyway."""
        if datetime.now(UTC) - _instant(self._progress.as_of) > LATE_AFTER:
            return False
        return await self._progress.wait(transaction, min(self._token_wait, remaining() / 2))

    async def _sees_view(self) -> bool:
        """Tell whether the view is known to hold all that it should; have a look when nothing is known."""
        if self._progress.as_of or self._progress.whole:
            return self._progress.whole
        permit = self._breaker.enter()
        if permit is None:
            return False
        try:
            await self._follower.look()
        except ReadModelUnavailableError:
            self._breaker.failed(permit)
        else:
            self._breaker.succeeded(permit)
        return self._progress.whole

    async def _from_database(
        self, consistency: pb.Consistency, requirement: Requirement, read: Read[A]
    ) -> tuple[A, datetime]:
        """Return the database's answer, and the instant of which it is."""
        async with self._database.snapshot(remaining()) as snapshot:
            if isinstance(requirement, CommittedTransaction) and await snapshot.lacks(requirement):
                raise invalid_token(consistency.at_least_as_fresh, "is none of this system")
            return await read(DatabaseSource(snapshot)), snapshot.as_of


def _with(answer: A, source: pb.Source.ValueType, as_of: datetime, *, degraded: bool = False) -> A:
    """Return the answer with its freshness."""
    freshness = answer.freshness
    freshness.source = source
    freshness.degraded = degraded
    if as_of > EPOCH:
        age = max(datetime.now(UTC) - as_of, timedelta())
        freshness.degraded |= age > LATE_AFTER
        freshness.as_of.FromDatetime(as_of)
        freshness.age.FromTimedelta(age)
    return answer


def _instant(milliseconds: int) -> datetime:
    return EPOCH + timedelta(milliseconds=milliseconds)
