"""A submission that waits for its answer, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic

from command_svc.domain.batch import AtomicRefusalError, Submission, Verdict, decide
from command_svc.domain.transaction import Transaction
from command_svc.store.errors import UnavailableError


class ExpiredError(Exception):
    """The time given to the submission passed before it was decided; nothing of it was carried out."""


@dataclass(slots=True, eq=False)
class Waiting:
    """A submission of a caller who waits until `deadline`, on the monotonic clock."""

    submission: Submission
    deadline: float
    answer: asyncio.Future[list[Verdict]]
    # Why the outcome of an earlier try is not known.
    unknown: UnavailableError | None = None

    def tell(self, outcome: list[Verdict] | Exception) -> None:
        """Answer the caller, unless it has gone."""
        if self.answer.done():
            return
        if isinstance(outcome, Exception):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)

    def expired(self) -> Exception:
        """Return what its caller is told when its time has passed."""
        # Of a try whose outcome is unknown, nobody may say that nothing was done.
        return self.unknown or ExpiredError()

    def decide(self, transaction: Transaction) -> list[Verdict] | Exception:
        """Return what becomes of it; if that is an exception, nothing of it is left behind."""
        if self.deadline <= monotonic():
            return self.expired()
        start = transaction.mark()
        try:
            return decide(transaction, self.submission)
        except AtomicRefusalError as refusal:
            return refusal
        except Exception as error:  # noqa: BLE001 - a fault in one is no reason to fail its neighbours
            transaction.undo_to(start)
            return error


def wanted(batch: Iterable[Waiting], moment: float) -> list[Waiting]:
    """Return those whose callers still want an answer at `moment`; tell the others."""
    still: list[Waiting] = []
    for waiting in batch:
        if waiting.deadline <= moment:
            waiting.tell(waiting.expired())
        elif not waiting.answer.done():
            still.append(waiting)
    return still
