"""A replica of the database, which tells history: behind the primary by what it says."""

from __future__ import annotations

from datetime import datetime

from query_svc.breaker import Breaker
from query_svc.consistency import Requirement
from query_svc.database import Database, DatabaseUnavailableError
from query_svc.ledger import Ledger
from serving.tokens import CommittedTransaction


class Replica:
    """The ledger of a replica, and how far it is. One that does not answer is left alone for a while."""

    def __init__(self, database: Database, breaker: Breaker) -> None:
        self.ledger = Ledger(database)
        self._database = database
        self._breaker = breaker

    async def as_of(self, requirement: Requirement, seconds: float) -> datetime | None:
        """Return the instant up to which it has everything; None if it has not what is asked for.

        Takes at most so many seconds. Raise DatabaseUnavailableError when it does not answer.
        """
        permit = self._breaker.enter()
        if permit is None:
            raise DatabaseUnavailableError("the replica has not answered a moment ago")
        try:
            async with self._database.snapshot(seconds) as snapshot:
                lacks = isinstance(requirement, CommittedTransaction) and await snapshot.lacks(requirement)
        except DatabaseUnavailableError:
            self._breaker.failed(permit)
            raise
        self._breaker.succeeded(permit)
        return None if lacks else snapshot.as_of

    async def ping(self) -> None:
        """Return when it answers; raise DatabaseUnavailableError."""
        await self._database.ping()
