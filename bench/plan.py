"""The rows of the command benchmark: what is measured on which server, and what it is held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from bench.measurement import Measurement
from bench.table import NOTHING, Against, Wanted

# The servers of a run, by what the table calls them. The first is that of the stack itself.
ONE, TWO, ECHO, ECHO_TWO, ENVOY = "1 process", "2 processes", "echo", "echo, 2 processes", "Envoy"
DIRECT, DIRECT_MANY = "one transaction a request", "one transaction a request, 4 processes"
# What they are told, beside where they listen.
COMMAND_SERVERS: Mapping[str, Mapping[str, object]] = {
    TWO: {"workers": 2},
    DIRECT: {"max_batch_commands": 1},
    DIRECT_MANY: {"max_batch_commands": 1, "workers": 4},
}
ECHO_SERVERS: Mapping[str, Mapping[str, object]] = {ECHO: {}, ECHO_TWO: {"workers": 2}}

ADD = "AddStock"
BATCH, BATCH_CALLERS = 100, 4


def _alone(one: Measurement) -> Measurement:
    """Return the same with the connector paused, so that the database alone has work."""
    return replace(
        one,
        name=f"{one.name}, no connector",
        live=False,
        watched=False,
        against=(Against("live", (one.name,)),),
        wanted=NOTHING,
    )


def _paths(server: str) -> Iterator[Measurement]:
    """Yield the paths of the target numbers on a server of one process or two."""
    many = server != ONE
    suffix = f", {server}" if many else ""
    direct = Against("direct", (DIRECT, DIRECT_MANY), 1.5)
    echo = Against("echo", (f"echo, 64 callers{suffix}",), 0.6)
    for unary, batch in (("AddStock", "BatchStock"), ("ReserveStock", "BatchReserveStock")):
        name, batch_name = f"{unary}{suffix}", f"{batch} of {BATCH}{suffix}"
        uniform = Against("uniform", (name,), 0.9)
        batch_uniform = Against("uniform", (batch_name,), 0.9)
        times_unary = Against("unary", (name,), 8.0)
        callers = 2 * BATCH_CALLERS if many else BATCH_CALLERS
        live = Measurement(name, server, unary, 64, watched=True)
        batches = Measurement(batch_name, server, batch, callers, BATCH, watched=True)
        yield from (
            replace(live, against=(echo, direct), wanted=Wanted(p99=0.1, behind=1.0)),
            replace(live, name=f"{unary}, one level{suffix}", hot=True, against=(uniform,)),
            replace(batches, against=(times_unary,), wanted=Wanted(rate=10_000, behind=1.0)),
            replace(
                batches, name=f"{batch} of {BATCH}, one level{suffix}", hot=True, against=(batch_uniform,)
            ),
        )


def _plan() -> Iterator[Measurement]:
    for n in (1, 16, 64):
        yield Measurement(f"echo, {n} callers", ECHO, "Echo", n)
    yield Measurement(f"echo, 64 callers, {TWO}", ECHO_TWO, "Echo", 64)
    for call in ("AddStock", "ReserveStock"):
        for n in (1, 16):
            against = (Against("echo", (f"echo, {n} callers",)),)
            yield Measurement(f"{call}, {n} callers", ONE, call, n, against=against)
    yield Measurement(DIRECT, DIRECT, "AddStock", 64)
    yield Measurement(DIRECT_MANY, DIRECT_MANY, "AddStock", 64)
    for server in (ONE, TWO):
        for one in _paths(server):
            yield one
            yield _alone(one)
    yield Measurement("AddStock through Envoy", ENVOY, "AddStock", 64, against=(Against("without", (ADD,)),))
    for call in ("BatchStock", "BatchReserveStock"):
        against = (Against(f"of {BATCH}", (f"{call} of {BATCH}",)),)
        yield Measurement(
            f"{call} of 1,000", ONE, call, 1, 1000, watched=True, against=against, wanted=Wanted(p99=1.0)
        )


PLAN: tuple[Measurement, ...] = tuple(_plan())
