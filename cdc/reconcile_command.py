"""`python -m cdc reconcile`: the proof, printed."""

import asyncio
import sys
from datetime import timedelta

from rich.console import Console
from rich.table import Table

from cdc.config import ReconcileSettings
from cdc.reconcile import Report, reconcile
from query_svc.read_model import Retention, connect
from serving import settings


def main(wait: float) -> None:
    """Compare and print; exit code 1 when anything differs, given `wait` seconds to catch up."""
    config = settings.load(ReconcileSettings)

    async def run() -> Report:
        async with connect(config.redis_url.get_secret_value(), generation=config.generation) as view:
            return await reconcile(
                config.database_url.get_secret_value(),
                view,
                wait=wait,
                retention=Retention(timedelta(days=config.closed_days)),
            )

    report = asyncio.run(run())
    _print(report)
    sys.exit(1 if report.fault_count else 0)


def _print(report: Report) -> None:
    console = Console()
    table = Table("compared", "number", title="ledger = rows = read model", min_width=30)
    for spot, number in report.compared.items():
        table.add_row(str(spot), f"{number:,}")
    table.add_row("differences", f"{report.fault_count:,}")
    console.print(table)
    for fault in report.faults:
        console.print(fault, markup=False, soft_wrap=True)
    if report.fault_count > len(report.faults):
        console.print(f"and {report.fault_count - len(report.faults):,} more")
