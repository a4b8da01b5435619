"""The load: processes that call one server, as many callers at once as asked, and time every answer.

They share the machine with what they measure, so their cost is part of every figure.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import os
import random
import time
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import uvloop

from bench import calls, queries
from client.tls import Tls, channel
from inventory.query.v1.consistency_pb2 import Consistency

NICE = 10
# Who is not root may set one every 0.1 s.
AUTOGROUP_PAUSE = 0.2
PROCESSES = 2
TIMEOUT = 30.0
TOKEN_VARIABLE = "INVENTORY_BENCH_TOKEN"  # noqa: S105 - a variable's name
METADATA = (
    ("x-inventory-actor", "bench"),
    ("authorization", f"Bearer {os.environ.get(TOKEN_VARIABLE, '')}"),
)
# So many that a server of several processes is given them evenly enough.
CONNECTIONS = 16
CALLS = {**calls.CALLS, **queries.CALLS}


class Target(NamedTuple):
    """Where a server listens, and how it is reached: in plaintext without `tls`."""

    address: str
    tls: Tls | None = None


@dataclass(frozen=True)
class Job:
    """What to measure: `callers` that call `call` at `target`, one call after the other.

    Each call carries `size` commands, or asks for as many levels, chosen from `skus`. What is answered in
    the first `warm_up` seconds does not count; after `seconds` more no call begins, and the last ones still
    count. `name` is part of every request id; `consistency` is what every query asks for.
    """

    name: str
    target: Target
    call: str
    skus: Sequence[str]
    callers: int = 64
    size: int = 1
    seconds: float = 2.0
    warm_up: float = 0.4
    consistency: Consistency | None = None


@dataclass
class Answers:
    """What came of a job: commands accepted, or levels read, in `seconds`; how long each call took; errors.

    `sent` counts those of the warm-up too.
    """

    accepted: int = 0
    sent: int = 0
    seconds: float = 0.0
    durations: array[float] = field(default_factory=lambda: array("d"))
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Commands accepted, or levels read, a second."""
        return self.accepted / self.seconds if self.seconds else 0.0

    def quantile(self, share: float) -> float:
        """Return the seconds that `share` of the calls did not pass."""
        ordered = sorted(self.durations)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


Work = Callable[[Any], Awaitable[Any]]


class Load:
    """Load processes that wait for jobs; made by `processes`."""

    def __init__(self, pipes: Sequence[Connection], pids: Sequence[int]) -> None:
        self._pipes = pipes
        self.pids = pids

    def give_way(self) -> None:
        """Have the processes yield to what they measure from now on, as if the load came from elsewhere.

        Linux may share the processor out by sessions first, where a process's own priority counts for nothing
        beyond its session (sched(7), autogroup): each of these has one of its own.
        """
        for pid in self.pids:
            os.setpriority(os.PRIO_PROCESS, pid, NICE)
            group = Path(f"/proc/{pid}/autogroup")
            if group.exists():
                time.sleep(AUTOGROUP_PAUSE)
                group.write_text(str(NICE))

    def run(self, job: Job) -> Answers:
        """Run the job, its callers shared out over the processes; blocks until it is over."""
        shares = [share for share in _shares(job.callers, len(self._pipes)) if share]
        for number, (share, pipe) in enumerate(zip(shares, self._pipes, strict=False)):
            pipe.send((steady, replace(job, name=f"{job.name}.{number}", callers=share)))
        total = Answers()
        for answers in self.gather(len(shares)):
            total.accepted += answers.accepted
            total.seconds = max(total.seconds, answers.seconds)
            total.sent += answers.sent
            total.durations.extend(answers.durations)
            total.errors.update(answers.errors)
        return total

    def send(self, work: Work, jobs: Sequence[object]) -> None:
        """Give each of as many processes one job of another kind of work."""
        for pipe, job in zip(self._pipes, jobs, strict=False):
            pipe.send((work, job))

    def gather(self, count: int) -> Iterator[Any]:
        """Yield what the first `count` processes return; raises what one of them raised."""
        for pipe in self._pipes[:count]:
            result = pipe.recv()
            if isinstance(result, Exception):
                raise result
            yield result


@contextmanager
def processes(token: str, count: int = PROCESSES) -> Iterator[Load]:
    """Start load processes, whose calls bring the token, and end them."""
    os.environ[TOKEN_VARIABLE] = token
    # Spawned, for gRPC does not survive a fork.
    context = multiprocessing.get_context("spawn")
    pipes, started = [], []
    for _ in range(count):
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,), daemon=True)
        process.start()
        pipes.append(ours)
        started.append(process)
    for pipe in pipes:
        pipe.recv()
    try:
        yield Load(pipes, [process.pid for process in started if process.pid])
    finally:
        for pipe in pipes:
            pipe.send(None)
        for process in started:
            process.join(10)


def _serve(pipe: Connection) -> None:
    os.setsid()
    # Before that, whoever has the process give way would have its parent's whole session do so.
    pipe.send(None)
    while (task := pipe.recv()) is not None:
        work, job = task
        try:
            pipe.send(uvloop.run(work(job)))
        except Exception as error:  # noqa: BLE001 - raised again by who asked
            pipe.send(RuntimeError(f"{job}: {error!r}"))


def channels(address: str, tls: Tls | None, count: int) -> list[grpc.aio.Channel]:
    """Return channels that share no connection."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    return [channel(address, tls, options) for _ in range(count)]


async def steady(job: Job) -> Answers:
    """Keep the job's callers calling until its time is over."""
    answers = Answers()
    open_channels = channels(*job.target, min(job.callers, CONNECTIONS))
    call = CALLS[job.call]
    numbers = itertools.count()
    begin = time.perf_counter() + job.warm_up
    end = begin + job.seconds

    async def caller(method: Callable[..., Awaitable[Any]], seed: int) -> None:
        rng = random.Random(seed)  # noqa: S311 - which level is called for does not matter
        while (start := time.perf_counter()) < end:
            answers.sent += job.size
            request = call.request(f"{job.name}.{next(numbers)}", job.skus, job.size, rng)
            if job.consistency is not None:
                request.consistency.CopyFrom(job.consistency)
            try:
                answer = await method(request, timeout=TIMEOUT, metadata=METADATA)
            except grpc.aio.AioRpcError as error:
                answers.errors[error.code().name] += 1
                await asyncio.sleep(0.05)
                continue
            accepted = call.accepted(answer)
            now = time.perf_counter()
            if now >= begin:
                answers.seconds = max(answers.seconds, now - begin)
                answers.accepted += accepted
                answers.durations.append(now - start)
                if accepted < job.size:
                    answers.errors["refused"] += job.size - accepted

    methods = [call.method(one) for one in open_channels]
    await asyncio.gather(*(caller(methods[n % len(methods)], n) for n in range(job.callers)))
    for one in open_channels:
        await one.close()
    return answers


def _shares(callers: int, count: int) -> list[int]:
    return [callers // count + (number < callers % count) for number in range(count)]
