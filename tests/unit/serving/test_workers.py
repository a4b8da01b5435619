"""A service as a process, and as several: signals, deaths, a taken port."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def port() -> int:
    """Return a port that was free a moment ago."""
    return free_port()


class Process:
    """The example service, running, and what it has logged."""

    def __init__(self, **settings: object) -> None:
        given = {"drain_seconds": 0, "grace_seconds": 2} | settings
        variables = {f"INVENTORY_EXAMPLE_{name.upper()}": str(value) for name, value in given.items()}
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.serving.example_service"],
            env=os.environ | variables,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stderr is not None
        self.lines.extend(self.popen.stderr)

    def logged(self, event: str) -> list[dict[str, Any]]:
        entries = (json.loads(line) for line in self.lines if line.startswith("{"))  # not a stack trace
        return [entry for entry in entries if entry["event"].startswith(event)]

    def logs(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until an event has been logged `count` times."""
        until(lambda: len(self.logged(event)) >= count)
        return self.logged(event)

    def ends(self, signum: int | None = None) -> int:
        """Return the exit code, having sent a signal if one is given."""
        if signum is not None:
            self.popen.send_signal(signum)
        code = self.popen.wait(20)
        self._reader.join(5)
        return code


@contextmanager
def process(**settings: object) -> Iterator[Process]:
    """Run the example service; leave nothing behind."""
    running = Process(**settings)
    try:
        yield running
    finally:
        running.popen.kill()  # its workers end with it
        running.ends()
        assert running.popen.stderr is not None
        running.popen.stderr.close()


def until(holds: Callable[[], bool]) -> None:
    """Wait until `holds()`; fail after 15 seconds."""
    deadline = time.monotonic() + 15
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def accepts(port: int) -> bool:
    """Tell whether anybody listens on the port."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def serves(port: int) -> bool:
    """Ask a new connection for the overall health."""
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = check(health_pb2.HealthCheckRequest(), timeout=2, wait_for_ready=True)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def test_what_breaks_beside_the_calls_ends_the_process_with_an_error(port: int) -> None:
    with process(listen=f"127.0.0.1:{port}", break_beside=True) as service:
        assert service.ends() == 1
        (entry,) = service.logged("a task has broken")
        assert (entry["level"], entry["task"]) == ("critical", "beside")
        assert "nobody expects this" in json.dumps(entry["exception"])
        assert service.logged("stopped")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_one_process_serves_until_it_is_told_to_stop(port: int, signum: int) -> None:
    with process(listen=f"127.0.0.1:{port}") as service:
        until(lambda: serves(port))
        assert service.ends(signum) == 0
        assert service.logged("stopped")


def test_a_taken_port_is_one_clear_line(port: int) -> None:
    with process(listen=f"127.0.0.1:{port}") as first:
        first.logs("listening")
        for workers in (1, 2):
            with process(listen=f"127.0.0.1:{port}", workers=workers) as second:
                assert second.ends() == 1
                (entry,) = second.logged("cannot listen")
                assert (entry["level"], str(port) in entry["event"]) == ("critical", True)


def test_workers_share_a_port_and_end_together(port: int) -> None:
    with process(listen=f"127.0.0.1:{port}", workers=2) as service:
        listening = service.logs("listening", 2)
        assert len({entry["pid"] for entry in listening} | {service.popen.pid}) == 3
        until(lambda: serves(port))
        assert service.ends(signal.SIGTERM) == 0
        assert len(service.logged("stopped")) == 2


def test_a_dead_worker_is_replaced(port: int) -> None:
    with process(listen=f"127.0.0.1:{port}", workers=2) as service:
        (victim, *_) = service.logs("listening", 2)
        os.kill(victim["pid"], signal.SIGKILL)
        service.logs("listening", 3)
        (death,) = service.logged("worker ended")
        assert (death["worker"], death["code"]) == (victim["pid"], -signal.SIGKILL)
        assert service.ends(signal.SIGTERM) == 0


def test_workers_do_not_outlive_their_parent(port: int) -> None:
    with process(listen=f"127.0.0.1:{port}", workers=2) as service:
        service.logs("listening", 2)
        service.popen.kill()
        until(lambda: not accepts(port))


def test_workers_that_keep_dying_are_given_up(port: int) -> None:
    with process(listen=f"127.0.0.1:{port}", workers=2, break_at_start=True) as service:
        assert service.ends() == 1
        assert service.logged("giving up")
