"""What the view is known to hold: the transactions that have arrived there, and who waits for one. Pure."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Sequence

from query_svc.read_model import Mark
from serving.tokens import CommittedTransaction

MARGIN_MILLISECONDS = 2 * 60 * 1000
"""The longest that a transaction may take from its record_time to its commit: the command side gives up long
before. What was recorded so long before `as_of` is therefore in the view, and need not be known by its id."""
MAX_WAITING = 1000


class Progress:
    """Follows the marks of the view; asked for a transaction, it answers from memory.

    It keeps the ids of the last MARGIN_MILLISECONDS. At most `max_waiting` callers wait at once; one more
    is told at once that its transaction has not arrived.
    """

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self.as_of = 0
        """Everything committed until then is in the view; in milliseconds since 1970, 0 if not known."""
        self.whole = False
        """Whether the view holds all that it should hold at `as_of`."""
        self.lives = 0
        """How often all was forgotten: what was known before is worth nothing since."""
        self._max_waiting = max_waiting
        self._ids: set[bytes] = set()
        self._runs: deque[tuple[int, Sequence[bytes]]] = deque()
        self._waiting: dict[bytes, list[asyncio.Future[None]]] = defaultdict(list)
        self._waiters = 0

    def take(self, mark: Mark) -> None:
        """Take the next mark."""
        if not mark.whole:
            self._ids.clear()
            self._runs.clear()
        self.whole, self.as_of = mark.whole, max(self.as_of, mark.as_of)
        self._ids.update(mark.ids)
        self._runs.append((mark.as_of, mark.ids))
        while self._runs[0][0] + MARGIN_MILLISECONDS < self.as_of:
            self._ids.difference_update(self._runs.popleft()[1])
        if mark.whole and self._waiting:
            for name in mark.ids:
                for waiter in self._waiting.pop(name, ()):
                    if not waiter.done():
                        waiter.set_result(None)

    def forget(self) -> None:
        """Know nothing any more: the view may have lost what it had. Who waits goes on waiting."""
        self.lives += 1
        self.as_of, self.whole = 0, False
        self._ids.clear()
        self._runs.clear()

    def holds(self, transaction: CommittedTransaction) -> bool:
        """Tell whether the transaction is known to be in the view."""
        recorded = int(transaction.record_time.timestamp() * 1000)
        return self.whole and (
            transaction.transaction_id.bytes in self._ids or recorded + MARGIN_MILLISECONDS < self.as_of
        )

    async def wait(self, transaction: CommittedTransaction, seconds: float) -> bool:
        """Wait until the transaction is in the view, at most so many seconds; tell whether it is."""
        if self.holds(transaction):
            return True
        if self._waiters >= self._max_waiting or seconds <= 0:
            return False
        name = transaction.transaction_id.bytes
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[name].append(waiter)
        self._waiters += 1
        try:
            async with asyncio.timeout(seconds):
                await waiter
        except TimeoutError:
            pass
        finally:
            self._waiters -= 1
            self._leave(name, waiter)
        return self.holds(transaction)

    def _leave(self, name: bytes, waiter: asyncio.Future[None]) -> None:
        if waiters := self._waiting.get(name):
            waiters.remove(waiter)
            if not waiters:
                del self._waiting[name]
