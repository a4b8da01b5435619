"""From the commit to the view, part by part: what each transaction's way took, from the times it leaves.

    recorded --(command service)--> committed --(WAL)--> captured --(Connect)--> appended --(broker)-->
    delivered --(projector, read model)--> shown

PostgreSQL writes the time of a commit into its log, Debezium the time it has read a change into the record,
or the broker that of its append in its place: so one half of the run shows the one, the other half the other.
A consumer and a reader of the marks, of the benchmark's own, see when a record is delivered and when the view
says that it holds the transaction.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Thread
from uuid import UUID

import psycopg
from confluent_kafka import OFFSET_END, Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from redis.asyncio import Redis

from bench import burst
from bench.load import Load, Target
from cdc.topics import JOURNAL
from inventory.journal.v1.transaction_pb2 import Transaction
from query_svc.read_model import Marks, connect_marks
from stack.addresses import DATABASE, Addresses

RATE = 500
POLL = 0.1
SETTLE = 1.0
MICRO, MILLI = 1e6, 1e3

# The instants of a transaction, in seconds since 1970.
Instants = dict[UUID, float]


@dataclass
class Seen:
    """When what happened to each transaction; `written`: the time in its record, of capture or append.

    runs: how often the projector has applied what there was.
    """

    recorded: Instants = field(default_factory=dict)
    committed: Instants = field(default_factory=dict)
    written: Instants = field(default_factory=dict)
    delivered: Instants = field(default_factory=dict)
    shown: Instants = field(default_factory=dict)
    runs: int = 0

    def between(self, first: str, second: str) -> list[float]:
        """Return the seconds that every transaction took from one to the other."""
        begin, end = getattr(self, first), getattr(self, second)
        return [end[one] - begin[one] for one in self.shown.keys() & self.committed.keys()]


@dataclass(frozen=True)
class Freshness:
    """How long transactions took to be shown, in seconds, sorted; the mean that each part had in it."""

    delays: list[float]
    shares: Mapping[str, float]

    def quantile(self, share: float) -> float:
        """Return the seconds that `share` of the transactions did not pass."""
        return self.delays[min(len(self.delays) - 1, int(share * len(self.delays)))]


def _evaluate(captured: Seen, appended: Seen, read_model: float) -> Freshness:
    """Return what two halves of a run tell; `read_model`: seconds of Redis's own time in each run."""
    delays = sorted(captured.between("committed", "shown") + appended.between("committed", "shown"))
    wal = statistics.mean(captured.between("committed", "written"))
    after = statistics.mean(captured.between("delivered", "shown") + appended.between("delivered", "shown"))
    shares = {
        "WAL": wal,
        "Connect": statistics.mean(appended.between("committed", "written")) - wal,
        "broker": statistics.mean(appended.between("written", "delivered")),
        "projector": after - read_model,
        "read model": read_model,
    }
    return Freshness(delays, shares)


@asynccontextmanager
async def _watched(at: Addresses) -> AsyncIterator[Seen]:
    """Watch every transaction that is committed in the block."""
    seen = Seen()
    with psycopg.connect(at.postgres_url("postgres"), dbname=DATABASE, autocommit=True) as database:
        database.execute("CREATE EXTENSION IF NOT EXISTS pg_walinspect")
        start = database.execute("SELECT pg_current_wal_lsn()").fetchone()
        with _delivered(at.bootstrap_servers, seen):
            async with connect_marks(at.redis_url) as marks:
                while await marks.read():
                    pass  # what was before
                watching = asyncio.create_task(_watch(marks, seen))
                yield seen
                await asyncio.sleep(SETTLE)
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching
        database.execute("SET TimeZone = 'UTC'")
        commits = database.execute(_COMMITS, [*(start or ()), list(seen.shown)])
        seen.committed = {one: instant.timestamp() for one, instant in commits}


# A commit's record of the log begins its description with the time.
_COMMITS = """
WITH commits AS (
    SELECT xid::text, split_part(description, ';', 1)::timestamptz AS instant
    FROM pg_get_wal_records_info(%s, pg_current_wal_flush_lsn())
    WHERE resource_manager = 'Transaction' AND record_type = 'COMMIT'
)
SELECT DISTINCT journal.id, commits.instant
FROM journal JOIN commits ON commits.xid = journal.xmin::text
WHERE journal.id = ANY(%s)
"""


async def _watch(marks: Marks, seen: Seen) -> None:
    while True:
        found = await marks.read()
        now = time.time()
        seen.runs += len(found)
        for mark in found:
            seen.shown.update(dict.fromkeys((UUID(bytes=one) for one in mark.ids), now))


@contextmanager
def _delivered(bootstrap_servers: str, seen: Seen) -> Iterator[None]:
    """Note the records of the journal as they come, in a thread: the client blocks."""
    settings = {
        "bootstrap.servers": bootstrap_servers,
        "group.id": "bench",
        "enable.auto.commit": False,
        "fetch.min.bytes": 1,
        "fetch.queue.backoff.ms": 5,
    }
    consumer = Consumer(settings)
    consumer.assign([TopicPartition(JOURNAL, 0, OFFSET_END)])
    consumer.poll(1.0)  # there is nothing yet: the position is found meanwhile
    over = Event()

    def note() -> None:
        while not over.is_set():
            message = consumer.poll(POLL)
            now = time.time()
            if message is None or message.error():
                continue
            transaction = Transaction.FromString(message.value() or b"")
            one = UUID(transaction.transaction_id)
            seen.recorded[one] = transaction.record_time.ToMicroseconds() / MICRO
            seen.written[one] = message.timestamp()[1] / MILLI
            seen.delivered[one] = now

    thread = Thread(target=note, name="journal")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        consumer.close()


@contextmanager
def _append_times(bootstrap_servers: str) -> Iterator[None]:
    """Let the broker write the time of the append into the journal's records, while the block runs."""
    client = AdminClient({"bootstrap.servers": bootstrap_servers})
    _set_timestamps(client, "LogAppendTime")
    try:
        yield
    finally:
        _set_timestamps(client, "CreateTime")


def _set_timestamps(client: AdminClient, kind: str) -> None:
    topic = ConfigResource(ResourceType.TOPIC, JOURNAL)
    entry = ConfigEntry("message.timestamp.type", kind, incremental_operation=AlterConfigOpType.SET)
    topic.add_incremental_config(entry)
    for altered in client.incremental_alter_configs([topic]).values():
        altered.result()


async def _functions(redis: Redis) -> float:
    """Return the seconds that Redis has spent in the read model's functions."""
    stats = await redis.info("commandstats")
    return float(stats["cmdstat_fcall"]["usec"]) / MICRO


async def measure(at: Addresses, load: Load, seconds: float) -> Freshness:
    """Commit RATE changes a second through the command service, twice for `seconds`; return what came."""
    async with Redis.from_url(at.redis_url) as redis:
        before = await _functions(redis)
        captured = await _half(at, load, "captured", seconds)
        with _append_times(at.bootstrap_servers):
            appended = await _half(at, load, "appended", seconds)
        spent = await _functions(redis) - before
    return _evaluate(captured, appended, spent / (captured.runs + appended.runs))


async def _half(at: Addresses, load: Load, name: str, seconds: float) -> Seen:
    await asyncio.sleep(SETTLE)
    async with _watched(at) as seen:
        target = Target(at.command, at.tls("command"))
        outcome = await asyncio.to_thread(burst.run, load, f"bench.{name}", target, RATE, seconds)
    if outcome.due != len(outcome.accepted):
        raise RuntimeError(f"{len(outcome.accepted)} of {outcome.due} changes were accepted")
    return seen
