"""The client's own books: what every level must be, from nothing but what was acknowledged."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from demo.events import Level

_FINGERPRINT_BYTES = 8


class Standing(NamedTuple):
    """Where a level stands; both 0 for one that has never been stocked."""

    on_hand: int = 0
    version: int = 0


@dataclass(slots=True)
class Account:
    """What has been entered for one level.

    delta: the sum of all changes.
    entries: how many there were: by so much the version has risen.
    fingerprint: of the request ids, each as often as it was entered, in any order.
    """

    delta: int = 0
    entries: int = 0
    fingerprint: int = 0


class Books:
    """Accounts of levels over a stretch of time; memory grows with the levels, not with the entries.

    start: where each level stood before; one that is not named had never been stocked.

    Two books agree when every level has the same sum of changes, made by the same requests, each once: so
    the books of the client, written from its answers, can be held against those of the ledger.
    """

    def __init__(self, start: Mapping[Level, Standing] | None = None) -> None:
        self._start = start or {}
        self._accounts: dict[Level, Account] = {}

    def enter(self, level: Level, delta: int, request_id: str) -> None:
        """Enter one change that one request has made to one level."""
        account = self._accounts.get(level)
        if account is None:
            account = self._accounts[level] = Account()
        account.delta += delta
        account.entries += 1
        digest = hashlib.blake2b(request_id.encode(), digest_size=_FINGERPRINT_BYTES).digest()
        account.fingerprint = (account.fingerprint + int.from_bytes(digest)) % 2 ** (8 * _FINGERPRINT_BYTES)

    def expected(self, level: Level) -> Standing:
        """Return where a level must stand now."""
        start, account = self._start.get(level, Standing()), self[level]
        return Standing(start.on_hand + account.delta, start.version + account.entries)

    def __getitem__(self, level: Level) -> Account:
        """Return the account of a level; an empty one when nothing was entered."""
        return self._accounts.get(level) or Account()

    def __iter__(self) -> Iterator[Level]:
        """Yield the levels with entries, in the order of the first."""
        return iter(self._accounts)

    def __len__(self) -> int:
        """Return how many levels have entries."""
        return len(self._accounts)

    @property
    def entries(self) -> int:
        """How many changes were entered in all."""
        return sum(account.entries for account in self._accounts.values())

    def differences(self, other: Books) -> Iterator[tuple[Level, Account, Account]]:
        """Yield every level on which the two books do not agree, with both accounts."""
        for level in {**self._accounts, **other._accounts}:
            ours, theirs = self[level], other[level]
            if ours != theirs:
                yield level, ours, theirs
