"""Proves that nothing was lost, doubled or made up, three ways."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cdc.comparison import ENTRIES, LEVELS
from cdc.reconcile import reconcile
from client import InventoryClient
from demo.books import Books, Standing
from demo.commits import Commits
from demo.levels import read_up_to_date
from demo.orders import Intake
from query_svc.read_model import ReadModel

# How long the view may take to catch up with the last acknowledged command.
PATIENCE = 30.0
SHOWN_FAULTS = 10


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked: what, over how much, and what is wrong, at most SHOWN_FAULTS in words."""

    what: str
    extent: str
    fault_count: int
    faults: tuple[str, ...]


async def check_view(client: InventoryClient, books: Books) -> Check:
    """Compare what the query service answers for every touched level with what was acknowledged."""
    found = await read_up_to_date(client, list(books), books, PATIENCE)
    faults = []
    for level in books:
        expected, shown = books.expected(level), found.get(level, Standing())
        if expected != shown:
            faults.append(
                f"{level[0]} at {level[1]}: acknowledged {expected.on_hand} on hand at version"
                f" {expected.version}, the query service shows {shown.on_hand} at version {shown.version}"
            )
    return Check(
        "the query service shows what was acknowledged: units and version of every level",
        f"{len(books):,} levels",
        len(faults),
        tuple(faults[:SHOWN_FAULTS]),
    )


async def check_ledger(commits: Commits, books: Books, actor: str, since: datetime) -> Check:
    """Compare the ledger's entries of this run with what was acknowledged: each request exactly once."""
    ledger = await commits.books_of(actor, since)
    faults = [
        f"{sku} at {place}: acknowledged {ours.entries} entries, {ours.delta:+} units;"
        f" the ledger has {theirs.entries}, {theirs.delta:+}"
        + ("" if ours.fingerprint == theirs.fingerprint else ", and not of the same requests")
        for (sku, place), ours, theirs in books.differences(ledger)
    ]
    return Check(
        "the ledger has every acknowledged request exactly once, and no other",
        f"{ledger.entries:,} entries",
        len(faults),
        tuple(faults[:SHOWN_FAULTS]),
    )


async def check_stores(database: str, view: ReadModel) -> Check:
    """Compare the ledger, the rows and the read model with each other, all of each."""
    report = await reconcile(database, view, wait=PATIENCE)
    return Check(
        "for every item and place: sum of the ledger = row = projection, versions dense",
        f"{report.compared[LEVELS]:,} levels, {report.compared[ENTRIES]:,} entries",
        report.fault_count,
        tuple(report.faults[:SHOWN_FAULTS]),
    )


def check_intake(intake: Intake, lines: int) -> Check:
    """Check that every row of the file is accounted for, and that every used one became a line."""
    faults = []
    if intake.rows_read != intake.rows_used + intake.rows_set_aside:
        faults.append(
            f"{intake.rows_read:,} rows read, but {intake.rows_used:,} used"
            f" and {intake.rows_set_aside:,} set aside"
        )
    if intake.rows_used != lines:
        faults.append(f"{intake.rows_used:,} rows used, but {lines:,} lines in the orders")
    return Check(
        "every row read was used or set aside for a named reason",
        f"{intake.rows_read:,} rows",
        len(faults),
        tuple(faults),
    )
