"""The process that fans the journal out to the public topics."""

import asyncio
import logging
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol

import structlog

from cdc import outlets
from cdc.config import RelaySettings
from cdc.consumer import JournalConsumer
from cdc.dead_letter_box import DeadLetterBox
from cdc.outlets import Outlets
from cdc.publisher import Publisher
from cdc.relay import Relay
from cdc.schemas import IncompatibleSchemaError, RegistryUnavailableError
from serving import logs, server, settings, tasks
from serving.health import Dependency, Role

FIRST_BACKOFF_SECONDS = 0.2
MAX_BACKOFF_SECONDS = 5.0
STUCK_EXIT_CODE = 3

log = structlog.get_logger()


class Steps(Protocol):
    """What is done step by step in another thread."""

    @property
    def step_seconds(self) -> float:
        """For how long the present step has taken."""


async def end_if_stuck(relay: Steps, stuck_seconds: float) -> None:
    """End the process when a step takes so long: whoever keeps it starts another, which fences this one off.

    The client of the broker may wait for ever in a call that has a time limit, when the broker goes away
    while a transaction passes its position (`send_offsets_to_transaction`). Nothing else ends that.
    """
    while relay.step_seconds < stuck_seconds:  # noqa: ASYNC110 - the other thread cannot tell when it hangs
        await asyncio.sleep(min(1.0, stuck_seconds / 4))
    log.critical("a step does not end; this process does", seconds=relay.step_seconds)
    os._exit(STUCK_EXIT_CODE)


class NotReadingError(Exception):
    """The process neither reads the journal, or not yet, nor stands by."""


class RelayProcess:
    """Runs a relay in a thread, once the schemas are registered."""

    def __init__(self, config: RelaySettings) -> None:
        self._config = config
        self.box = DeadLetterBox(config)
        self._relay: Relay | None = None
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Run until `stop`. Raise IncompatibleSchemaError, and what stopped the relay."""
        config = self._config
        frames = await self._frames()
        if frames is None:
            return
        self._relay = Relay(
            JournalConsumer(
                config.bootstrap_servers,
                config.group_id,
                config.topic,
                gather_seconds=config.gather_seconds,
            ),
            partial(Publisher, config.bootstrap_servers, config.transactional_id),
            Outlets(config.topics_prefix, frames, config.max_event_bytes),
            self.box,
            config,
        )
        if self._stopping.is_set():
            self._relay.stop()
        async with tasks.running(end_if_stuck(self._relay, config.stuck_seconds), "watch"):
            await asyncio.to_thread(self._relay.run)

    def stop(self) -> None:
        """Make `run` return soon."""
        self._stopping.set()
        if self._relay is not None:
            self._relay.stop()

    @property
    def active(self) -> bool:
        """Whether the group has given this process the journal, and it follows it."""
        return self._relay is not None and self._relay.reading

    async def check(self) -> None:
        """Return when it reads the journal, or stands by; raise when not."""
        if self._relay is None or not (self._relay.reading or self._relay.standing_by):
            raise NotReadingError

    async def _frames(self) -> dict[str, bytes] | None:
        """Return the framing of each topic, as soon as the registry tells; None if stopped before that."""
        backoff = FIRST_BACKOFF_SECONDS
        while not self._stopping.is_set():
            try:
                return await asyncio.to_thread(
                    outlets.register, self._config.registry_url, self._config.topics_prefix
                )
            except RegistryUnavailableError as error:
                log.warning("schemas not registered", cause=str(error))
            try:
                pause = random.uniform(backoff / 2, backoff)  # noqa: S311 - jitter
                await asyncio.wait_for(self._stopping.wait(), pause)
            except TimeoutError:
                backoff = min(2 * backoff, MAX_BACKOFF_SECONDS)
        return None


@asynccontextmanager
async def assemble(config: RelaySettings) -> AsyncIterator[server.GrpcServer]:
    """Run a relay while its health server is in use. Raise at the end what stopped the relay."""
    process = RelayProcess(config)
    running = tasks.start(process.run(), "relay")
    try:
        dependencies = [Dependency("relay", process.check), Dependency("dead-letters", process.box.check)]
        roles = [Role("active", lambda: process.active)]
        yield server.GrpcServer(config, [], dependencies=dependencies, unavailable={}, roles=roles)
    finally:
        process.stop()
        await running


def main() -> None:
    """Run until SIGTERM or SIGINT; exit code 1 when the registry refuses a schema."""
    config = settings.load(RelaySettings)
    logs.configure(config.log_level, "relay")
    # It logs each request otherwise.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        server.run(partial(assemble, config))
    except IncompatibleSchemaError as error:
        log.critical("the registry refuses a schema; nothing is published", cause=str(error))
        raise SystemExit(1) from None
