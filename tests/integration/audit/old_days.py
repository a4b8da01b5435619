"""Days of the audit log that are long over."""

from __future__ import annotations

from datetime import UTC, date, datetime

from audit.chain import beginning
from tests.integration.audit.world import World

JANUARY, FEBRUARY = date(2025, 1, 1), date(2025, 2, 1)
DAYS = (date(2025, 1, 30), date(2025, 1, 31), FEBRUARY)
EACH = 7
"""The entries of each day."""


async def write_old_days(world: World) -> None:
    """Write entries of three days in two months into a log that is empty, and seal them all."""
    for first, end in ((JANUARY, FEBRUARY), (FEBRUARY, date(2025, 3, 1))):
        for parent in ("audit_log", "audit_seals"):
            name = f"{parent}_{first:%Y%m}"
            world.tampering.execute(f"DROP TABLE IF EXISTS {name}")
            world.tampering.execute(
                f"CREATE TABLE {name} PARTITION OF {parent} FOR VALUES FROM ('{first}') TO ('{end}')"
            )
            world.tampering.execute(f"ALTER TABLE {name} OWNER TO inventory_owner")
    for day in DAYS:
        world.tampering.execute(
            "INSERT INTO audit_log (day, record_time, method, verdict, actor, proof, source, request_id,"
            " trace_id, skus, location_ids, transaction_id)"
            " SELECT %(day)s, %(time)s::timestamptz + make_interval(secs => n), 'a.b/C', 'OK', 'Zoë',"
            " 'token', '', 'r-' || n, '', ARRAY['MUG', '☕'], '{}', CASE WHEN n > 3 THEN uuidv7() END"
            " FROM generate_series(1, %(each)s) AS n",
            {"day": day, "time": datetime(day.year, day.month, day.day, tzinfo=UTC), "each": EACH},
        )
    # The sealing begins at the newest days: have it begin at these.
    start = beginning(DAYS[1]).seal
    world.tampering.execute("INSERT INTO audit_days VALUES (%s, 0, '0', 0, %s)", (DAYS[1], start))
    assert await world.seal() == len(DAYS) * EACH
