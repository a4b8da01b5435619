"""The audit log, and all who write, seal, read and tamper with it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg

from audit.chain import Seal, Stored
from audit.writer import AuditWriter
from command_svc.store.upkeep import UpkeepStore
from query_svc.audit_log import AuditLog, Proof, Wanted
from serving.audit import Entry
from tests.stack_fixture import RunningStack

SECONDS = 20.0


def today() -> date:
    """Return the day of the entries that are written now."""
    return datetime.now(UTC).date()


def refusal(number: int = 0, **change: Any) -> Entry:  # noqa: ANN401 - fields of an entry
    """Return the entry of a refused call."""
    entry = Entry(
        datetime.now(UTC), "inventory.Some/Call", "INSUFFICIENT_STOCK", "till", request_id=f"r-{number}"
    )
    return entry._replace(**change)


@dataclass(frozen=True)
class World:
    """A database, its parts, and the superuser."""

    stack: RunningStack
    upkeep: UpkeepStore
    log: AuditLog
    tampering: psycopg.Connection[tuple[Any, ...]]

    async def write(self, *entries: Entry) -> None:
        """Write entries as a service does."""
        url = self.stack.postgres_url("audit")
        async with AuditWriter(url, connect_timeout=5.0) as writer:
            for entry in entries:
                writer.record(entry)

    async def seal(self) -> int:
        """Seal what there is."""
        return await self.upkeep.seal(timedelta(0)) or 0

    async def seal_all(self) -> None:
        """Seal until nothing waits, whoever else seals, and whichever transactions still run."""
        async with asyncio.timeout(SECONDS):
            while (await self.prove()).waiting:
                await self.seal()

    async def entries(self, wanted: Wanted = Wanted()) -> list[Stored]:  # noqa: B008 - it never changes
        """Return the wanted entries, the oldest first."""
        page = await self.log.page(wanted, newest_first=False, after=None, limit=1000, seconds=SECONDS)
        assert page.next_place is None
        return page.entries

    async def prove(self, after: Seal | None = None) -> Proof:
        """Prove today."""
        return await self.log.prove(today(), after, SECONDS)
