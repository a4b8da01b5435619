"""The tables of the query benchmark beside its rows, with what is wanted of each figure."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from bench.catching_up import CaughtUp
from bench.freshness import RATE, Freshness
from bench.projecting import Projected
from bench.table import judged

P50, P99 = 0.010, 0.050
CATCH_UP_SECONDS, CATCH_UP_CHANGES = 10.0, 100_000
LEVEL_BYTES = 400
MILLI, MICRO, MEGA = 1e3, 1e6, 1e6


def freshness_table(fresh: Freshness) -> Table:
    """Return the table of how long commits took to be shown, and whose share that was."""
    table = Table("commit to visible", "ms", "of the mean", title=f"at {RATE} changes a second")
    for name, share, wanted in (("p50", 0.5, P50), ("p99", 0.99, P99)):
        value = fresh.quantile(share)
        text = judged(f"{value * MILLI:.1f}", f"<= {wanted * MILLI:.0f}", reached=value <= wanted)
        table.add_row(name, text, "")
    mean = sum(fresh.delays) / len(fresh.delays)
    table.add_row(f"mean of {len(fresh.delays):,} transactions", f"{mean * MILLI:.1f}", "", end_section=True)
    for name, seconds in fresh.shares.items():
        table.add_row(name, f"{seconds * MILLI:.1f}", f"{seconds / mean:.0%}")
    return table


def burst_table(bursts: Sequence[CaughtUp]) -> Table:
    """Return the table of how long the view took to show all of a burst."""
    table = Table("burst", "changes", "committed a second", "caught up s", title="bursts")
    for one in bursts:
        # What is wanted, for as many as there were.
        wanted = CATCH_UP_SECONDS * one.changes / CATCH_UP_CHANGES
        seconds = judged(f"{one.seconds:.2f}", f"< {wanted:.1f}", reached=one.seconds < wanted)
        name = "connector paused meanwhile" if one.paused else "everything live"
        table.add_row(name, f"{one.changes:,}", f"{one.rate:,.0f}", seconds)
    return table


def projector_table(came: Sequence[Projected]) -> Table:
    """Return the table of what one projector process applies, and what the read model keeps of it."""
    cost = "µs of CPU a change:\nprojector, valkey"
    headers = ("journal", "records/s", "changes/s", cost, "others' CPU", "bytes a level", "feed MB")
    table = Table(*headers, title="one projector process, Valkey of its own")
    for one in came:
        table.add_row(
            f"{one.journal.levels:,} levels, {one.journal.in_record} a record",
            f"{one.rate / one.journal.in_record:,.0f}",
            f"{one.rate:,.0f}",
            ", ".join(f"{seconds * MICRO:.1f}" for seconds in one.cpu.values()),
            f"{one.others:.0%}",
            judged(f"{one.redis_bytes:.0f}", f"< {LEVEL_BYTES}", reached=one.redis_bytes < LEVEL_BYTES),
            f"{one.feed_bytes / MEGA:.1f}",
        )
    return table
