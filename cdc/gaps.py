"""Changes that have never come are fetched from PostgreSQL.

A level whose versions skip some tells that records of the journal were lost on the way, and with them
whatever else those transactions changed. The ledger knows which they were, and the journal table keeps
them for a week: so they are applied as if they had come. Where they are kept no more, the rows of the level
and of its lots are taken as they stand, and the reconciliation finds the rest.
"""

import asyncio
from collections import Counter

import structlog

from cdc.projector import UndecodableError, decode, fold
from cdc.tables import BY_KIND, Connection, DatabaseError, connect_database
from query_svc.read_model import Changes, Gap, ReadModel, ReadModelUnavailableError

MAX_WAITING = 10_000
MAX_TRANSACTIONS = 500
RETRY_SECONDS = 1.0

_TRANSACTIONS = """
SELECT DISTINCT transaction_id AS id FROM stock_movements
WHERE sku = %s AND location_id = %s AND version > %s AND version <= %s LIMIT %s
"""
_PAYLOADS = "SELECT id, payload FROM journal WHERE id = ANY(%s) ORDER BY id, part"

log = structlog.get_logger()


class GapRepair:
    """Repairs gaps in the background, one after the other, for as long as `run` runs.

    `counts` has how many were noticed, how many are repaired, and how many were left to the reconciliation
    because MAX_WAITING others waited.
    """

    def __init__(self, database_url: str, view: ReadModel) -> None:
        self.counts: Counter[str] = Counter()
        self._database_url = database_url
        self._view = view
        self._waiting: dict[tuple[str, str], Gap] = {}
        self._woken = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Return how many gaps wait to be repaired."""
        return len(self._waiting)

    def notice(self, gap: Gap) -> None:
        """Have a gap repaired soon; two of the same level are repaired as one."""
        name = (gap.sku, gap.location_id)
        self.counts["noticed"] += 1
        log.warning("changes of a level have never come", **gap._asdict())
        if known := self._waiting.get(name):
            gap = gap._replace(after=min(gap.after, known.after), until=max(gap.until, known.until))
        elif len(self._waiting) >= MAX_WAITING:
            self.counts["left"] += 1
            return
        self._waiting[name] = gap
        self._woken.set()

    async def run(self) -> None:
        """Repair what is noticed, for ever; wait where PostgreSQL or Redis is away."""
        while True:
            await self._woken.wait()
            try:
                async with connect_database(self._database_url) as connection:
                    await self._repair_all(connection)
            except (DatabaseError, ReadModelUnavailableError) as error:
                log.warning("gaps wait to be repaired", waiting=self.waiting, cause=repr(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def _repair_all(self, connection: Connection) -> None:
        while self._waiting:
            name, gap = next(iter(self._waiting.items()))
            source = await self._repair(connection, gap)
            if self._waiting.get(name) == gap:  # else it has grown meanwhile, and is repaired again
                del self._waiting[name]
                self.counts["repaired"] += 1
            log.info("gap repaired", source=source, **gap._asdict())
        self._woken.clear()

    async def _repair(self, connection: Connection, gap: Gap) -> str:
        """Apply what was lost, and return where it was taken from."""
        found = await connection.execute(_TRANSACTIONS, [*gap, MAX_TRANSACTIONS + 1])
        lost = {row["id"] for row in await found.fetchall()}
        if len(lost) <= MAX_TRANSACTIONS:
            found = await connection.execute(_PAYLOADS, [list(lost)])
            records = await found.fetchall()
            if lost and {record["id"] for record in records} == lost:
                try:
                    changes = fold([decode(record["payload"]) for record in records])
                except UndecodableError as error:
                    log.error("the journal keeps what cannot be decoded", cause=str(error))  # noqa: TRY400
                else:
                    await self._put(changes)
                    return "journal"
        levels, lots = BY_KIND["levels"], BY_KIND["lots"]
        name = (gap.sku, gap.location_id)
        rows = await levels.named(connection, [name])
        parts = await lots.below(connection, name)
        await self._put(Changes(levels=[*map(levels.message, rows)], lots=[*map(lots.message, parts)]))
        return "rows"

    async def _put(self, changes: Changes) -> None:
        await (await self._view.maintenance()).put(changes)
