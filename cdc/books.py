"""The books against each other: what the ledger, the lots and the promises say of each level, and its row.

Each check walks the levels in small steps, every one of them a single statement and so a single snapshot:
commands that run meanwhile are in it wholly or not at all, and what differs is wrong.
"""

from collections.abc import Sequence
from typing import LiteralString

from cdc.comparison import ENTRIES, LEVELS, LOTS, PROMISES, SERIALS, Report, Spot, figures, ledger_faults
from cdc.tables import BY_KIND, Connection, Name
from query_svc.rows import Row, level_of

PAGE_LEVELS = 500
PAGE_ENTRIES = 50_000
PROMISED_LEVELS = 20_000

# As many levels as have so many entries, and one at least. The ledger of a level begins at its opening where
# older entries are archived, else at nothing.
_LEDGER = """
WITH next AS (
    SELECT * FROM stock_levels WHERE (sku, location_id) > (%(sku)s, %(place)s)
    ORDER BY sku, location_id LIMIT %(levels)s
), openings AS (
    SELECT n.sku, n.location_id, coalesce(o.on_hand, 0) AS on_hand, coalesce(o.reserved, 0) AS reserved,
        coalesce(o.backordered, 0) AS backordered, coalesce(o.in_transit, 0) AS in_transit,
        coalesce(o.version, 0) AS version,
        sum(n.version - coalesce(o.version, 0)) OVER (
            ORDER BY n.sku, n.location_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS entries_before
    FROM next AS n LEFT JOIN ledger_openings AS o USING (sku, location_id)
), page AS (
    SELECT * FROM openings WHERE coalesce(entries_before, 0) < %(entries)s
), steps AS (
    SELECT m.*,
        lag(m.on_hand, 1, o.on_hand) OVER w + m.on_hand_delta = m.on_hand
        AND lag(m.reserved, 1, o.reserved) OVER w + m.reserved_delta = m.reserved
        AND lag(m.backordered, 1, o.backordered) OVER w + m.backordered_delta = m.backordered
        AND lag(m.in_transit, 1, o.in_transit) OVER w + m.in_transit_delta = m.in_transit
        AND lag(m.version, 1, o.version) OVER w + 1 = m.version AS follows
    FROM page AS o JOIN stock_movements AS m USING (sku, location_id)
    WINDOW w AS (PARTITION BY m.sku, m.location_id ORDER BY m.version)
), ledger AS (
    SELECT sku, location_id, count(*) AS entries, min(version) FILTER (WHERE NOT follows) AS broken_at,
        sum(on_hand_delta) AS on_hand, sum(reserved_delta) AS reserved,
        sum(backordered_delta) AS backordered, sum(in_transit_delta) AS in_transit
    FROM steps GROUP BY sku, location_id
)
SELECT n.*, coalesce(l.entries, 0) AS entries, l.broken_at,
    ARRAY[o.on_hand + coalesce(l.on_hand, 0), o.reserved + coalesce(l.reserved, 0),
        o.backordered + coalesce(l.backordered, 0), o.in_transit + coalesce(l.in_transit, 0),
        o.version + coalesce(l.entries, 0)]::bigint[] AS sums
FROM page AS o JOIN next AS n USING (sku, location_id) LEFT JOIN ledger AS l USING (sku, location_id)
ORDER BY o.sku, o.location_id
"""
_LOTS = """
SELECT l.sku, l.location_id, ARRAY[l.on_hand, l.reserved] AS level,
    ARRAY[coalesce(sum(t.on_hand), 0), coalesce(sum(t.reserved), 0)]::bigint[] AS lots
FROM unnest(%(skus)s::text[], %(places)s::text[]) AS k (sku, location_id)
JOIN stock_levels AS l USING (sku, location_id) LEFT JOIN lots AS t USING (sku, location_id)
WHERE l.lot_tracked GROUP BY l.sku, l.location_id, l.on_hand, l.reserved
HAVING (l.on_hand, l.reserved) <> (coalesce(sum(t.on_hand), 0), coalesce(sum(t.reserved), 0))
"""
_SERIALS = """
SELECT t.sku, t.location_id, t.lot_id, t.serials, count(s.number) AS present
FROM unnest(%(skus)s::text[], %(places)s::text[]) AS k (sku, location_id)
JOIN lots AS t USING (sku, location_id)
LEFT JOIN serials AS s
    ON s.sku = t.sku AND s.location_id = t.location_id AND s.lot_id = t.lot_id AND s.present
GROUP BY t.sku, t.location_id, t.lot_id, t.serials HAVING t.serials <> count(s.number)
"""
_UNTIL = "SELECT sku FROM stock_levels WHERE sku > %s ORDER BY sku OFFSET %s LIMIT 1"
# What is open of reservations, orders and transfers, summed up for the levels of some SKUs.
_PROMISES = """
WITH promises AS (
    SELECT u.sku, u.location_id, u.quantity - u.confirmed - u.released AS reserved,
        0 AS backordered, 0 AS in_transit
    FROM reservations AS r CROSS JOIN unnest(r.skus, r.location_ids, r.quantities, r.confirmed, r.released)
        AS u (sku, location_id, quantity, confirmed, released)
    WHERE r.state = 'PENDING'
    UNION ALL
    SELECT u.sku, u.location_id, u.quantity - u.backordered - u.shipped - u.cancelled, u.backordered, 0
    FROM orders AS o CROSS JOIN
        unnest(o.skus, o.location_ids, o.quantities, o.backordered, o.shipped, o.cancelled)
        AS u (sku, location_id, quantity, backordered, shipped, cancelled)
    WHERE o.state = 'OPEN'
    UNION ALL
    SELECT u.sku, t.destination_location_id, 0, 0, u.quantity - u.received - u.written_off - u.returned
    FROM transfers AS t CROSS JOIN unnest(t.skus, t.quantities, t.received, t.written_off, t.returned)
        AS u (sku, quantity, received, written_off, returned)
    WHERE t.state = 'IN_TRANSIT'
), sums AS (
    SELECT sku, location_id, sum(reserved) AS reserved, sum(backordered) AS backordered,
        sum(in_transit) AS in_transit
    FROM promises
    WHERE sku > %(after)s AND (%(until)s::text IS NULL OR sku <= %(until)s) GROUP BY sku, location_id
), levels AS (
    SELECT * FROM stock_levels WHERE sku > %(after)s AND (%(until)s::text IS NULL OR sku <= %(until)s)
)
SELECT sku, location_id,
    ARRAY[coalesce(l.reserved, 0), coalesce(l.backordered, 0), coalesce(l.in_transit, 0)]::bigint[] AS level,
    ARRAY[coalesce(s.reserved, 0), coalesce(s.backordered, 0), coalesce(s.in_transit, 0)]::bigint[] AS sums
FROM levels AS l FULL JOIN sums AS s USING (sku, location_id)
WHERE (coalesce(l.reserved, 0), coalesce(l.backordered, 0), coalesce(l.in_transit, 0))
    <> (coalesce(s.reserved, 0), coalesce(s.backordered, 0), coalesce(s.in_transit, 0))
ORDER BY sku, location_id
"""
# The names there are in the ledger, each found behind the one before: no entry of a level is read but one.
_LEDGER_NAMES = """
WITH RECURSIVE names AS (
    (SELECT sku, location_id FROM stock_movements WHERE (sku, location_id) > (%(sku)s, %(place)s)
        ORDER BY sku, location_id LIMIT 1)
    UNION ALL
    SELECT n.sku, n.location_id FROM names CROSS JOIN LATERAL (
        SELECT m.sku, m.location_id FROM stock_movements AS m
        WHERE (m.sku, m.location_id) > (names.sku, names.location_id)
        ORDER BY m.sku, m.location_id LIMIT 1
    ) AS n
), page AS (SELECT * FROM names LIMIT %(levels)s)
SELECT p.sku, p.location_id,
    EXISTS (SELECT FROM stock_levels AS l WHERE l.sku = p.sku AND l.location_id = p.location_id) AS has_row
FROM page AS p
"""
_OPENINGS = """
SELECT p.sku, p.location_id,
    EXISTS (SELECT FROM stock_levels AS l WHERE l.sku = p.sku AND l.location_id = p.location_id) AS has_row
FROM (
    SELECT * FROM ledger_openings WHERE (sku, location_id) > (%(sku)s, %(place)s)
    ORDER BY sku, location_id LIMIT %(levels)s
) AS p
"""


