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

log = structlog.get_logger()


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


async def run(store: OverdueStore, interval: float) -> None:
    """Sweep every `interval` seconds, at once again while there is a full batch; never returns."""
    while True:
        try:
            freed = await sweep(store)
        except StoreError as error:
            # The next round finds the same reservations; commands free what is in their way meanwhile.
            log.warning("expired reservations not freed", cause=repr(error))
            freed = 0
        if freed:
            log.info("expired reservations freed", count=freed)
        if freed < BATCH:
            await asyncio.sleep(interval)
