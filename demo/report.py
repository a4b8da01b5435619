"""The tables at the end."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from demo.measure import Latencies, Measurements
from demo.orders import Intake
from demo.proof import Check


def show_intake(console: Console, intake: Intake) -> None:
    """Print what became of every row of the file."""
    table = Table("rows")
    table.add_column("number", justify="right")
    table.add_column("for example")
    table.add_row("read", f"{intake.rows_read:,}")
    table.add_row("used", f"{intake.rows_used:,}")
    for reason, aside in intake.set_aside.items():
        table.add_row(f"set aside: {reason}", f"{aside.rows:,}", escape("; ".join(aside.examples)))
    console.print("\n[bold]What became of every row of the file:[/bold]", table, sep="\n")


def show_measurements(console: Console, measured: Measurements) -> None:
    """Print the figures of the run."""
    table = Table("what")
    for heading in ("number", "p50", "p99"):
        table.add_column(heading, justify="right")
    table.add_row("orders", f"{measured.orders:,}")
    table.add_row("stock commands", f"{measured.commands:,}")
    for reason, number in measured.refused.most_common():
        table.add_row(f"  of them refused: {reason}", f"{number:,}")
    speed = measured.selling_commands / max(measured.selling_seconds, 1e-9)
    table.add_row("commands/s while selling", f"{speed:,.0f}")
    table.add_section()
    for what, latencies in (
        ("command, alone in its call", measured.unary),
        ("batch of commands", measured.batches),
        ("query", measured.queries),
        ("commit → visible, while selling", measured.visible_busy),
        ("commit → visible, after selling", measured.visible_quiet),
    ):
        table.add_row(what, f"{latencies.count:,}", *_milliseconds(latencies))
    console.print("\n[bold]Measured,[/bold] all on this machine:", table, sep="\n")


def show_checks(console: Console, checks: list[Check]) -> None:
    """Print the proof, and the figures of what does not add up."""
    table = Table("that", "over", "result")
    for check in checks:
        result = f"[red]{check.fault_count:,} wrong" if check.fault_count else "[green]holds"
        table.add_row(check.what, check.extent, result)
    console.print("\n[bold]Proof:[/bold]", table, sep="\n")
    for check in checks:
        for fault in check.faults:
            console.print(f"[red]wrong[/red] {escape(fault)}")
        if check.fault_count > len(check.faults):
            console.print(f"… and {check.fault_count - len(check.faults):,} more")


def _milliseconds(latencies: Latencies) -> tuple[str, ...]:
    if not latencies.count:
        return ("-", "-")
    return tuple(f"{latencies.quantile(share) * 1000:.1f} ms" for share in (0.5, 0.99))
