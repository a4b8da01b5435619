"""A lane on a store that does as a test says."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self

import pytest

from command_svc import batcher, waiting
from command_svc.batcher import Batcher, Limits
from command_svc.domain.batch import Submission, Verdict
from command_svc.domain.levels import LevelKey
from command_svc.domain.scope import Scope
from command_svc.domain.stock import AddStock
from command_svc.domain.transaction import Transaction
from command_svc.store.errors import ConflictError, RejectedError
from tests.unit.command_svc.making import MUG, submission
from tests.unit.command_svc.memory_store import MemoryStore

PATIENCE = 20.0
QUICK = Limits(tries=4, first_backoff=0.0001, longest_backoff=0.001)
PEN = LevelKey("PEN", "WH")


class Clock:
    """The clock of a lane, which goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now

    @classmethod
    def wound(cls, monkeypatch: pytest.MonkeyPatch) -> Self:
        """Return a clock that all lanes go by from now on."""
        clock = cls()
        for module in (batcher, waiting):
            monkeypatch.setattr(module, "monotonic", clock)
        return clock


class SteeredStore(MemoryStore):
    """A store whose transactions wait at a gate and fail as told.

    A level of `unreachable` is in reach of a transaction of one request alone; one that touches `contested`
    meets another transaction after a `wait`, one that touches `unwritable` is refused; `failures` are raised
    one for each transaction, after it was decided.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scopes: list[Scope] = []
        self.withins: list[float] = []
        self.entered = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.unreachable: set[LevelKey] = set()
        self.contested: set[LevelKey] = set()
        self.wait = 0.0
        self.unwritable: set[LevelKey] = set()
        self.failures: list[Exception] = []

    async def transact(
        self, scope: Scope, decide: Callable[[Transaction], None], *, within: float = math.inf
    ) -> None:
        """Do as told."""
        self.scopes.append(scope)
        self.withins.append(within)
        self.entered.set()
        await self.gate.wait()
        if self.contested & scope.levels:
            await asyncio.sleep(self.wait)
            raise ConflictError
        working = self.read(scope)
        if len(scope.requests) > 1:
            working.reach -= self.unreachable
        decide(working)
        if self.unwritable & scope.levels:
            raise RejectedError
        if self.failures:
            raise self.failures.pop(0)
        self.keep(working)

    @property
    def sizes(self) -> list[int]:
        """How many requests each transaction held."""
        return [len(scope.requests) for scope in self.scopes]


def add(key: LevelKey = MUG) -> Submission:
    """Return a submission that adds a unit."""
    return submission(AddStock(key, 1, "RECEIPT"))


@asynccontextmanager
async def lane(store: SteeredStore, limits: Limits = QUICK) -> AsyncIterator[Batcher]:
    """Run a lane, and end the test rather than wait for ever."""
    async with asyncio.timeout(PATIENCE), Batcher(store, limits) as opened:
        yield opened


async def ask(on: Batcher, *asked: Submission) -> list[asyncio.Task[list[Verdict]]]:
    """Submit, in this order, without waiting for the answers."""
    tasks = [asyncio.create_task(on.submit(one)) for one in asked]
    await asyncio.sleep(0)  # every task has run up to its wait for the answer
    return tasks


async def busy(on: Batcher, store: SteeredStore) -> asyncio.Task[list[Verdict]]:
    """Close the gate behind a first transaction, so that what is submitted next waits."""
    store.gate.clear()
    (first,) = await ask(on, add())
    await store.entered.wait()
    return first


def accepted(outcome: object) -> bool:
    """Tell whether every verdict of an outcome is an answer."""
    return isinstance(outcome, list) and all(isinstance(verdict, bytes) for verdict in outcome)
