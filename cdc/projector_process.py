"""The process that keeps the read model up to date from the journal: effect first, offset last."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import ParamSpec, TypeVar

import structlog

from cdc.config import ProjectorSettings
from cdc.consumer import JournalConsumer, JournalUnavailableError, OffsetOutOfRangeError, Record
from cdc.dead_letter import replayed_for
from cdc.dead_letter_box import DeadLetterBox
from cdc.dead_letter_topic import DeadLettersFullError, DeadLettersUnavailableError
from cdc.faults import Fault, FaultKind
from cdc.gaps import GapRepair
from cdc.projector import project
from cdc.publisher import PublishError
from query_svc.read_model import (
    Changes,
    Gap,
    GenerationsWriter,
    ReadModelError,
    ReadModelRefusedError,
    ReadModelRewoundError,
    ReadModelUnavailableError,
    Told,
    connect,
    connect_generations_writer,
)
from serving import logs, server, settings, tasks
from serving.health import Dependency, Role

POLL_SECONDS = 0.25
SETTLE_SECONDS = 1.0
FIRST_BACKOFF_SECONDS = 0.05
MAX_BACKOFF_SECONDS = 5.0
FULL_SECONDS = 1.0
# Of a batch that Redis refuses, before it is applied record by record.
TRIES = 3

P = ParamSpec("P")
T = TypeVar("T")

# What passes by itself.
_PASSING = (
    ReadModelUnavailableError,
    ReadModelRewoundError,
    ReadModelRefusedError,
    JournalUnavailableError,
    DeadLettersUnavailableError,
    PublishError,
)

log = structlog.get_logger()


class NotReadingError(Exception):
    """The process neither reads the journal nor stands by, or it does not get on with it."""


class Projector:
    """Follows the journal and applies it to the read model, until `stop`.

    The position is the one stored beside the data. So every trouble with Redis ends in the same way as a
    start begins: read the stored position, and go on from there. Where the view already holds what is
    read again, versions see to it that nothing changes.

    A record that cannot be decoded becomes a dead letter at once: it would not become another one. Where
    Redis refuses a batch, it is tried again, TRIES times with growing pauses, and then record by record: the
    one that is refused becomes a dead letter. Nothing passes a record whose dead letter is not written.
    """

    def __init__(
        self,
        consumer: JournalConsumer,
        writer: GenerationsWriter,
        box: DeadLetterBox,
        config: ProjectorSettings,
        notice: Callable[[Gap], None],
    ) -> None:
        self._consumer = consumer
        self._writer = writer
        self._box = box
        self._config = config
        self._notice = notice
        self._source = ""
        self._failures = 0
        # How often Redis has refused what stands before the offset `_suspect_until`.
        self._refusals = 0
        self._suspect_until = 0
        self._thread = ThreadPoolExecutor(1, "journal")
        self._stopping = False
        self._from_earliest = False
        self._settle_at = 0.0

    async def run(self) -> None:
        """Follow the journal; return after `stop`, with the batch in hand applied and the group left."""
        try:
            while not self._stopping:
                try:
                    await self._step()
                    self._failures = 0
                except _PASSING as error:
                    log.warning("starting over from the stored position", cause=repr(error))
                    self._failures += 1
                    await self._pause(self._failures)
                except DeadLettersFullError:
                    await self._pause_until_room()
                except OffsetOutOfRangeError as error:
                    log.error(  # noqa: TRY400 - the trace says no more
                        "records are gone that were not read: reading from the earliest, reconcile the view",
                        cause=str(error),
                    )
                    self._from_earliest = True
                    await self._pause(self._failures)
        finally:
            with suppress(ReadModelError):
                await self._writer.settle()
            await self._call(self._consumer.close)
            await self._call(self._box.close)
            self._thread.shutdown()

    def stop(self) -> None:
        """Make `run` return soon."""
        self._stopping = True

    @property
    def active(self) -> bool:
        """Whether the group has given this process the journal, and it reads it."""
        return self._consumer.reading

    async def check(self) -> None:
        """Return when it reads the journal, or stands by, and Redis answers; raise when not."""
        if self._failures or not (self._consumer.reading or self._consumer.standing_by):
            raise NotReadingError
        await self._writer.ping()

    async def _step(self) -> None:
        if self._consumer.assigned and not self._consumer.reading:
            await self._begin()
        most = 1 if self._one_by_one else self._config.batch_records
        records = await self._call(self._consumer.poll, POLL_SECONDS, most)
        if records:
            await self._apply(records)
        if self._consumer.reading and time.monotonic() >= self._settle_at:
            await self._writer.settle()
            await self._writer.verify()
            self._settle_at = time.monotonic() + SETTLE_SECONDS

    async def _begin(self) -> None:
        self._source = source = await self._call(self._consumer.source)
        offset = await self._writer.resume(source)
        if offset is None:
            await self._writer.fill((await self._call(self._consumer.extent)).end)
        if self._from_earliest:
            offset, self._from_earliest = None, False
        await self._call(self._consumer.read_from, offset)
        log.info("reading", source=source, offset="earliest" if offset is None else offset)

    @property
    def _one_by_one(self) -> bool:
        return self._refusals >= TRIES

    async def _apply(self, records: list[Record]) -> None:
        end = records[-1].offset + 1
        try:
            await self._apply_to(
                end, [record for record in records if self._is_for_me(record)], records[0].offset
            )
        except ReadModelRefusedError as error:
            if not self._one_by_one:
                self._refusals += 1
                self._suspect_until = max(self._suspect_until, end)
                raise
            await self._set_aside(records[0], Fault(str(error), FaultKind.REFUSED), tries=self._refusals)
            await self._pass(records[0])
        if self._refusals:
            # So that what `_pass` finds is where this record began.
            await self._writer.settle()
            if end >= self._suspect_until:
                self._refusals = 0

    async def _apply_to(self, end: int, records: list[Record], begun: int) -> None:
        """Apply the records up to an offset; those that cannot be decoded become dead letters."""
        while True:
            projection = project([record.value for record in records])
            broken = records[projection.decoded] if projection.fault else None
            until = broken.offset if broken else end
            told = [Told(records[index].offset, change) for index, change in projection.told]
            changes = replace(projection.changes, told=told, begun=begun)
            applied, stale = await self._writer.apply(changes, until, projection.commits)
            for gap in self._writer.take_gaps():
                self._notice(gap)
            await self._call(self._consumer.mark_applied, until)
            log.debug("applied", records=projection.decoded, applied=applied, stale=stale, offset=until)
            if broken is None or projection.fault is None:
                return
            await self._set_aside(broken, projection.fault)
            records = records[projection.decoded + 1 :]

    def _is_for_me(self, record: Record) -> bool:
        return replayed_for(record.headers) in {None, self._config.group_id}

    async def _set_aside(self, record: Record, fault: Fault, *, tries: int = 0) -> None:
        await self._call(self._box.put, self._source, record, fault, tries=tries)

    async def _pass(self, record: Record) -> None:
        """Go on after a record that has become a dead letter, where Redis has all that stands before it."""
        offset = await self._writer.resume(self._source)
        if offset is None or offset < record.offset:
            raise ReadModelRewoundError(f"position {offset} where {record.offset} was left")
        await self._writer.apply(Changes(), record.offset + 1)

    async def _pause_until_room(self) -> None:
        """Read nothing, and stay in the group, until a dead letter has been dealt with."""
        self._failures += 1
        await self._call(self._consumer.hold)
        while not self._stopping and await self._call(self._box.is_full):
            await self._call(self._consumer.poll, FULL_SECONDS, 1)

    async def _pause(self, failures: int) -> None:
        """Read nothing for a while, and stay in the group meanwhile."""
        await self._call(self._consumer.hold)
        longest = min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2**failures)
        await self._call(self._consumer.poll, longest * random.uniform(0.5, 1), 1)  # noqa: S311 - jitter

    async def _call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of the consumer, which blocks, in its thread."""
        call = partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


@asynccontextmanager
async def assemble(config: ProjectorSettings) -> AsyncIterator[server.GrpcServer]:
    """Run a projector while its health server is in use. Raise at the end what stopped it, or its repairs."""
    redis_url, family = config.redis_url.get_secret_value(), config.generation
    async with (
        connect_generations_writer(redis_url, family=family, feed_entries=config.feed_entries) as writer,
        connect(redis_url, generation=family) as view,
    ):
        consumer = JournalConsumer(config.bootstrap_servers, config.group_id, config.topic)
        gaps = GapRepair(config.database_url.get_secret_value(), view)
        box = DeadLetterBox(config)
        projector = Projector(consumer, writer, box, config, gaps.notice)
        async with tasks.running(gaps.run(), "gap repair"):
            running = tasks.start(projector.run(), "projector")
            try:
                dependencies = [
                    Dependency("projector", projector.check),
                    Dependency("dead-letters", box.check),
                ]
                roles = [Role("active", lambda: projector.active)]
                yield server.GrpcServer(config, [], dependencies=dependencies, unavailable={}, roles=roles)
            finally:
                projector.stop()
                await running


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    config = settings.load(ProjectorSettings)
    logs.configure(config.log_level, "projector")
    server.run(partial(assemble, config))
