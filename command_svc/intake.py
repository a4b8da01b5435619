"""Stock commands from a topic: carried out in order like those of calls, and refused with the same errors.

Who may write to the topic is for the broker to say, and all that is known of who has: the topic is one
workload, with roles and locations of its own. Whom a record names is a label of that workload, `topic:NAME`,
so that nobody passes for a caller who has proved who it is.

Effect first, offset last: a record is done with once what it changed is durable or why it was refused is
written to the topic of failures. What is read again after a crash is known by its request id.
"""

from __future__ import annotations

import asyncio
import math
import random
import uuid
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

import structlog
from google.protobuf.message import DecodeError

from command_svc.batcher import Batcher
from command_svc.broker import BrokerUnavailableError, Record
from command_svc.domain.batch import Request, Submission, Verdict
from command_svc.domain.refusals import Refusal
from command_svc.mapping.registry import member_of
from command_svc.mapping.stock import message_in
from command_svc.messages import timestamp
from command_svc.services.lane import call_error, carry_out, refused
from command_svc.store.errors import UnavailableError
from inventory.command.v1.stock_command_failure_pb2 import StockCommandFailure
from inventory.command.v1.stock_command_service_pb2 import StockCommand
from inventory.type.v1 import error_reason_pb2
from serving.access import METHOD_OF
from serving.audit import Entry, Nowhere, Recorder, entry_of
from serving.errors import CallError, invalid_field
from serving.identity import ACTOR_KEY, Caller, checked
from serving.identity_settings import Workload
from serving.origin import TRACE_KEY, Origin, come_from, origin_of

NAMED = "topic:"
"""What every name that a record gives begins with, in ledger and audit log."""
POLL_SECONDS = 0.25
FIRST_BACKOFF_SECONDS = 0.05
MAX_BACKOFF_SECONDS = 5.0

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger()


class Topic(Protocol):
    """Where commands come from and failures go; see `broker.CommandTopic`."""

    def poll(self, timeout: float, most: int) -> list[Record]:
        """Return what is there."""

    def publish(self, failures: Sequence[tuple[bytes, bytes]]) -> None:
        """Write failures."""

    def mark_done(self, records: Sequence[Record]) -> None:
        """Store the offsets."""

    def ask(self) -> None:
        """Return when the broker answers."""

    def close(self) -> None:
        """Leave the group."""


class StuckError(Exception):
    """The commands that have been read cannot be carried out now: they wait."""


@dataclass(slots=True)
class Taken:
    """A record, and what it asks for, or why it asks for nothing."""

    record: Record
    command: StockCommand | None = None
    request_id: str = ""
    actor: str = ""
    request: Request | None = None
    error: CallError | None = None

    def entry(self) -> Entry:
        """Return the entry of the audit log for a record that failed."""
        if self.error is None:
            raise ValueError("did not fail")
        if self.request is not None:
            return refused(self.request, self.error.reason_name)
        asked = None if self.command is None else self.command.WhichOneof("command")
        message = None if asked is None else getattr(self.command, asked)
        method = "/" if message is None else METHOD_OF[message.DESCRIPTOR.full_name]
        source, trace_id = _origin(self.record)
        entry = entry_of(method, self.error, message, self.request_id)
        return entry._replace(actor=self.actor, proof="topic", source=source, trace_id=trace_id)

    def failure(self) -> tuple[bytes, bytes]:
        """Return key and value of the record of the failure."""
        if self.error is None:
            raise ValueError("did not fail")
        made = StockCommandFailure(
            topic=self.record.topic,
            partition=self.record.partition,
            offset=self.record.offset,
            key=self.record.key,
            request_id=self.request_id,
            actor=self.actor,
            error=self.error.to_status(),
            fail_time=timestamp(datetime.now(UTC)),
        )
        if self.command is not None:
            made.command.CopyFrom(self.command)
        else:
            made.undecodable = self.record.value
        return self.record.key, made.SerializeToString()


