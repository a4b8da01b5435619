"""The rows of a benchmark as they are planned, and how each is measured."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass

from rich.console import Console

from bench import cpu, shop
from bench.load import Answers, Job, Load
from bench.pipeline import Lag
from bench.servers import Server
from bench.table import NOTHING, Against, Reading, Results, Row, Wanted
from inventory.query.v1.consistency_pb2 import Consistency

# Wide enough for the tables, wherever their text goes.
WIDTH = 190
WARM_UP = 0.3

console = Console(width=max(WIDTH, Console().width), highlight=False)


@dataclass(frozen=True)
class Measurement:
    """One row: so many callers with calls of `size` commands on a server.

    hot: all commands on one level. live: the connector reads the journal meanwhile. watched: how far the
    view falls behind is measured too. demand: the name of the consistency that queries ask for.
    """

    name: str
    server: str
    call: str
    callers: int
    size: int = 1
    hot: bool = False
    live: bool = True
    watched: bool = False
    demand: str = ""
    against: tuple[Against, ...] = ()
    wanted: Wanted = NOTHING


class Runner:
    """Measures the rows of a plan into `results`, each with the processor time of the parts meanwhile.

    `parts`: the processes of each part beside the server that is called. `demands`: what queries may ask
    for, by name.
    """

    def __init__(  # noqa: PLR0913 - what a run consists of
        self,
        plan: Sequence[Measurement],
        servers: Mapping[str, Server],
        parts: Mapping[str, Sequence[int]],
        load: Load,
        seconds: float,
        *,
        demands: Mapping[str, Consistency] = {},
    ) -> None:
        self.results = Results(Row(one.name, one.against, one.wanted) for one in plan)
        self._plan = plan
        self._servers = servers
        self._parts = {**parts, "load": load.pids}
        self._load = load
        self._seconds = seconds
        self._demands = demands

    async def warm_up(self, one: Measurement) -> None:
        """Call the row's server for a moment: statements are prepared, and the JVMs compile what is hot."""
        await self._answers(one, "warm", WARM_UP)

    async def measure(
        self,
        one: Measurement,
        number: int,
        watching: AbstractAsyncContextManager[Lag | None] = nullcontext(),  # noqa: B008 - it keeps nothing
    ) -> None:
        """Measure a row in a round."""
        parts = {"server": [self._servers[one.server].pid], **self._parts}
        before = cpu.usage(parts)
        async with watching as lag:
            answers = await self._answers(one, number, self._seconds)
            used = cpu.usage(parts).since(before)
        cost = {part: seconds / answers.sent for part, seconds in used.parts.items()}
        reading = Reading(answers.rate, answers.quantile(0.5), answers.quantile(0.99), cost, used.others, lag)
        self.results.add(one.name, reading)
        console.print(f"{number} {one.name}: {reading.rate:,.0f}/s", style="dim")

    async def _answers(self, one: Measurement, number: int | str, seconds: float) -> Answers:
        name = f"bench.{number}.{self._plan.index(one)}"
        skus = shop.some(1) if one.hot else shop.SKUS
        server, demand = self._servers[one.server], self._demands.get(one.demand)
        job = Job(
            name,
            server.target,
            one.call,
            skus,
            one.callers,
            one.size,
            seconds,
            consistency=demand,
        )
        answers = await asyncio.to_thread(self._load.run, job)
        if answers.errors:
            raise RuntimeError(f"{one.name}: {dict(answers.errors)}")
        return answers
