"""A burst: commands sent at a rate, whether or not the answers keep up, and the proof that none is lost."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field

import grpc
import psycopg
from google.rpc import error_details_pb2, status_pb2

from bench import calls
from bench.load import CONNECTIONS, METADATA, PROCESSES, TIMEOUT, Load, Target, channels
from bench.shop import SKUS
from serving.errors import DETAILS_KEY

# Calls of one process that may wait for their answers: as many callers as a burst of this load has.
OUTSTANDING = 2500
TICK = 0.005


@dataclass(frozen=True)
class Burst:
    """Commands to send by one process: so many a second for so long. `name` begins every request id."""

    name: str
    target: Target
    rate: float
    seconds: float


@dataclass
class Outcome:
    """What became of a burst. Request ids by what was answered; `held_back`: due, but never sent.

    refused: RESOURCE_EXHAUSTED with a RetryInfo. failed: any other error, by code.
    """

    accepted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    held_back: int = 0
    durations: list[float] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        """Take in what another process has seen."""
        self.accepted += other.accepted
        self.refused += other.refused
        self.failed.update(other.failed)
        self.held_back += other.held_back
        self.durations += other.durations

    @property
    def due(self) -> int:
        """How many commands there were to send."""
        return len(self.accepted) + len(self.refused) + self.failed.total() + self.held_back

    @property
    def p99(self) -> float:
        """Seconds that 99 % of the accepted commands did not pass."""
        return sorted(self.durations)[int(0.99 * len(self.durations))] if self.durations else float("nan")


def run(load: Load, name: str, target: Target, rate: float, seconds: float) -> Outcome:
    """Send `rate` commands a second from all load processes together; return what became of them."""
    bursts = [Burst(f"{name}.{n}", target, rate / PROCESSES, seconds) for n in range(PROCESSES)]
    load.send(send, bursts)
    total = Outcome()
    for outcome in load.gather(len(bursts)):
        total.add(outcome)
    return total


async def send(burst: Burst) -> Outcome:
    """Send one process's share, each command once, at its time."""
    outcome = Outcome()
    open_channels = channels(*burst.target, CONNECTIONS)
    methods = [calls.CALLS["AddStock"].method(channel) for channel in open_channels]
    rng = random.Random(burst.name)  # noqa: S311 - which level is called for does not matter
    running: set[asyncio.Task[None]] = set()

    async def one(number: int) -> None:
        request = calls.add(f"{burst.name}.{number}", SKUS, 1, rng)
        start = time.perf_counter()
        try:
            await methods[number % len(methods)](request, timeout=TIMEOUT, metadata=METADATA)
        except grpc.aio.AioRpcError as error:
            if is_clean_refusal(error):
                outcome.refused.append(request.request_id)
            else:
                outcome.failed[error.code().name] += 1
        else:
            outcome.accepted.append(request.request_id)
            outcome.durations.append(time.perf_counter() - start)

    number, begin = 0, time.perf_counter()
    while (passed := time.perf_counter() - begin) < burst.seconds:
        for due in range(number, int(passed * burst.rate)):
            if len(running) >= OUTSTANDING:
                outcome.held_back += 1
                continue
            task = asyncio.create_task(one(due))
            running.add(task)
            task.add_done_callback(running.discard)
        number = max(number, int(passed * burst.rate))
        await asyncio.sleep(TICK)
    await asyncio.gather(*running)
    for channel in open_channels:
        await channel.close()
    return outcome


def is_clean_refusal(error: grpc.aio.AioRpcError) -> bool:
    """Tell whether the server has refused for want of room and has said when to come again."""
    details = dict(error.trailing_metadata() or ()).get(DETAILS_KEY)
    if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED or not isinstance(details, bytes):
        return False
    status = status_pb2.Status.FromString(details)
    return any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in status.details)


def faults(database_url: str, name: str, outcome: Outcome) -> list[str]:
    """Hold the outcome against the ledger; return what is wrong, nothing when all is as it was answered.

    Every accepted command must have one entry, a refused one none.
    """
    with psycopg.connect(database_url) as connection:
        entries = Counter(
            request_id
            for (request_id,) in connection.execute(
                "SELECT request_id FROM stock_movements WHERE starts_with(request_id, %s)", (f"{name}.",)
            )
        )
    found = {
        "accepted but not in the ledger": sum(not entries[one] for one in outcome.accepted),
        "in the ledger more than once": sum(count > 1 for count in entries.values()),
        "refused but in the ledger": sum(entries[one] > 0 for one in outcome.refused),
    }
    return [f"{count} {what}" for what, count in found.items() if count]
