"""`python -m bench.command`: the command side under load, its paths held against each other in one run.

A stack of its own with everything live, and beside its command service others on the same database: with
one transaction for each request, with two processes, and the frame alone (the echo). Every row is
measured once in each round, so that what disturbs the machine disturbs all of them; ratios are taken
within a round. The load shares the machine. Ends with code 1 if a command was lost or doubled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Annotated

import typer
import uvloop
from rich.table import Table

from bench import burst, memory, plan, shop
from bench.burst import Outcome
from bench.load import Load, Target, processes
from bench.measurement import Runner, console
from bench.pipeline import Lag, Pipeline
from bench.plan import PLAN
from bench.servers import Server, command_server, echo_server, front
from bench.unshed import unshed
from query_svc.read_model import connect
from stack.home import CHECKOUT
from tests.stack_fixture import RunningStack, running_stack

FILE = CHECKOUT / ".bench" / "command.json"
WATCHED = shop.some(32)
# What is normal for the burst, as a share of what AddStock has reached: ten times as much is too much.
NORMAL = 0.25
TIMES = 10
BURST = "bench.burst"
SERVICES = ("command", "projector", "query", "valkey")
# Whose processor time is told apart: the server called, the database, the way to the view, the load.
PARTS = ("server", "database", "pipe", "load")
PIPE = ("connect", "broker", "projector", "valkey")


@contextmanager
def servers(stack: RunningStack) -> Iterator[Mapping[str, Server]]:
    """Run what the rows are measured on: all meet their callers as the stack's own service does."""
    met = front(stack, "command")
    url = stack.postgres_url("command")
    found = {
        plan.ONE: Server(Target(stack.command, stack.tls("command")), stack.pid("command")),
        plan.ENVOY: Server(Target(stack.edge, stack.tls()), stack.pid("edge")),
    }
    with ExitStack() as running:
        for number, (name, settings) in enumerate(plan.COMMAND_SERVERS.items()):
            log = stack.home.log(f"bench-command-{number}")
            found[name] = running.enter_context(command_server(url, log, met, **settings))
        for number, (name, settings) in enumerate(plan.ECHO_SERVERS.items()):
            log = stack.home.log(f"bench-echo-{number}")
            found[name] = running.enter_context(echo_server(log, met, **settings))
        yield found


class Bench:
    """One run, in rounds."""

    def __init__(self, runner: Runner, pipeline: Pipeline, load: Load, target: Target) -> None:
        self._runner = runner
        self._pipeline = pipeline
        self._load = load
        self._target = target

    async def warm_up(self) -> None:
        """Call every server for a moment."""
        for one in PLAN:
            if one.live:
                await self._runner.warm_up(one)

    async def round(self, number: int) -> None:
        """Measure every row once: those with everything live first."""
        for one in PLAN:
            if one.watched:
                watching = self._pipeline.watched(shop.some(1) if one.hot else WATCHED)
                await self._runner.measure(one, number, watching)
            elif one.live:
                await self._runner.measure(one, number)
        await self._pipeline.pause()
        for one in PLAN:
            if not one.live:
                await self._runner.measure(one, number)
        await self._pipeline.resume()

    async def burst(self, seconds: float) -> tuple[Outcome, Lag]:
        """Send ten times what is normal to the stack's own service; return what came of it."""
        middle = self._runner.results.rows[plan.ADD].median
        rate = TIMES * NORMAL * middle
        async with self._pipeline.watched(WATCHED) as lag:
            outcome = await asyncio.to_thread(burst.run, self._load, BURST, self._target, rate, seconds)
        return outcome, lag


async def measure(stack: RunningStack, load: Load, rounds: int, seconds: float, burst_seconds: float) -> bool:
    """Measure, print and write; return whether every answer was kept."""
    await shop.open_shop(stack)
    with servers(stack) as running:
        async with connect(stack.redis_url) as view:
            parts = {
                "database": [stack.pid("postgres")],
                "pipe": [stack.pid(name) for name in PIPE],
            }
            runner = Runner(PLAN, running, parts, load, seconds)
            bench = Bench(runner, Pipeline(stack, view), load, running[plan.ONE].target)
            await bench.warm_up()
            for number in range(1, rounds + 1):
                await bench.round(number)
            outcome, lag = await bench.burst(burst_seconds)
        megabytes = {name: memory.megabytes(stack.pid(name)) for name in SERVICES}
        megabytes["command, 2 processes"] = memory.megabytes(running[plan.TWO].pid)
    faults = burst.faults(stack.postgres_url("query"), BURST, outcome)
    title = f"{rounds} rounds of {seconds:g} s a row"
    console.print(
        runner.results.table(title, "commands", PARTS),
        _burst_table(outcome, lag, faults),
        memory.table(megabytes),
    )
    burst_figures = {
        "accepted": len(outcome.accepted),
        "refused": len(outcome.refused),
        "failed": dict(outcome.failed),
        "held_back": outcome.held_back,
        "p99": outcome.p99,
        "view": asdict(lag),
        "faults": faults,
    }
    runner.results.write(FILE, {"burst": burst_figures, "megabytes": megabytes})
    return not faults


def _burst_table(outcome: Outcome, lag: Lag, faults: list[str]) -> Table:
    table = Table("burst", "", title=f"{TIMES} x {NORMAL:.0%} of what AddStock reached")
    table.add_row("commands due", f"{outcome.due:,}")
    table.add_row("accepted", f"{len(outcome.accepted):,}, p99 {outcome.p99 * 1e3:,.0f} ms")
    table.add_row("refused, told when to come again", f"{len(outcome.refused):,}")
    table.add_row("failed otherwise", str(dict(outcome.failed) or "none"))
    table.add_row("not sent: too many waited for an answer", f"{outcome.held_back:,}")
    table.add_row("view behind s, caught up s", f"{lag.longest:.2f}, {lag.catching_up:.2f}")
    table.add_row("answers against the ledger", ", ".join(faults) or "each exactly once")
    return table


def main(
    *, quick: Annotated[bool, typer.Option(help="One short round: to see that it works.")] = False
) -> None:
    """Measure the command side; about nine minutes, three with --quick."""
    rounds, seconds, burst_seconds = (1, 1.0, 4.0) if quick else (3, 2.0, 10.0)
    with unshed(), running_stack("bench") as stack, processes(shop.token(stack)) as load:
        kept = uvloop.run(measure(stack, load, rounds, seconds, burst_seconds))
    raise typer.Exit(0 if kept else 1)


if __name__ == "__main__":
    typer.run(main)
