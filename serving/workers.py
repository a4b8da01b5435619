"""Several processes behind one port: a parent that forks them and replaces those that die.

Linux only: the kernel spreads connections over the listeners of a shared port, and ends the workers
when their parent is killed. The parent never makes a gRPC object, for gRPC does not survive a fork.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

import structlog

from serving.settings import split_address

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving.settings import ServerSettings

__all__ = ["run"]

# A worker that lives shorter than this has died at its start.
START_SECONDS = 10.0
# So many deaths at the start for each worker, within the time below, mean that starting again is no help.
MAX_DEATHS_AT_START = 3
DEATHS_SECONDS = 60.0
FIRST_DELAY_SECONDS = 0.2
MAX_DELAY_SECONDS = 5.0
PR_SET_PDEATHSIG = 1
SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}

_log = structlog.get_logger()


def run(settings: ServerSettings, serve: Callable[[], None]) -> None:
    """Call `serve` here when one worker is asked for, else in `settings.workers` forked processes.

    Exits with 1 when the address cannot be listened on. With several workers, does not return: SIGTERM
    and SIGINT are passed on, and the process exits with 0 once all have ended; with 1 when workers keep
    dying at their start, or when one had to be killed at the end.
    """
    if taken := _why_taken(settings.listen):
        _log.critical(f"cannot listen on {settings.listen}: {taken}")
        sys.exit(1)
    if settings.workers == 1:
        serve()
        return
    if sys.platform != "linux":
        sys.exit("several workers need Linux")
    # Asked for as their time comes, so that none is lost between two looks.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    stop_seconds = settings.drain_seconds + settings.grace_seconds + 5.0
    sys.exit(_Parent(settings.workers, stop_seconds, serve).run())


class _Parent:
    """Keeps `count` workers alive; gives them `stop_seconds` to end."""

    def __init__(self, count: int, stop_seconds: float, serve: Callable[[], None]) -> None:
        self._count = count
        self._stop_seconds = stop_seconds
        self._serve = serve
        self._started: dict[int, float] = {}
        self._deaths_at_start: list[float] = []
        self._next_start = 0.0

    def run(self) -> int:
        """Return the exit code, once every worker has ended."""
        while True:
            if len(self._started) < self._count and time.monotonic() >= self._next_start:
                self._fork()
                continue
            wait = self._next_start - time.monotonic() if len(self._started) < self._count else 60.0
            received = signal.sigtimedwait(SIGNALS, max(wait, 0.01))
            if received is None:
                continue
            if received.si_signo != signal.SIGCHLD:
                return self._stop()
            self._reap()
            if len(self._deaths_at_start) >= MAX_DEATHS_AT_START * self._count:
                _log.critical("giving up: workers keep dying at their start")
                self._stop()
                return 1

    def _fork(self) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _be_worker(parent, self._serve)
        self._started[pid] = time.monotonic()
        _log.info("worker started", worker=pid)

    def _reap(self) -> None:
        """Take note of every worker that has ended, and of when the next may be started."""
        for pid in list(self._started):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended:
                continue
            now = time.monotonic()
            lived = now - self._started.pop(pid)
            deaths = [death for death in self._deaths_at_start if now - death < DEATHS_SECONDS]
            if lived < START_SECONDS:
                deaths.append(now)
            self._deaths_at_start = deaths
            delay = min(FIRST_DELAY_SECONDS * 2 ** len(deaths), MAX_DELAY_SECONDS) if deaths else 0.0
            self._next_start = now + delay
            code = os.waitstatus_to_exitcode(status)
            _log.error("worker ended", worker=pid, code=code, lived_seconds=round(lived, 1))

    def _stop(self) -> int:
        """End all workers; return 0 when every one ended by itself, else 1."""
        for pid in self._started:
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + self._stop_seconds
        while self._started and (left := deadline - time.monotonic()) > 0:
            signal.sigtimedwait({signal.SIGCHLD}, left)
            for pid in list(self._started):
                if os.waitpid(pid, os.WNOHANG)[0]:
                    del self._started[pid]
        for pid in self._started:
            _log.error("worker does not end: killed", worker=pid)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        return 1 if self._started else 0


def _be_worker(parent: int, serve: Callable[[], None]) -> NoReturn:
    """Serve in this forked process; never return into the parent's code."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == parent:  # else it died before the line above
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            serve()
            code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - nothing may pass into the parent's code
        _log.exception("worker failed")
    finally:
        with suppress(OSError):  # nobody reads the log any more
            sys.stderr.flush()
        os._exit(code)


def _why_taken(address: str) -> str | None:
    """Return why the address cannot be had alone, or None.

    Workers, sharing it, would not notice, and a single server would not say why.
    """
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return None
