"""The stack the tests run against: one of their own, beside the developer's, fresh at every run."""

import contextlib
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from client import InventoryClient
from client.tls import channel
from stack import boot, downloads, orphans, programs, shutdown, tokens
from stack.addresses import Addresses
from stack.home import from_name
from stack.parts import Part, Program
from stack.ports import HOST, OFFSETS, SPAN, Ports

# Beyond the developer's default ports and below the range the system gives to outgoing connections.
FIRST_BASE = 17400
LAST_BASE = 32000
PROJECTORS = ("projector", "projector-standby")


@dataclass(frozen=True)
class RunningStack(Addresses):
    """A stack that runs, with every address a test may want, and the means to hurt it."""

    def client(self, subject: str, address: str = "", identity: str = "", **options: Any) -> InventoryClient:  # noqa: ANN401 - as its own
        """Return the typed client of one who may do everything: at the edge, by a way to it, as a proxy."""
        source = tokens.source(self, subject)
        return InventoryClient(address or self.edge, tls=self.tls(identity), token=source, **options)

    def metadata(self, subject: str = "test", *roles: str) -> list[tuple[str, str]]:
        """Return the metadata of a call of somebody with these roles, or with all."""
        asked = tokens.form(self, subject, roles or tokens.EVERY_ROLE, step_up=True)
        return [("authorization", f"Bearer {tokens.fetch(self, asked)}")]

    def channel(
        self, options: Sequence[tuple[str, str | int]] = (), *, to: str = "edge", identity: str = ""
    ) -> grpc.aio.Channel:
        """Return a channel to one of the stack's listeners, as one of its workloads or as nobody."""
        return channel(self.home.ports.address(to), self.tls(identity), options)

    def kill(self, name: str) -> int:
        """End a program by SIGKILL, as a crash would, and return its id; the supervisor restarts it."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while orphans.pid(self.home, name) == pid and time.monotonic() < deadline:
            time.sleep(0.01)
        return pid

    def active_projector(self) -> str:
        """Return the name of the projector that reads, waiting for one that takes over."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for name in PROJECTORS:
                role = self.program(name).role
                if role is not None and role() == "active":
                    return name
            time.sleep(0.05)
        raise AssertionError("no projector reads")

    def pid(self, name: str) -> int:
        """Return the id of a program's process, waiting a moment for one that is being restarted."""
        deadline = time.monotonic() + 10
        while (pid := orphans.pid(self.home, name)) is None:
            if time.monotonic() > deadline:
                raise AssertionError(f"{name} does not run")
            time.sleep(0.05)
        return pid

    def wait_ready(self, name: str) -> None:
        """Wait until a program is ready, again; StackError with the end of its log if it will not be."""
        boot.wait_ready(self.home, self.program(name))

    def program(self, name: str) -> Program:
        """Return a program of the stack by its name."""
        found = {part.name: part for part in programs.parts(self.home) if isinstance(part, Program)}
        return found[name]


@contextlib.contextmanager
def running_stack(name: str, *, only: tuple[str, ...] = (), replicas: int = 1) -> Iterator[RunningStack]:
    """Run a stack with fresh data on free ports, and take it down at the end.

    `only` names the parts to start, for a test that needs no more; all of them if empty. Its logs stay for a
    look in `.stack/<name>/logs` until the next run; the name tells the process, too, where several share
    the tests. `replicas` is the number of command services, and of query services.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    home = from_name(f"{name}-{worker}" if worker else name, Ports(free_base(worker)), replicas)
    if home.folder.exists():
        # What an interrupted run has left.
        shutdown.down(home, print)
        shutil.rmtree(home.folder)
    home.make()
    downloads.ensure(print)
    everything = programs.parts(home)
    wanted = programs.chosen(home, only) if only else everything
    try:
        boot.up(home, everything, wanted, _report)
        yield RunningStack(home)
    finally:
        shutdown.down(home, lambda _: None)


def free_base(worker: str) -> int:
    """Return a base port none of whose listeners is in use now; each run of tests begins at another one.

    The processes that share one run begin far from each other: `worker` is gw0, gw1 …, or empty.
    """
    bases = list(range(FIRST_BASE, LAST_BASE, SPAN))
    apart = int(worker.removeprefix("gw") or 0) * len(bases) // 4
    first = (os.getpid() + apart) % len(bases)
    for base in bases[first:] + bases[:first]:
        if all(_is_free(base + offset) for offset in OFFSETS.values()):
            return base
    raise AssertionError("there is no range of free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _report(part: Part, seconds: float) -> None:
    print(f"ready {part.name:<10} {seconds:5.1f} s", flush=True)  # noqa: T201 - shown by pytest when a test fails