class LedgerWalk:
    """Every level's row against its entries in the ledger, its lots and their serial numbers."""

    name = "levels and ledger"

    def __init__(self) -> None:
        self._after = ("", "")

    async def step(self, connection: Connection, report: Report) -> bool:
        """Check the next levels; False when there were none."""
        sku, place = self._after
        rows = await _rows(
            connection, _LEDGER, sku=sku, place=place, levels=PAGE_LEVELS, entries=PAGE_ENTRIES
        )
        if not rows:
            return False
        for row in rows:
            report.compared[LEVELS] += 1
            report.compared[ENTRIES] += row["entries"]
            for fault in ledger_faults(row, figures(level_of(row))):
                report.fault(LEVELS, f"{_at(row)}: {fault}")
        names = {"skus": [row["sku"] for row in rows], "places": [row["location_id"] for row in rows]}
        for row in await _rows(connection, _LOTS, **names):
            report.fault(LOTS, f"{_at(row)}: the row says {row['level']}, its lots sum up to {row['lots']}")
        for row in await _rows(connection, _SERIALS, **names):
            lot = BY_KIND["lots"].words(BY_KIND["lots"].name_of(row))
            report.fault(
                SERIALS, f"{lot}: the row says {row['serials']} serials, {row['present']} are present"
            )
        self._after = (rows[-1]["sku"], rows[-1]["location_id"])
        return True


