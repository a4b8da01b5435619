"""What the read model stores against the rows, beside live traffic."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from cdc.tables import Connection, Name, Table
from query_svc.read_model import Maintenance, Stored, Versioned

RETRY_SECONDS = 0.1


class Difference(NamedTuple):
    """A thing as its row says, and what is stored of it instead; `stale` if that is only older."""

    name: Name
    expected: Versioned
    stored: Stored
    stale: bool


View = Callable[[], Awaitable[Maintenance]]
"""The generation to look at: asked for before every look, for another one may be live by then."""


async def differences(
    connection: Connection, view: View, table: Table, things: Sequence[Versioned], deadline: float
) -> list[Difference]:
    """Return those of the things, rows of a table as messages, that are not stored as the rows say.

    What is stored may be behind a row, and ahead of one that was read a moment ago; so may the stream be of
    what this connection can see. Both is asked again until the deadline (of time.monotonic), the row too. A
    version between two that the row had one after the other is taken for right.
    """
    found: list[Difference] = []
    while things and not await (generation := await view()).shows(table.kind, things):
        is_last = time.monotonic() >= deadline
        unlike: dict[Name, tuple[Versioned, Stored]] = {}
        seen = await generation.stored(table.kind, things)
        for thing, stored in zip(things, seen, strict=True):
            if stored.matches:
                continue
            if stored.version == thing.version or (stored.value is not None and not stored.version):
                found.append(Difference(table.name(thing), thing, stored, stale=False))
            else:
                unlike[table.name(thing)] = (thing, stored)
        rows = {table.name_of(row): table.message(row) for row in await table.named(connection, unlike)}
        things = []
        for name, (thing, stored) in unlike.items():
            row = rows.get(name, thing)
            if thing.version < stored.version < row.version:
                continue
            if is_last and stored.version < thing.version:
                found.append(Difference(name, row, stored, stale=True))
            elif is_last and stored.version > row.version:
                found.append(Difference(name, row, stored, stale=False))
            else:
                things.append(row)
        if things and not is_last:
            await asyncio.sleep(RETRY_SECONDS)
    return found