class Intake:
    """Takes commands from a topic and carries them out, up to `most` in one transaction, until `stop`.

    `workload` is what the topic may do, and the name of those whose records name nobody. What the database or
    the broker does not take now is tried again until they do; nothing is read meanwhile. What fails leaves an
    entry with `recorder`.
    """

    def __init__(
        self, topic: Topic, batcher: Batcher, *, workload: Caller, most: int, recorder: Recorder | None = None
    ) -> None:
        self._topic = topic
        self._recorder = Nowhere() if recorder is None else recorder
        self._batcher = batcher
        self._workload = workload
        self._most = most
        self._thread = ThreadPoolExecutor(1, "intake")
        self._stopping = asyncio.Event()
        self._stuck: Exception | None = None

    async def run(self) -> None:
        """Take commands in; return after `stop`, with what is in hand done with, or left to be read again."""
        try:
            while not self._stopping.is_set():
                records = await self._call(self._topic.poll, POLL_SECONDS, self._most)
                if records and not await self._settle([take(record, self._workload) for record in records]):
                    break
        finally:
            await self._call(self._topic.close)
            self._thread.shutdown()

    def stop(self) -> None:
        """Make `run` return soon."""
        self._stopping.set()

    async def check(self) -> None:
        """Return when commands are taken in; raises when the broker is away or commands wait."""
        if self._stuck is not None:
            raise StuckError from self._stuck
        await asyncio.to_thread(self._topic.ask)

    async def _settle(self, batch: list[Taken]) -> bool:
        """Carry out, tell the failures, then store the offsets; return False if told to stop before that."""
        wanted = [taken for taken in batch if taken.request is not None]
        if wanted and not await self._insist(lambda: self._carry_out(wanted)):
            return False
        failures = [taken.failure() for taken in batch if taken.error is not None]
        if failures and not await self._insist(lambda: self._call(self._topic.publish, failures)):
            return False
        for taken in batch:
            if taken.error is not None:
                self._recorder.record(taken.entry())
        records = [taken.record for taken in batch]
        return await self._insist(lambda: self._call(self._topic.mark_done, records))

    async def _carry_out(self, wanted: Sequence[Taken]) -> None:
        """Carry the commands out in one transaction; raises when the lane or the database takes none now."""
        requests = tuple(taken.request for taken in wanted if taken.request is not None)
        verdicts: list[Verdict]
        try:
            verdicts = await carry_out(self._batcher, Submission(requests))
        except (CallError, UnavailableError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever one of them brought about, the others go on
            if len(wanted) > 1:
                for taken in wanted:
                    await self._carry_out([taken])
            else:
                wanted[0].error = _fault(error)
            return
        for taken, verdict in zip(wanted, verdicts, strict=True):
            taken.error = call_error(verdict) if isinstance(verdict, Refusal) else None

    async def _insist(self, attempt: Callable[[], Awaitable[None]]) -> bool:
        """Try until it succeeds; return False when told to stop before."""
        backoff = FIRST_BACKOFF_SECONDS
        while True:
            try:
                await attempt()
            except (CallError, UnavailableError, BrokerUnavailableError) as error:
                log.warning("commands wait", cause=repr(error))
                self._stuck = error
            else:
                self._stuck = None
                return True
            with suppress(TimeoutError):
                pause = random.uniform(backoff / 2, backoff)  # noqa: S311 - jitter, no secret
                await asyncio.wait_for(self._stopping.wait(), pause)
                return False
            backoff = min(2 * backoff, MAX_BACKOFF_SECONDS)

    async def _call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of the topic, which blocks, in its thread."""
        call = partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def workload_of(topic: Workload, name: str) -> Caller:
    """Return a topic as a caller; `name` acts for it where a record names nobody.

    It needs no step-up: nobody is there who could be asked.
    """
    return Caller(name, topic.as_roles, frozenset(topic.locations), stepped_up_until=math.inf, proof="topic")


def take(record: Record, workload: Caller) -> Taken:
    """Return what a record asks for, as far as the workload may ask it, under the name that the record gives.

    Its request id is the command's own, or made of the record's place: with its time, for a topic that is
    made anew begins to count anew.
    """
    taken = Taken(record)
    come_from(lambda: _origin(record))
    try:
        taken.actor = _actor(record, workload.subject)
        taken.command = _decode(record.value)
        message = message_in(taken.command)
        derived = f"{record.topic}-{record.partition}-{record.offset}-{record.timestamp}"
        taken.request_id = message.request_id or derived
        taken.request = member_of(message, derived, workload._replace(subject=taken.actor))
    except CallError as error:
        taken.error = error
    return taken


def _origin(record: Record) -> Origin:
    trace = record.headers.get(TRACE_KEY, b"").decode(errors="replace")
    return origin_of([(TRACE_KEY, trace)], "")._replace(source=f"topic {record.topic}")


def _actor(record: Record, consumer: str) -> str:
    named = record.headers.get(ACTOR_KEY)
    return checked(NAMED + checked(consumer if named is None else named.decode(errors="replace")))


def _decode(value: bytes) -> StockCommand:
    try:
        return StockCommand.FromString(value)
    except DecodeError as error:
        raise invalid_field("value", "must be a StockCommand") from error


def _fault(error: Exception) -> CallError:
    error_id = str(uuid.uuid4())
    log.error("command failed", error_id=error_id, exc_info=error)
    return CallError(
        error_reason_pb2.ERROR_REASON_INTERNAL, f"internal error {error_id}", metadata={"error_id": error_id}
    )
