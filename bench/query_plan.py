"""The rows of the query benchmark: what is measured on which server, and what it is held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bench.measurement import Measurement
from bench.table import Against

# The servers of a run, by what the table calls them. The first is that of the stack itself.
ONE, TWO, ECHO, ECHO_TWO, ENVOY = "1 process", "2 processes", "echo", "echo, 2 processes", "Envoy"
# What they are told, beside where they listen.
QUERY_SERVERS: Mapping[str, Mapping[str, object]] = {TWO: {"workers": 2}}
ECHO_SERVERS: Mapping[str, Mapping[str, object]] = {ECHO: {}, ECHO_TWO: {"workers": 2}}

UNARY, BATCH = "GetStockLevel", "BatchGetStockLevels"
SIZE, BATCH_CALLERS = 100, 4
# What of freshness is asked for, where anything is.
TOKEN, EVERYTHING = "with a token", "fully consistent"


def _paths(server: str, echo: str) -> Iterator[Measurement]:
    many = server != ONE
    suffix = f", {server}" if many else ""
    yield Measurement(f"{echo}, 64 callers", echo, "EchoLevel", 64)
    held = (Against("echo", (f"{echo}, 64 callers",), 0.6),)
    unary = f"{UNARY}{suffix}"
    yield Measurement(unary, server, UNARY, 64, against=held)
    yield Measurement(f"GetAvailability{suffix}", server, "GetAvailability", 64, against=held)
    callers = 2 * BATCH_CALLERS if many else BATCH_CALLERS
    times = (Against("unary", (unary,), 30.0),)
    batch = f"{BATCH} of {SIZE}{suffix}"
    yield Measurement(batch, server, BATCH, callers, SIZE, against=times)
    for demand in (TOKEN, EVERYTHING):
        for name, call, count, size in ((unary, UNARY, 64, 1), (batch, BATCH, callers, SIZE)):
            plain = (Against("no demand", (name,)),)
            yield Measurement(f"{name}, {demand}", server, call, count, size, demand=demand, against=plain)


def _plan() -> Iterator[Measurement]:
    for n in (1, 16):
        yield Measurement(f"echo, {n} callers", ECHO, "EchoLevel", n)
        against = (Against("echo", (f"echo, {n} callers",)),)
        yield Measurement(f"{UNARY}, {n} callers", ONE, UNARY, n, against=against)
    yield from _paths(ONE, ECHO)
    yield from _paths(TWO, ECHO_TWO)
    yield Measurement(f"{UNARY} through Envoy", ENVOY, UNARY, 64, against=(Against("without", (UNARY,)),))


PLAN: tuple[Measurement, ...] = tuple(_plan())
