"""Writes entries for the audit log in the background, in batches, never on the path of a call."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from typing import Self

import structlog

from audit.connections import UNAVAILABLE, pool
from serving import tasks
from serving.audit import Entry

HEALTH_NAME = "audit"
QUEUE_ENTRIES = 10_000
BATCH_ENTRIES = 500
FIRST_BACKOFF_SECONDS = 0.1
MAX_BACKOFF_SECONDS = 5.0
FAREWELL_SECONDS = 5.0
"""How long entries may take to be written at the end of the process."""
LATE_ATTEMPTS = 3
ENTRIES_LOST = "ENTRIES_LOST"
"""Verdict of the entry that stands for those that there was no room for."""

INSERT_ENTRIES = """
INSERT INTO audit_log
    (day, record_time, method, verdict, actor, proof, source, request_id, trace_id, skus, location_ids, calls)
SELECT (n.record_time AT TIME ZONE 'UTC')::date, n.*
FROM jsonb_to_recordset(%s::jsonb) AS n (
    record_time timestamptz, method text, verdict text, actor text, proof text, source text,
    request_id text, trace_id text, skus text[], location_ids text[], calls bigint
)
"""

log = structlog.get_logger()


class AuditUnavailableError(Exception):
    """Entries cannot be written at present; the message says why."""


class AuditWriter:
    """Keeps what it is given until it is written, at most `most` entries, on a connection of its own.

    `database_url` is for a role that may insert into `audit_log`. What there is no room for is counted, and
    the log is told the number in an entry of its own, ENTRIES_LOST. Use as an async context manager: leaving
    it writes what waits, for FAREWELL_SECONDS at most.
    """

    def __init__(self, database_url: str, *, connect_timeout: float, most: int = QUEUE_ENTRIES) -> None:
        """Take the longest wait for the connection, in seconds."""
        self._most = most
        self._waiting: deque[Entry] = deque()
        self._lost = 0
        self._failures = 0
        self._cause = ""
        self._arrival = asyncio.Event()
        self._written = asyncio.Event()
        self._written.set()
        self._task: asyncio.Task[None] | None = None
        self._pool = pool(database_url, "inventory-audit", most=1, connect_timeout=connect_timeout)

    async def __aenter__(self) -> Self:
        await self._pool.open(wait=False)
        self._task = tasks.start(self._run(), "audit")
        return self

    async def __aexit__(self, *_: object) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._written.wait()
        if self._waiting or self._lost:
            log.error("audit entries lost", count=len(self._waiting) + self._lost)
        try:
            if self._task is not None:
                await tasks.stop(self._task)
        finally:
            await self._pool.close()

    @property
    def has_room(self) -> bool:
        """Whether one more entry would be taken."""
        return len(self._waiting) < self._most

    def record(self, entry: Entry) -> None:
        """Take an entry, to be written soon; one that there is no room for is counted."""
        if self.has_room:
            self._waiting.append(entry)
            self._written.clear()
        else:
            if not self._lost:
                log.error("audit entries are being lost", cause=self._cause)
            self._lost += 1
        self._arrival.set()

    async def check(self) -> None:
        """Return while entries are written, or none waits; raises AuditUnavailableError."""
        if self._lost:
            raise AuditUnavailableError(f"{self._lost} entries are lost: {self._cause}")
        if self._failures >= LATE_ATTEMPTS:
            raise AuditUnavailableError(f"{len(self._waiting)} entries wait: {self._cause}")

    async def _run(self) -> None:
        while True:
            await self._arrival.wait()
            self._arrival.clear()
            while self._waiting or self._lost:
                batch, lost = list(islice(self._waiting, BATCH_ENTRIES)), self._lost
                if lost:
                    batch.append(Entry(datetime.now(UTC), "", ENTRIES_LOST, calls=lost))
                try:
                    await self._write(batch)
                except Exception as error:  # noqa: BLE001 - entries are kept, and health tells of it
                    await self._pause(error)
                    continue
                self._failures = 0
                self._lost -= lost
                for _ in range(len(batch) - bool(lost)):
                    self._waiting.popleft()
            self._written.set()

    async def _pause(self, error: Exception) -> None:
        """Take note of a failed attempt, and wait before the next one."""
        self._failures += 1
        self._cause = repr(error)
        if self._failures == LATE_ATTEMPTS:
            # Of what is no fault of ours, how it broke is of no use.
            fault = None if isinstance(error, UNAVAILABLE) else error
            log.error("audit entries wait", count=len(self._waiting), cause=self._cause, exc_info=fault)
        await asyncio.sleep(min(FIRST_BACKOFF_SECONDS * 2 ** min(self._failures, 10), MAX_BACKOFF_SECONDS))

    async def _write(self, batch: Sequence[Entry]) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(INSERT_ENTRIES, [as_json(batch)])


def as_json(entries: Sequence[Entry]) -> str:
    """Return entries as the statement takes them."""
    return json.dumps([{name: _clean(value) for name, value in one._asdict().items()} for one in entries])


def _clean(value: object) -> object:
    # PostgreSQL has no text with the character NUL; what was refused may hold one.
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, tuple):
        return [_clean(element) for element in value]
    return value.isoformat() if isinstance(value, datetime) else value
