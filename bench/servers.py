"""Servers that a benchmark starts beside those of its stack, each a process of its own settings."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.load import Target
from client.tls import Tls
from stack import readiness, services
from stack.addresses import Addresses
from stack.home import CHECKOUT
from stack.ports import HOST

PATIENCE = 60.0


class Front(NamedTuple):
    """How a server meets its callers: what it is told of that, and how it is reached then."""

    settings: Callable[[str], Mapping[str, str]]
    tls: Tls | None


PLAIN = Front(lambda _: {}, None)
"""Plaintext, to whoever calls."""


def front(at: Addresses, service: str) -> Front:
    """Return that of a service of the stack: mutual TLS, and callers that prove who they are."""
    return Front(
        lambda prefix: {**services.tls(at, prefix, service), **services.identity(at, prefix)},
        at.tls(service),
    )


class Server(NamedTuple):
    """A server that runs: how it is reached, and its process (the parent's, if it has workers)."""

    target: Target
    pid: int


@contextmanager
def command_server(database_url: str, log: Path, met: Front = PLAIN, **settings: object) -> Iterator[Server]:
    """Run a command service on the database with these settings, named as in CommandSettings."""
    with _server(("command_svc",), "COMMAND", log, {"database_url": database_url, **settings}, met) as server:
        yield server


@contextmanager
def query_server(
    redis_url: str, database_url: str, log: Path, met: Front = PLAIN, **settings: object
) -> Iterator[Server]:
    """Run a query service on the read model and the database, with settings named as in QuerySettings."""
    urls = {"redis_url": redis_url, "database_url": database_url}
    with _server(("query_svc",), "QUERY", log, {**urls, **settings}, met) as server:
        yield server


@contextmanager
def projector(log: Path, **settings: object) -> Iterator[Server]:
    """Run a projector with these settings, named as in ProjectorSettings."""
    with _server(("cdc", "projector"), "CDC", log, settings) as server:
        yield server


@contextmanager
def echo_server(log: Path, met: Front = PLAIN, **settings: object) -> Iterator[Server]:
    """Run the echo with these settings, named as in ServerSettings."""
    with _server(("bench.echo",), "ECHO", log, settings, met) as server:
        yield server


@contextmanager
def _server(
    command: Sequence[str], prefix: str, log: Path, settings: Mapping[str, object], met: Front = PLAIN
) -> Iterator[Server]:
    address = f"{HOST}:{_free_port()}"
    given = {"listen": address, "drain_seconds": 0, **settings}
    prefix = f"INVENTORY_{prefix}"
    variables = {f"{prefix}_{name.upper()}": str(value) for name, value in given.items()}
    with log.open("w") as output:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", *command],
            env={**os.environ, **met.settings(prefix), **variables},
            cwd=CHECKOUT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        target = Target(address, met.tls)
        _wait_ready(process, target, log)
        yield Server(target, process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _wait_ready(process: subprocess.Popen[bytes], target: Target, log: Path) -> None:
    check = readiness.grpc_health(*target)
    deadline = time.monotonic() + PATIENCE
    while (missing := check()) is not None:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"a server did not start: {missing}, see {log}")
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
