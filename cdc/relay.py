"""The relay: fans the journal out to the topics of public events, each event exactly once.

The events of some records and the position after them are one transaction of the broker. So every trouble
ends in the same way as a start begins: fence off whoever wrote before, read the committed position, and go
on from there.
"""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Event as Flag
from time import monotonic

import structlog

from cdc import events
from cdc.assembly import Assembled, Assembler, Part
from cdc.config import RelaySettings
from cdc.consumer import (
    JournalConsumer,
    JournalUnavailableError,
    OffsetOutOfRangeError,
    Position,
    Record,
)
from cdc.dead_letter import replayed_for
from cdc.dead_letter_box import DeadLetterBox
from cdc.dead_letter_topic import DeadLettersFullError, DeadLettersUnavailableError
from cdc.faults import Fault
from cdc.outlets import Outlets
from cdc.projector import decode
from cdc.publisher import Outgoing, Publisher, PublishError
from inventory.journal.v1.transaction_pb2 import Transaction

POLL_SECONDS = 0.25
FIRST_BACKOFF_SECONDS = 0.05
MAX_BACKOFF_SECONDS = 5.0
FULL_SECONDS = 1.0

log = structlog.get_logger()


class Relay:
    """Follows the journal and publishes its events, until `stop`. To be run in a thread of its own.

    `open_publisher` opens a publisher that fences off all before it.
    """

    def __init__(
        self,
        consumer: JournalConsumer,
        open_publisher: Callable[[], Publisher],
        outlets: Outlets,
        box: DeadLetterBox,
        config: RelaySettings,
    ) -> None:
        self._consumer = consumer
        self._open_publisher = open_publisher
        self._outlets = outlets
        self._box = box
        self._config = config
        self._stopping = Flag()
        self._from_earliest = False
        # What is known between `_begin` and the next trouble.
        self._publisher: Publisher | None = None
        self._source = ""
        self._assembler = Assembler(config.remember_records)
        self._known_until = 0
        self._outgoing: list[Outgoing] = []
        self._getting_on = False
        self._step_began: float | None = None

    @property
    def step_seconds(self) -> float:
        """For how long the present step has taken: 0 between steps, and while it waits of its own will."""
        began = self._step_began
        return 0.0 if began is None else monotonic() - began

    @property
    def reading(self) -> bool:
        """Whether the group has given this relay the journal, and it follows it."""
        return self._getting_on and self._consumer.reading

    @property
    def standing_by(self) -> bool:
        """Whether another relay has the journal, and this one would take over."""
        return self._consumer.standing_by

    def run(self) -> None:
        """Follow the journal; return after `stop`, with the group left."""
        failures = 0
        try:
            while not self._stopping.is_set():
                try:
                    self._timed_step()
                    if self.reading:
                        failures = 0
                except (PublishError, JournalUnavailableError, DeadLettersUnavailableError) as error:
                    log.warning("starting over from the committed position", cause=repr(error))
                    failures += 1
                    self._pause(failures)
                except DeadLettersFullError:
                    self._pause_until_room()
                except OffsetOutOfRangeError as error:
                    self._records_gone(str(error))
                    self._pause(failures)
        finally:
            self._consumer.close()
            self._box.close()

    def stop(self) -> None:
        """Make `run` return soon."""
        self._stopping.set()

    def _timed_step(self) -> None:
        self._step_began = monotonic()
        try:
            self._step()
        finally:
            self._step_began = None

    def _step(self) -> None:
        if not self._consumer.assigned:
            self._publisher = None
        elif not self._consumer.reading:
            self._begin()
        records = self._consumer.poll(POLL_SECONDS, self._config.batch_records)
        if records:
            self._relay(records)
        elif self._consumer.reading:
            # Nothing is left to be told.
            self._getting_on = True

    def _begin(self) -> None:
        """Fence off whoever wrote before, then read a little before where it stopped, to know that again."""
        self._source = self._consumer.source()
        self._publisher = self._open_publisher()
        committed = self._consumer.committed()
        extent = self._consumer.extent()
        begin = extent.first
        if committed is not None and committed.source == self._source and not self._from_earliest:
            if not extent.first <= committed.offset <= extent.end:
                self._records_gone(f"{committed.offset} is not in {extent}")
            else:
                begin = committed.offset
        self._from_earliest = False
        self._assembler = Assembler(self._config.remember_records)
        self._known_until = begin
        self._outgoing = []
        start = max(extent.first, begin - self._config.remember_records)
        self._consumer.read_from(start)
        log.info("reading", source=self._source, offset=begin, recalled=begin - start)

    def _relay(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.offset < self._known_until:
                self._recall(record)
                continue
            self._take(record)
            if len(self._outgoing) >= self._config.batch_events:
                self._publish(self._assembler.resume_at(record.offset + 1))
        end = records[-1].offset + 1
        if end > self._known_until:
            self._publish(self._assembler.resume_at(end))

    def _recall(self, record: Record) -> None:
        with suppress(Fault):  # it is a dead letter
            self._assembler.recall(decode(record.value))

    def _take(self, record: Record) -> None:
        """Make what a record has to tell; what it cannot tell becomes a dead letter."""
        only = replayed_for(record.headers)
        if only not in {None, self._config.group_id}:
            return
        try:
            content = decode(record.value)
        except Fault as fault:
            self._publish_at_hand(self._assembler.resume_at(record.offset))
            self._set_aside(record, fault)
            return
        if only:
            # A dead letter once more: what it tells has not been told, though it may have been seen.
            assembled = [Assembled([Part(record, content)], whole=content.part_count <= 1)]
        else:
            assembled = self._assembler.add(record, content)
        for one in assembled:
            self._tell(one)

    def _tell(self, assembled: Assembled) -> None:
        if not assembled.whole:
            log.warning(
                "told without all its parts", transaction_id=assembled.parts[0].content.transaction_id
            )
        try:
            self._outgoing += self._events(assembled.transaction(), whole=assembled.whole)
        except Fault:
            self._publish_at_hand(assembled.parts[0].record.offset)
            self._tell_apart(assembled)

    def _tell_apart(self, assembled: Assembled) -> None:
        """Tell the parts that can be told; the others become dead letters."""
        for part in assembled.parts:
            try:
                self._outgoing += self._events(part.content, whole=len(assembled.parts) == 1)
            except Fault as fault:
                self._set_aside(part.record, fault)

    def _events(self, transaction: Transaction, *, whole: bool) -> list[Outgoing]:
        return [self._outlets.record(event) for event in events.make(transaction, whole=whole)]

    def _set_aside(self, record: Record, fault: Fault) -> None:
        """Write a dead letter in the transaction that passes its record."""
        letter = self._box.seal(self._source, record, fault)
        if letter is not None:
            self._outgoing.append(letter)

    def _publish_at_hand(self, position: int) -> None:
        """Publish before a dead letter is sealed: what stands before it is told, whatever becomes of it."""
        if self._outgoing:
            self._publish(position)

    def _publish(self, position: int) -> None:
        """Write what is at hand, and that all before `position` has been told."""
        if self._publisher is None:
            raise PublishError("nothing is assigned")
        commitment = self._consumer.commitment(Position(position, self._source))
        self._publisher.publish(self._outgoing, commitment)
        log.debug("published", records=len(self._outgoing), offset=position)
        self._outgoing = []
        self._getting_on = True

    def _records_gone(self, cause: str) -> None:
        log.error("records are gone that were not read: reading from the earliest", cause=cause)
        self._from_earliest = True

    def _pause_until_room(self) -> None:
        """Read nothing, and stay in the group, until a dead letter has been dealt with."""
        self._publisher = None
        self._getting_on = False
        self._consumer.hold()
        while not self._stopping.is_set() and self._box.is_full():
            self._consumer.poll(FULL_SECONDS, 1)

    def _pause(self, failures: int) -> None:
        """Read nothing for a while, and stay in the group meanwhile."""
        self._publisher = None
        self._getting_on = False
        self._consumer.hold()
        longest = min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2**failures)
        self._consumer.poll(longest * random.uniform(0.5, 1), 1)  # noqa: S311 - jitter
