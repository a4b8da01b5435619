"""From records of the journal to whole transactions, each once. Pure.

The journal is written at least once: after a crash, Kafka Connect sends again what it had sent since it last
noted its position. Its records are in order, and the parts of a transaction follow each other.
"""

from collections.abc import Sequence
from typing import NamedTuple

from cdc.consumer import Record
from inventory.journal.v1.transaction_pb2 import Transaction


class Part(NamedTuple):
    """A record of the journal, and the part of a transaction that it carries."""

    record: Record
    content: Transaction


class Assembled(NamedTuple):
    """The parts of a transaction; not `whole` when one of them has not come."""

    parts: Sequence[Part]
    whole: bool

    def transaction(self) -> Transaction:
        """Return the transaction put together."""
        if len(self.parts) == 1:
            return self.parts[0].content
        transaction = Transaction()
        for part in self.parts:
            transaction.MergeFrom(part.content)
        return transaction


class Assembler:
    """Puts transactions together, and leaves out what it has seen among the last `remember` records."""

    def __init__(self, remember: int) -> None:
        self._remember = remember
        self._seen: dict[tuple[str, int], None] = {}
        self._open: list[Part] = []

    def recall(self, content: Transaction) -> None:
        """Take note of what has been dealt with before."""
        self._is_new(content)

    def add(self, record: Record, content: Transaction) -> list[Assembled]:
        """Return the transactions that a record completes: none, one, or one that is broken off before it."""
        if not self._is_new(content):
            return []
        assembled: list[Assembled] = []
        if self._open and self._open[0].content.transaction_id != content.transaction_id:
            # The parts that are missing will not come any more.
            assembled = [Assembled(self._open, whole=False)]
            self._open = []
        self._open.append(Part(record, content))
        if content.part >= content.part_count:
            whole = len(self._open) >= content.part_count
            assembled.append(Assembled(self._open, whole))
            self._open = []
        return assembled

    def resume_at(self, offset: int) -> int:
        """Return where to read again to go on as after all records before `offset`."""
        return self._open[0].record.offset if self._open else offset

    def _is_new(self, content: Transaction) -> bool:
        place = (content.transaction_id, content.part)
        if place in self._seen:
            return False
        self._seen[place] = None
        if len(self._seen) > self._remember:
            del self._seen[next(iter(self._seen))]
        return True
