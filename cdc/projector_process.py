"""The process that keeps the read model up to date from the journal: effect first, offset last."""

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import ParamSpec, TypeVar

import structlog

from cdc.config import ProjectorSettings
from cdc.consumer import JournalConsumer, JournalUnavailableError, OffsetOutOfRangeError, Record
from cdc.gaps import GapRepair
from cdc.projector import project
from query_svc.read_model import (
    Follower,
    Gap,
    ReadModelError,
    ReadModelRewoundError,
    ReadModelUnavailableError,
    connect,
    connect_follower,
)
from serving import logs, server, settings
from serving.health import Dependency

POLL_SECONDS = 0.25
SETTLE_SECONDS = 1.0
FIRST_BACKOFF_SECONDS = 0.05
MAX_BACKOFF_SECONDS = 5.0

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger()


class UndecodableRecordError(Exception):
    """A record of the journal cannot be decoded. It must be neither dropped nor passed over."""


class NotReadingError(Exception):
    """The group has not given this process the journal, or it does not read it yet."""


class Projector:
    """Follows the journal and applies it to the read model, until `stop`.

    The position is the one stored beside the data. So every trouble with Redis ends in the same way as a
    start begins: read the stored position, and go on from there. Where the view already holds what is
    read again, versions see to it that nothing changes.
    """

    def __init__(
        self,
        consumer: JournalConsumer,
        writer: Follower,
        batch_records: int,
        notice: Callable[[Gap], None],
    ) -> None:
        self._consumer = consumer
        self._writer = writer
        self._batch_records = batch_records
        self._notice = notice
        self._thread = ThreadPoolExecutor(1, "journal")
        self._stopping = False
        self._from_earliest = False
        self._settle_at = 0.0

    async def run(self) -> None:
        """Follow the journal; return after `stop`, with the batch in hand applied and the group left.

        Raise UndecodableRecordError at a record that cannot be decoded, with all before it applied.
        """
        failures = 0
        try:
            while not self._stopping:
                try:
                    await self._step()
                    failures = 0
                except (ReadModelUnavailableError, ReadModelRewoundError, JournalUnavailableError) as error:
                    log.warning("starting over from the stored position", cause=repr(error))
                    failures += 1
                    await self._pause(failures)
                except OffsetOutOfRangeError as error:
                    log.error(  # noqa: TRY400 - the trace says no more
                        "records are gone that were not read: reading from the earliest, reconcile the view",
                        cause=str(error),
                    )
                    self._from_earliest = True
                    await self._pause(failures)
        finally:
            with suppress(ReadModelError):
                await self._writer.settle()
            await self._call(self._consumer.close)
            self._thread.shutdown()

    def stop(self) -> None:
        """Make `run` return soon."""
        self._stopping = True

    async def check(self) -> None:
        """Return when the journal is being read and Redis answers; raise when not."""
        if not self._consumer.reading:
            raise NotReadingError
        await self._writer.ping()

    async def _step(self) -> None:
        if self._consumer.assigned and not self._consumer.reading:
            await self._begin()
        records = await self._call(self._consumer.poll, POLL_SECONDS, self._batch_records)
        if records:
            await self._apply(records)
        if self._consumer.reading and time.monotonic() >= self._settle_at:
            await self._writer.settle()
            await self._writer.verify()
            self._settle_at = time.monotonic() + SETTLE_SECONDS

    async def _begin(self) -> None:
        source = await self._call(self._consumer.source)
        offset = await self._writer.resume(source)
        if offset is None:
            await self._writer.fill((await self._call(self._consumer.extent)).end)
        if self._from_earliest:
            offset, self._from_earliest = None, False
        await self._call(self._consumer.read_from, offset)
        log.info("reading", source=source, offset="earliest" if offset is None else offset)

    async def _apply(self, records: list[Record]) -> None:
        projection = project([record.value for record in records])
        if projection.decoded:
            end = records[projection.decoded - 1].offset + 1
            applied, stale = await self._writer.apply(projection.changes, end, projection.commits)
            for gap in self._writer.take_gaps():
                self._notice(gap)
            await self._call(self._consumer.mark_applied, end)
            log.debug("applied", records=projection.decoded, applied=applied, stale=stale, offset=end)
        if projection.fault:
            broken = records[projection.decoded]
            raise UndecodableRecordError(
                f"{self._consumer.name}, offset {broken.offset}: {projection.fault}"
            ) from projection.fault

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
    """Run a projector while its health server is in use. Raise at the end what stopped the projector."""
    redis_url, family = config.redis_url.get_secret_value(), config.generation
    async with (
        connect_follower(redis_url, family=family) as writer,
        connect(redis_url, generation=family) as view,
    ):
        consumer = JournalConsumer(config.bootstrap_servers, config.group_id, config.topic)
        gaps = GapRepair(config.database_url.get_secret_value(), view)
        projector = Projector(consumer, writer, config.batch_records, gaps.notice)
        repairing = asyncio.create_task(gaps.run(), name="gap repair")
        running = asyncio.create_task(projector.run(), name="projector")
        running.add_done_callback(_end_process)
        try:
            yield server.GrpcServer(
                config, [], dependencies=[Dependency("projector", projector.check)], unavailable={}
            )
        finally:
            repairing.cancel()
            projector.stop()
            await running


def _end_process(projector: asyncio.Task[None]) -> None:
    """End the process of a projector that cannot go on: whoever keeps the process sees that."""
    if not projector.cancelled() and projector.exception() is not None:
        signal.raise_signal(signal.SIGTERM)


def main() -> None:
    """Run until SIGTERM or SIGINT; exit code 1 at a record that cannot be decoded."""
    config = settings.load(ProjectorSettings)
    logs.configure(config.log_level, "projector")
    try:
        server.run(partial(assemble, config))
    except UndecodableRecordError as error:
        log.critical("a record cannot be decoded; nothing after it is applied", record=str(error))
        raise SystemExit(1) from None
