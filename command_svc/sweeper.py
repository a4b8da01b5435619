"""Giving back what expired reservations hold. Any number may run: each reservation is resolved once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

import structlog

from command_svc.batcher import Store
from command_svc.domain.reservations import free_expired
from command_svc.domain.scope import Scope
from command_svc.domain.transaction import Transaction
from command_svc.store.errors import StoreError

BATCH = 200
"""Most reservations that one transaction resolves, so that it holds its locks for milliseconds."""

HEALTH_NAME = "sweeper"

log = structlog.get_logger()


class SweepError(Exception):
    """Expired reservations are not freed at present; the message says why."""


class OverdueStore(Store, Protocol):
    """What the sweeper needs of the command store; see `CommandStore.overdue`."""

    async def overdue(self, limit: int) -> Sequence[UUID]:
        """Return reservations that are pending though expired."""


async def sweep(store: OverdueStore) -> int:
    """Resolve one batch of expired reservations; return how many it was. Raises StoreError."""
    freed = 0

    def decide(transaction: Transaction) -> None:
        nonlocal freed
        freed = free_expired(transaction)

    overdue = await store.overdue(BATCH)
    if overdue:
        await store.transact(Scope(reservations=set(overdue)), decide)
    return freed


class Sweeper:
    """Sweeps `store` every `interval` seconds, at once again while there is a full batch."""

    def __init__(self, store: OverdueStore, interval: float) -> None:
        self._store = store
        self._interval = interval
        self._trouble = ""

    async def run(self) -> None:
        """Do round after round; never returns."""
        while True:
            if await self._round() < BATCH:
                await asyncio.sleep(self._interval)

    async def check(self) -> None:
        """Return while expired reservations are freed; raises SweepError."""
        if self._trouble:
            raise SweepError(self._trouble)

    async def _round(self) -> int:
        # The next round finds the same reservations; commands free what is in their way meanwhile.
        try:
            freed = await sweep(self._store)
        except StoreError as error:
            log.warning("expired reservations not freed", cause=repr(error))
            self._trouble = repr(error)
            return 0
        except Exception as error:  # whatever it is, it is no reason to sweep no more, or to end the calls
            log.exception("expired reservations not freed")
            self._trouble = repr(error)
            return 0
        self._trouble = ""
        if freed:
            log.info("expired reservations freed", count=freed)
        return freed
