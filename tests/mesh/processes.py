"""Processes of the mesh, each with a log of its own, and all of them ended at the end."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

PATIENCE_SECONDS = 120.0


class Processes:
    """What has been started: a context manager that ends it, the newest first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self._running):
            process.send_signal(signal.SIGTERM)
        for process in reversed(self._running):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(3)
            process.kill()
            process.wait()

    def start(
        self, name: str, command: list[str], environment: Mapping[str, str], *, cwd: Path
    ) -> subprocess.Popen[bytes]:
        """Start a process; what it says goes to its log."""
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603
                command, env=dict(environment), cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._running.append(process)
        return process

    def log(self, name: str) -> str:
        """Return the end of a log."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-4000:]


def wait_for(what: str, check: Callable[[], bool], *, told: Callable[[], str] = str) -> None:
    """Wait until a check is true; AssertionError with what `told` returns if it never is."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not check():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_SECONDS:.0f} s\n{told()}"
        time.sleep(0.1)


def answers(url: str) -> bool:
    """Tell whether a URL is answered with success."""
    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False