class PromisesWalk:
    """What is promised of every level, backordered at it and on the way to it, against what is open."""

    name = "promises"

    def __init__(self) -> None:
        self._after: str | None = ""

    async def step(self, connection: Connection, report: Report) -> bool:
        """Check the next levels; False when there were none."""
        if self._after is None:
            return False
        found = await connection.execute(_UNTIL, [self._after, PROMISED_LEVELS])
        beyond = await found.fetchone()
        until = beyond["sku"] if beyond else None
        for row in await _rows(connection, _PROMISES, after=self._after, until=until):
            report.fault(
                PROMISES, f"{_at(row)}: the row says {row['level']}, what is open sums up to {row['sums']}"
            )
        self._after = until
        return True


class UnknownLevelsWalk:
    """What the ledger, or the openings of its archived part, have of levels that have no row."""

    def __init__(self, name: str, spot: Spot, statement: LiteralString, words: str) -> None:
        self.name = name
        self._spot = spot
        self._statement = statement
        self._words = words
        self._after = ("", "")

    async def step(self, connection: Connection, report: Report) -> bool:
        """Check the next names; False when there were none."""
        sku, place = self._after
        rows = await _rows(connection, self._statement, sku=sku, place=place, levels=PAGE_LEVELS)
        for row in rows:
            if not row["has_row"]:
                report.fault(self._spot, f"{_at(row)}: {self._words}, there is no row")
        if rows:
            self._after = (rows[-1]["sku"], rows[-1]["location_id"])
        return bool(rows)


Walk = LedgerWalk | PromisesWalk | UnknownLevelsWalk


def walks() -> Sequence[Walk]:
    """Return all checks of the books, each at its beginning."""
    return (
        LedgerWalk(),
        PromisesWalk(),
        UnknownLevelsWalk("entries", ENTRIES, _LEDGER_NAMES, "the ledger has entries"),
        UnknownLevelsWalk("openings", LEVELS, _OPENINGS, "the ledger has an opening"),
    )


def _at(row: Row) -> str:
    levels = BY_KIND["levels"]
    name: Name = levels.name_of(row)
    return levels.words(name)


async def _rows(connection: Connection, statement: LiteralString, **parameters: object) -> list[Row]:
    cursor = await connection.execute(statement, parameters)
    return await cursor.fetchall()
