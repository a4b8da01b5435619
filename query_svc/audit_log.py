"""The audit log in PostgreSQL: its entries in pages, and the proof of a day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from audit.chain import Broken, Flaw, Seal, Stored, beginning, follow
from query_svc.database import Database, Snapshot

# What a page looks at: a filter that little matches costs no more.
MAX_SCANNED = 20_000
PROVED_AT_ONCE = 2000
MAX_PROVED = 100_000

_COLUMNS = """day, transaction_number::text::bigint AS transaction_number, entry_id, record_time, method,
    verdict, actor, proof, source, request_id, trace_id, skus, location_ids, transaction_id, calls"""
# In the order of the primary key, so that no more is read than is looked at.
_PAGE = """
SELECT {columns}, {wanted} AS is_wanted FROM (
    SELECT * FROM audit_log
    WHERE day BETWEEN %(first)s AND %(last)s
      AND (day, transaction_number, entry_id) {comparison} (%(day)s, %(number)s::text::xid8, %(entry_id)s)
    ORDER BY day {direction}, transaction_number {direction}, entry_id {direction}
    LIMIT %(scanned)s
) AS l ORDER BY day {direction}, l.transaction_number {direction}, entry_id {direction}
"""
_WANTED = {
    "start": "record_time >= %(start)s",
    "end": "record_time < %(end)s",
    "actors": "actor = ANY(%(actors)s)",
    "methods": "(method = %(methods)s OR starts_with(method, %(methods)s || '/'))",
    "sku": "skus @> ARRAY[%(sku)s]",
    "location_id": "location_ids @> ARRAY[%(location_id)s]",
    "verdict": "verdict = %(verdict)s",
    "request_id": "request_id = %(request_id)s",
}
_SEALS = """
SELECT position, transaction_number::text::bigint, entry_id, seal FROM audit_seals
WHERE day = %s AND position > %s ORDER BY position LIMIT %s
"""
_SEAL_AT = """
SELECT position, transaction_number::text::bigint, entry_id, seal FROM audit_seals
WHERE day = %s AND position = %s
"""
_ARCHIVED = "SELECT file_name FROM audit_archives WHERE month = date_trunc('month', %s::date)::date"
_HEAD = """
SELECT entries, transaction_number::text::bigint, entry_id, seal FROM audit_days WHERE day = %s
"""
_BETWEEN = f"""
SELECT {_COLUMNS} FROM audit_log
WHERE day = %s AND (transaction_number, entry_id) > (%s::text::xid8, %s)
  AND (transaction_number, entry_id) <= (%s::text::xid8, %s)
