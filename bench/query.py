"""`python -m bench.query`: the query side under load, and the way from the commit to the view.

A stack of its own with everything live, and beside its query service one of two processes, and the frame
alone (the echo). Rows as those of the command side: each once in each round, ratios within a round. Then how
fresh the view is at a steady rate, part by part; how it catches up; what one projector applies; what the
read model and the processes hold. The load shares the machine.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
import uvloop

from bench import freshness, memory, shop
from bench import query_plan as plan
from bench.calls import PLACE, add
from bench.catching_up import caught_up
from bench.load import Job, Load, Target, processes
from bench.measurement import Runner, console
from bench.pipeline import Pipeline
from bench.projecting import Journal, Projected, projected
from bench.query_plan import PLAN
from bench.query_tables import burst_table, freshness_table, projector_table
from bench.servers import Server, echo_server, front, query_server
from bench.unshed import unshed
from inventory.query.v1.consistency_pb2 import SOURCE_DATABASE, SOURCE_VIEW, Consistency
from inventory.query.v1.stock_query_service_pb2 import GetStockLevelRequest
from query_svc.read_model import connect
from stack.home import CHECKOUT
from tests.stack_fixture import RunningStack, running_stack

FILE = CHECKOUT / ".bench" / "query.json"
# Whose processor time is told apart: the server called, the read model, the database, the load.
PARTS = ("server", "valkey", "database", "load")


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    seconds: float
    steady_seconds: float
    burst: int
    journals: tuple[Journal, ...]


FULL = Size(3, 2.0, 10.0, 100_000, (Journal(100_000, 1), Journal(1_000_000, 100)))
QUICK = Size(1, 1.0, 4.0, 10_000, (Journal(20_000, 1), Journal(100_000, 100)))


@contextmanager
def servers(stack: RunningStack) -> Iterator[Mapping[str, Server]]:
    """Run what the rows are measured on: all meet their callers as the stack's own service does."""
    met = front(stack, "query")
    found = {
        plan.ONE: Server(Target(stack.query, stack.tls("query")), stack.pid("query")),
        plan.ENVOY: Server(Target(stack.edge, stack.tls()), stack.pid("edge")),
    }
    with ExitStack() as running:
        for number, (name, settings) in enumerate(plan.QUERY_SERVERS.items()):
            log = stack.home.log(f"bench-query-{number}")
            server = query_server(stack.redis_url, stack.postgres_url("query"), log, met, **settings)
            found[name] = running.enter_context(server)
        for number, (name, settings) in enumerate(plan.ECHO_SERVERS.items()):
            log = stack.home.log(f"bench-echo-{number}")
            found[name] = running.enter_context(echo_server(log, met, **settings))
        yield found


async def demands(stack: RunningStack) -> Mapping[str, Consistency]:
    """Return what queries ask for: the change that a command has just made, or everything.

    Raise RuntimeError unless the answer comes from where it should.
    """
    async with stack.client("bench", stack.command, "command") as client:
        made = await client.add_stock(add("bench.token", shop.SKUS, 1, random.Random(1)))  # noqa: S311 - any
    found = {
        plan.TOKEN: Consistency(at_least_as_fresh=made.consistency_token),
        plan.EVERYTHING: Consistency(fully_consistent=True),
    }
    async with stack.client("bench", stack.query, "query") as client:
        for demand, source in ((plan.TOKEN, SOURCE_VIEW), (plan.EVERYTHING, SOURCE_DATABASE)):
            request = GetStockLevelRequest(sku=shop.SKUS[0], location_id=PLACE, consistency=found[demand])
            await client.get_stock_level(request)  # by now, what was waited for is there
            if (answer := await client.get_stock_level(request)).freshness.source != source:
                raise RuntimeError(f"{demand}: {answer.freshness}")
    return found


async def rows(stack: RunningStack, load: Load, size: Size) -> Runner:
    """Measure every row in every round."""
    parts = {"valkey": [stack.pid("valkey")], "database": [stack.pid("postgres")]}
    with servers(stack) as running:
        runner = Runner(PLAN, running, parts, load, size.seconds, demands=await demands(stack))
        for one in PLAN:
            await runner.warm_up(one)
        for number in range(1, size.rounds + 1):
            for one in PLAN:
                await runner.measure(one, number)
    return runner


async def filled(stack: RunningStack, load: Load, journal: Journal) -> tuple[Projected, dict[str, float]]:
    """Apply a journal; return what came of it, and the MB of the processes that have served its levels."""
    with projected(stack, journal) as (came, running, redis_url):
        log = stack.home.log("bench-query-filled")
        with query_server(redis_url, stack.postgres_url("query"), log) as query:
            job = Job("filled", query.target, plan.BATCH, journal.skus, 4, plan.SIZE)
            answers = await asyncio.to_thread(load.run, job)
            if answers.errors:
                raise RuntimeError(f"what the projector has filled: {dict(answers.errors)}")
            held = {
                f"{name}, {journal.levels:,} levels": memory.megabytes(server.pid)
                for name, server in (("projector", running), ("query", query))
            }
    return came, held


async def measure(stack: RunningStack, load: Load, size: Size) -> None:
    """Measure, print and write."""
    command = Target(stack.command, stack.tls("command"))
    await shop.open_shop(stack)
    await shop.spread(stack)
    async with connect(stack.redis_url) as view:
        pipeline = Pipeline(stack, view)
        await pipeline.caught_up()
        runner = await rows(stack, load, size)
        load.give_way()
        fresh = await freshness.measure(stack, load, size.steady_seconds)
        bursts = [
            await caught_up(load, pipeline, command, size.burst, paused=paused) for paused in (False, True)
        ]
    megabytes = {name: memory.megabytes(stack.pid(name)) for name in ("projector", "query", "valkey")}
    came = []
    for journal in size.journals:
        one, held = await filled(stack, load, journal)
        came.append(one)
        megabytes |= held
    title = f"{size.rounds} rounds of {size.seconds:g} s a row"
    console.print(
        runner.results.table(title, "levels", PARTS),
        freshness_table(fresh),
        burst_table(bursts),
        projector_table(came),
        memory.table(megabytes),
    )
    runner.results.write(
        FILE,
        {
            "freshness": asdict(fresh),
            "bursts": [asdict(one) for one in bursts],
            "projector": [asdict(one) for one in came],
            "megabytes": megabytes,
        },
    )


def main(
    *, quick: Annotated[bool, typer.Option(help="One short round: to see that it works.")] = False
) -> None:
    """Measure the query side and the way to the view; about six minutes, two with --quick."""
    with unshed(), running_stack("bench") as stack, processes(shop.token(stack)) as load:
        uvloop.run(measure(stack, load, QUICK if quick else FULL))


if __name__ == "__main__":
    typer.run(main)
