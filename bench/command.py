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
from rich.console import Console
from rich.table import Table

from bench import burst, cpu, memory, plan, shop
from bench.burst import Outcome
from bench.load import Answers, Job, Load, processes
from bench.pipeline import Lag, Pipeline
from bench.plan import PLAN, Measurement
from bench.servers import Server, command_server, echo_server
from bench.table import Reading, Results, Row
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

# Wide enough for the table, wherever its text goes.
WIDTH = 190
WARM_UP = 0.3

console = Console(width=max(WIDTH, Console().width), highlight=False)


@contextmanager
def servers(stack: RunningStack) -> Iterator[Mapping[str, Server]]:
    """Run what the rows are measured on."""
    url = stack.postgres_url("command")
    found = {
        plan.ONE: Server(stack.command, stack.pid("command")),
        plan.ENVOY: Server(stack.envoy, stack.pid("envoy")),
    }
    with ExitStack() as running:
        for number, (name, settings) in enumerate(plan.COMMAND_SERVERS.items()):
            log = stack.home.log(f"bench-command-{number}")
            found[name] = running.enter_context(command_server(url, log, **settings))
        for number, (name, settings) in enumerate(plan.ECHO_SERVERS.items()):
            log = stack.home.log(f"bench-echo-{number}")
            found[name] = running.enter_context(echo_server(log, **settings))
        yield found


class Bench:
    """One run: measures into `results`."""

    def __init__(
        self,
        stack: RunningStack,
        servers: Mapping[str, Server],
        pipeline: Pipeline,
        load: Load,
        seconds: float,
    ) -> None:
        self.results = Results(Row(one.name, one.against, one.wanted) for one in PLAN)
        self._servers = servers
        self._pids = {
            "database": [stack.pid("postgres")],
            "pipe": [stack.pid(name) for name in PIPE],
            "load": load.pids,
        }
        self._pipeline = pipeline
        self._load = load
        self._seconds = seconds

    async def warm_up(self) -> None:
        """Call every server for a moment: statements are prepared, and the JVMs compile what is hot."""
        for one in PLAN:
            if one.live:
                await self._answers(one, "warm", WARM_UP)

    async def round(self, number: int) -> None:
        """Measure every row once: those with everything live first."""
        for one in PLAN:
            if one.live:
                await self._measure(one, number)
        await self._pipeline.pause()
        for one in PLAN:
            if not one.live:
                await self._measure(one, number)
        await self._pipeline.resume()

    async def _measure(self, one: Measurement, number: int) -> None:
        lag: Lag | None = None
        parts = {"server": [self._servers[one.server].pid], **self._pids}
        before = cpu.usage(parts)
        if one.watched:
            async with self._pipeline.watched(shop.some(1) if one.hot else WATCHED) as lag:
                answers = await self._answers(one, number, self._seconds)
        else:
            answers = await self._answers(one, number, self._seconds)
        used = cpu.usage(parts).since(before)
        cost = {part: seconds / answers.sent for part, seconds in used.parts.items()}
        reading = Reading(answers.rate, answers.quantile(0.5), answers.quantile(0.99), cost, used.others, lag)
        self.results.add(one.name, reading)
        console.print(f"{number} {one.name}: {reading.rate:,.0f}/s", style="dim")

    async def _answers(self, one: Measurement, number: int | str, seconds: float) -> Answers:
        name = f"bench.{number}.{PLAN.index(one)}"
        skus = shop.some(1) if one.hot else shop.SKUS
        job = Job(name, self._servers[one.server].address, one.call, skus, one.callers, one.size, seconds)
        answers = await asyncio.to_thread(self._load.run, job)
        if answers.errors:
            raise RuntimeError(f"{one.name}: {dict(answers.errors)}")
        return answers

    async def burst(self, seconds: float) -> tuple[Outcome, Lag]:
        """Send ten times what is normal to the stack's own service; return what came of it."""
        middle = self.results.rows[plan.ADD].median
        rate = TIMES * NORMAL * middle
        async with self._pipeline.watched(WATCHED) as lag:
            outcome = await asyncio.to_thread(
                burst.run, self._load, BURST, self._servers[plan.ONE].address, rate, seconds
            )
        return outcome, lag


async def measure(stack: RunningStack, load: Load, rounds: int, seconds: float, burst_seconds: float) -> bool:
    """Measure, print and write; return whether every answer was kept."""
    await shop.open_shop(stack.command)
    with servers(stack) as running:
        async with connect(stack.redis_url) as view:
            bench = Bench(stack, running, Pipeline(stack, view), load, seconds)
            await bench.warm_up()
            for number in range(1, rounds + 1):
                await bench.round(number)
            outcome, lag = await bench.burst(burst_seconds)
        megabytes = {name: memory.megabytes(stack.pid(name)) for name in SERVICES}
        megabytes["command, 2 processes"] = memory.megabytes(running[plan.TWO].pid)
    faults = burst.faults(stack.postgres_url("query"), BURST, outcome)
    title = f"{rounds} rounds of {seconds:g} s a row"
    console.print(
        bench.results.table(title, PARTS), _burst_table(outcome, lag, faults), _memory_table(megabytes)
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
    bench.results.write(FILE, {"burst": burst_figures, "megabytes": megabytes})
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


def _memory_table(megabytes: Mapping[str, float]) -> Table:
    table = Table("memory", "MB", title="afterwards")
    for name, size in megabytes.items():
        table.add_row(name, f"{size:,.0f}")
    return table


def main(
    *, quick: Annotated[bool, typer.Option(help="One short round: to see that it works.")] = False
) -> None:
    """Measure the command side; about nine minutes, three with --quick."""
    rounds, seconds, burst_seconds = (1, 1.0, 4.0) if quick else (3, 2.0, 10.0)
    with running_stack("bench") as stack, processes() as load:
        kept = uvloop.run(measure(stack, load, rounds, seconds, burst_seconds))
    raise typer.Exit(0 if kept else 1)


if __name__ == "__main__":
    typer.run(main)