ORDER BY audit_log.transaction_number, entry_id LIMIT %s
"""  # noqa: S608 - names of our own
_WAITING = """
SELECT count(*) FROM audit_log WHERE day = %s AND (transaction_number, entry_id) > (%s::text::xid8, %s)
"""

FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(9999, 12, 31)
MAX_NUMBER = 2**63 - 1


class Wanted(NamedTuple):
    """What entries are asked for; what is empty asks nothing. `methods` is a method, or a service."""

    start: datetime | None = None
    end: datetime | None = None
    actors: Sequence[str] = ()
    methods: str = ""
    sku: str = ""
    location_id: str = ""
    verdict: str = ""
    request_id: str = ""


class Place(NamedTuple):
    """Where an entry stands."""

    day: date
    transaction_number: int
    entry_id: int


class Page(NamedTuple):
    """Some entries, and the place after which the next begin, None when there are no more."""

    entries: list[Stored]
    next_place: Place | None


class Proof(NamedTuple):
    """What has been proved of a day: `end` is the last good seal, `broken` the first flaw.

    `is_complete` tells whether nothing sealed is left to prove; `waiting` entries are not sealed yet.
    """

    end: Seal
    broken: Broken | None = None
    is_complete: bool = False
    waiting: int = 0


class DayArchivedError(Exception):
    """The entries of the day are no longer in the database; the message is the name of their file."""


class AuditLog:
    """Reads the audit log. Every method takes `seconds` at most and raises DatabaseUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, wanted: Wanted, *, newest_first: bool, after: Place | None, limit: int, seconds: float
    ) -> Page:
        """Return up to `limit` wanted entries after a place, of the next MAX_SCANNED entries at most."""
        asked = {name: value for name, value in wanted._asdict().items() if value}
        outermost = Place(LAST_DAY, MAX_NUMBER, MAX_NUMBER) if newest_first else Place(FIRST_DAY, 0, 0)
        begin = after or outermost
        parameters: Mapping[str, object] = {
            **asked,
            "first": wanted.start.date() if wanted.start else FIRST_DAY,
            "last": wanted.end.date() if wanted.end else LAST_DAY,
            "day": begin.day,
            "number": str(begin.transaction_number),
            "entry_id": begin.entry_id,
            "scanned": MAX_SCANNED,
        }
        statement = _PAGE.format(
            columns=_COLUMNS,
            wanted=" AND ".join(_WANTED[name] for name in asked) or "true",
            comparison="<" if newest_first else ">",
            direction="DESC" if newest_first else "ASC",
        )
        async with self._database.snapshot(seconds) as snapshot:
            rows = await snapshot.values(statement, parameters)
        entries: list[Stored] = []
        for *row, is_wanted in rows:
            if not is_wanted:
                continue
            if len(entries) == limit:
                return Page(entries, _place_of(entries[-1]))
            entries.append(Stored(*row))
        return Page(entries, _place(rows[-1]) if len(rows) == MAX_SCANNED else None)

    async def prove(self, day: date, after: Seal | None, seconds: float) -> Proof:
        """Prove a day from its beginning, or from a seal of it on; MAX_PROVED entries at most.

        `after` needs its position and seal alone: the seal must be the one at that position. Raises
        DayArchivedError.
        """
        async with self._database.snapshot(seconds) as snapshot:
            if archived := await snapshot.values(_ARCHIVED, (day,)):
                raise DayArchivedError(archived[0][0])
            last = beginning(day)
            if after is not None and after.position:
                known = [Seal(*row) for row in await snapshot.values(_SEAL_AT, (day, after.position))]
                if not known or known[0].seal != after.seal:
                    flaw = Flaw.ENTRY_CHANGED if known else Flaw.SEAL_MISSING
                    return Proof(last, Broken(flaw, after.position, known[0].entry_id if known else 0))
                last = known[0]
            for _ in range(MAX_PROVED // PROVED_AT_ONCE):
                rows = await snapshot.values(_SEALS, (day, last.position, PROVED_AT_ONCE))
                if not rows:
                    return await _end(snapshot, day, last)
                seals = [Seal(*row) for row in rows]
                found = follow(last, seals, await _between(snapshot, day, last, seals[-1]))
                if isinstance(found, Broken):
                    good = next((one for one in seals if one.position == found.position - 1), last)
                    return Proof(good, found)
                last = found
            return Proof(last)


async def _between(snapshot: Snapshot, day: date, last: Seal, until: Seal) -> list[Stored]:
    # More than there are seals: that is a flaw, and the first of them is enough to tell.
    parameters = (day, str(last.transaction_number), last.entry_id)
    rows = await snapshot.values(
        _BETWEEN, (*parameters, str(until.transaction_number), until.entry_id, 2 * PROVED_AT_ONCE)
    )
    return [Stored(*row) for row in rows]


async def _end(snapshot: Snapshot, day: date, last: Seal) -> Proof:
    """Hold the last seal against what was written down of the day, and look for entries left out."""
    heads = [Seal(*row) for row in await snapshot.values(_HEAD, (day,))]
    head = heads[0] if heads else beginning(day)
    if (head.position, head.seal) != (last.position, last.seal):
        return Proof(last, Broken(Flaw.SEAL_MISSING, last.position + 1, 0))
    place = (day, str(last.transaction_number), last.entry_id)
    ((waiting,),) = await snapshot.values(_WAITING, place)
    return Proof(last, is_complete=True, waiting=waiting)


def _place_of(entry: Stored) -> Place:
    return Place(entry.day, entry.transaction_number, entry.entry_id)


def _place(row: tuple[Any, ...]) -> Place:
    return Place(*row[:3])
