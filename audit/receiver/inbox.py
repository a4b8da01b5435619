"""What proxies have sent, in PostgreSQL: each batch once, with its entries, in one transaction."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

from audit.connections import UNAVAILABLE, Connection, pool
from audit.receiver.tally import tally
from audit.writer import INSERT_ENTRIES, as_json
from serving.audit import Entry

__all__ = ["Inbox", "InboxError"]

CLEARED_EVERY = 600.0

# A batch whose receipt was lost on the way comes again.
_NEW = """
INSERT INTO audit_batches (digest) SELECT unnest(%s::bytea []) ON CONFLICT DO NOTHING RETURNING digest
"""
_CLEAR = "DELETE FROM audit_batches WHERE arrival_time < now() - interval '6 hours'"
_PSEUDONYMS = "SELECT subject, audit_pseudonym(subject) FROM unnest(%s::text []) AS n (subject)"


class InboxError(Exception):
    """Entries cannot be written at present; the message says why."""


class Inbox:
    """Keeps batches, as the role `inventory_refusals`. An asynchronous context manager.

    `names_all` gives a pseudonym to every subject of a token, not only to those that are e-mail addresses.
    """

    def __init__(self, database_url: str, *, names_all: bool = False, connect_timeout: float = 3.0) -> None:
        """Take the longest wait for the connection, in seconds."""
        self._names_all = names_all
        self._cleared = 0.0
        self._pool = pool(database_url, "inventory-refusals", most=2, connect_timeout=connect_timeout)

    async def __aenter__(self) -> Self:
        await self._pool.open(wait=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    async def check(self) -> None:
        """Return when the database answers; raises InboxError."""
        try:
            async with self._pool.connection() as connection:
                await connection.execute("SELECT")
        except UNAVAILABLE as error:
            raise InboxError(repr(error)) from error

    async def keep(self, batches: Mapping[bytes, Sequence[Entry]]) -> None:
        """Write the entries of the batches that are new, by their digests; raises InboxError if none is."""
        try:
            async with self._pool.connection() as connection:
                found = await (await connection.execute(_NEW, [list(batches)])).fetchall()
                entries = tally(one for (digest,) in found for one in batches[digest])
                names = await self._names(connection, entries)
                named = [one._replace(actor=names.get(one.actor, one.actor)) for one in entries]
                if named:
                    await connection.execute(INSERT_ENTRIES, [as_json(named)])
                if time.monotonic() - self._cleared > CLEARED_EVERY:
                    await connection.execute(_CLEAR)
                    self._cleared = time.monotonic()
        except UNAVAILABLE as error:
            raise InboxError(repr(error)) from error

    async def _names(self, connection: Connection, entries: Iterable[Entry]) -> dict[str, str]:
        """Return the pseudonyms of those who are to have one."""
        people = {
            one.actor for one in entries if one.proof == "token" and (self._names_all or "@" in one.actor)
        }
        if not people:
            return {}
        return dict(await (await connection.execute(_PSEUDONYMS, [sorted(people)])).fetchall())
