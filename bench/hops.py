"""`python -m bench.hops`: what each hop on the way to a service costs, in processor time of one run."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Mapping
from typing import NamedTuple

import uvloop
from rich.console import Console
from rich.table import Table

from bench import cpu, shop
from bench.load import Job, Load, Target, processes
from bench.servers import command_server, query_server
from bench.unshed import unshed
from stack.envoy_proxy import SERVICES, sidecar
from tests.stack_fixture import RunningStack, running_stack

PARTS = (
    "postgres",
    "database",
    "valkey",
    "certificates",
    "issuer",
    "edge",
    *SERVICES,
    *map(sidecar, SERVICES),
)
CALLS = {"AddStock": "command", "GetStockLevel": "query"}
CALLERS = 32
COLUMNS = ("service", "sidecar", "edge", "load")
ROUNDS = 5
SECONDS = 2.0

console = Console(width=120, highlight=False)


class Way(NamedTuple):
    """A way to a service, and the processes on it, by what they are."""

    target: Target
    pids: Mapping[str, int]


async def measure(ways: Mapping[str, Mapping[str, Way]], load: Load) -> None:
    """Measure each way of each call in every round; print the medians, in us a call."""
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for number in range(ROUNDS):
        for call, its_ways in ways.items():
            for name, way in its_ways.items():
                parts = {"load": load.pids, **{part: [pid] for part, pid in way.pids.items()}}
                request = f"hops.{number}.{name.replace(' ', '-')}"
                job = Job(request, way.target, call, shop.SKUS, CALLERS, seconds=SECONDS)
                before = cpu.usage(parts)
                answers = await asyncio.to_thread(load.run, job)
                used = cpu.usage(parts).since(before)
                if answers.errors:
                    raise RuntimeError(f"{call}, {name}: {dict(answers.errors)}")
                cost = {part: seconds / answers.sent * 1e6 for part, seconds in used.parts.items()}
                found.setdefault((call, name), []).append(cost)
    table = Table(
        "call", "way", "service", "sidecar", "edge", "load", "all", title="us of processor time a call"
    )
    for (call, name), costs in found.items():
        medians = {part: statistics.median(cost[part] for cost in costs) for part in costs[0]}
        cells = [
            f"{medians[part]:,.0f}" if part in medians else ""
            for part in ("service", "sidecar", "edge", "load")
        ]
        whole = statistics.median(sum(cost.values()) for cost in costs)
        table.add_row(call, name, *cells, f"{whole:,.0f}")
    console.print(table)


def ways(stack: RunningStack, service: str, plain: Way) -> Mapping[str, Way]:
    """Return the ways to a service of the stack, and to one that speaks plaintext."""
    pids = {"service": stack.pid(service)}
    beside = {**pids, "sidecar": stack.pid(sidecar(service))}
    at = stack.home.ports.address
    return {
        "plaintext": plain,
        "TLS": Way(Target(at(service), stack.tls(service)), pids),
        "through the sidecar": Way(Target(at(f"{service}_sidecar"), stack.tls("edge")), beside),
        "through edge and sidecar": Way(
            Target(stack.edge, stack.tls()), {**beside, "edge": stack.pid("edge")}
        ),
    }


def main() -> None:
    """Run a stack without change data capture, and measure."""
    with unshed(), running_stack("hops", only=PARTS) as stack, processes(shop.token(stack)) as load:
        at = stack.postgres_url
        with (
            command_server(at("command"), stack.home.log("plain-command")) as command,
            query_server(stack.redis_url, at("query"), stack.home.log("plain-query")) as query,
        ):
            uvloop.run(shop.open_shop(stack))
            plain = {
                "command": Way(command.target, {"service": command.pid}),
                "query": Way(query.target, {"service": query.pid}),
            }
            uvloop.run(measure({call: ways(stack, one, plain[one]) for call, one in CALLS.items()}, load))


if __name__ == "__main__":
    main()
