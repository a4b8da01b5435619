"""`python -m bench.overload`: ten times what the command side carries, and what becomes of those it accepts.

A stack without change data capture; AddStock through edge and sidecar. What is sustainable is measured first,
with few callers; then the bursts are sent at multiples of it, whether answers keep up or not. The load shares
the machine, and yields to what it measures. Ends with code 1 if a command was lost or doubled.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

import typer
import uvloop
from rich.table import Table

from bench import burst, cpu, shop
from bench.hops import PARTS
from bench.load import Job, Load, Target, processes
from bench.measurement import console
from tests.stack_fixture import RunningStack, running_stack

# Whose processor time is told: beside the load, the ways of a command.
WAYS = {"service": "command", "database": "postgres", "sidecar": "command-sidecar", "edge": "edge"}
# As many as are never shed.
CALLERS = 16
TIMES = (1, 2.5, 10)


async def measure(stack: RunningStack, load: Load, seconds: float) -> bool:
    """Measure and print; return whether every answer was kept."""
    await shop.open_shop(stack)
    target = Target(stack.edge, stack.tls())
    job = Job("overload", target, "AddStock", shop.SKUS, CALLERS, seconds=seconds)
    steady = await asyncio.to_thread(load.run, job)
    table = Table(
        *("times", "due/s", "sent/s", "accepted/s", "p99 ms", "at the edge"),
        *("refused", "failed", "not sent", "ledger"),
        title=f"bursts of {seconds:g} s, of {steady.rate:,.0f} AddStock/s ({CALLERS} callers)",
    )
    parts = {part: [stack.pid(name)] for part, name in WAYS.items()} | {"load": load.pids}
    cores = Table("times", *parts, "others", title="cores in use")
    kept = True
    for times in TIMES:
        name, begin, before = f"overload.{times}", datetime.now(UTC), cpu.usage(parts)
        outcome = await asyncio.to_thread(burst.run, load, name, target, times * steady.rate, seconds)
        used = cpu.usage(parts).since(before)
        faults = burst.faults(stack.postgres_url("query"), name, outcome)
        kept = kept and not faults
        at_edge = sorted(_durations(stack, begin))
        table.add_row(
            f"{times:g}",
            f"{outcome.due / seconds:,.0f}",
            f"{(outcome.due - outcome.held_back) / seconds:,.0f}",
            f"{len(outcome.accepted) / seconds:,.0f}",
            f"{outcome.p99 * 1e3:,.0f}",
            f"{at_edge[int(0.99 * len(at_edge))]:,}" if at_edge else "",
            f"{len(outcome.refused):,}",
            str(dict(outcome.failed) or "none"),
            f"{outcome.held_back:,}",
            ", ".join(faults) or "each exactly once",
        )
        machine = os.cpu_count() or 1
        shares = [machine * spent / used.total for spent in used.parts.values()]
        cores.add_row(f"{times:g}", *(f"{share:.2f}" for share in (*shares, machine * used.others)))
    after = await asyncio.to_thread(load.run, replace(job, name="overload.after"))
    table.caption = f"afterwards {after.rate:,.0f}/s"
    console.print(table)
    console.print(cores)
    return kept


def _durations(stack: RunningStack, begin: datetime) -> Iterator[int]:
    """Yield the milliseconds that the edge saw each call take that was accepted since."""
    for file in stack.home.log("edge-access").parent.glob("edge-access.log*"):
        for line in file.read_text().splitlines():
            entry = json.loads(line)
            if entry["grpc_status"] == "OK" and datetime.fromisoformat(entry["time"]) >= begin:
                yield entry["duration_ms"]


def main(*, quick: Annotated[bool, typer.Option(help="Short bursts: to see that it works.")] = False) -> None:
    """Measure what a burst does to those who are accepted."""
    with running_stack("overload", only=PARTS) as stack, processes(shop.token(stack)) as load:
        load.give_way()
        kept = uvloop.run(measure(stack, load, 2.0 if quick else 8.0))
    raise typer.Exit(0 if kept else 1)


if __name__ == "__main__":
    typer.run(main)
