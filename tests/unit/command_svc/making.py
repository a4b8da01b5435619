"""Shorthand for the tests of the command side."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import count
from uuid import UUID

from command_svc.domain.batch import Command, Outcome, Request, Stamp, Submission
from command_svc.domain.catalog import DIGITAL, PHYSICAL, Facts
from command_svc.domain.levels import Level, LevelKey
from command_svc.domain.transaction import Record, Rows, Transaction

NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
MUG = LevelKey("MUG", "WH")
MUG_AT_STORE = LevelKey("MUG", "ST")
FACTS = {
    "MUG": Facts(PHYSICAL, counted=True),
    "PEN": Facts(PHYSICAL, counted=True),
    "SONG": Facts(DIGITAL, counted=False),
}
LOCATIONS = {"WH", "ST"}

_numbers = count()


def transaction(
    levels: Iterable[Level] = (), *, answered: dict[str, Record] | None = None, now: datetime = NOW
) -> Transaction:
    """Return a transaction that has read `levels`.

    It knows the items MUG and PEN, the digital item SONG, and the locations WH and ST.
    """
    return Transaction(
        id=UUID(int=next(_numbers)),
        now=now,
        levels=Rows((level.key, level) for level in levels),
        reach={LevelKey(sku, location_id) for sku in FACTS for location_id in LOCATIONS},
        facts=dict(FACTS),
        location_ids=set(LOCATIONS),
        answered=answered or {},
    )


def encode(outcome: Outcome, stamp: Stamp | None) -> bytes:
    """Stand in for the services' encoders: an answer that tells outcomes and transactions apart."""
    return repr((outcome, stamp)).encode()


def request(command: Command, request_id: str | None = None, fingerprint: bytes | None = None) -> Request:
    """Return a request for `command`, by default under an id of its own."""
    return Request(
        request_id=request_id or f"request-{next(_numbers)}",
        fingerprint=fingerprint or repr(command).encode(),
        actor="tester",
        command=command,
        encode=encode,
    )


def submission(*commands: Command, atomic: bool = False, validate_only: bool = False) -> Submission:
    """Return a submission of `commands`, each under a request id of its own."""
    return Submission(tuple(request(command) for command in commands), atomic, validate_only)
