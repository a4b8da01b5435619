"""Shorthand for the tests of the command side."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import count
from uuid import UUID

from command_svc.domain.batch import Request, Stamp, Submission
from command_svc.domain.commands import Command, Outcome
from command_svc.domain.item import DIGITAL, Item
from command_svc.domain.levels import Level, LevelKey
from command_svc.domain.location import Location
from command_svc.domain.transaction import Record, Rows, Transaction

NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
MUG = LevelKey("MUG", "WH")
MUG_AT_STORE = LevelKey("MUG", "ST")
ITEMS = (Item("MUG", "Mug"), Item("PEN", "Pen"), Item("SONG", "Song", kind=DIGITAL, counted=False))
LOCATIONS = (
    Location("WH", "Warehouse", "WAREHOUSE", ships_online_orders=True),
    Location("ST", "Store", "STORE", ships_online_orders=True),
)

HERE = UUID(int=1)
_numbers = count()


def transaction(
    levels: Iterable[Level] = (), *, answered: dict[str, Record] | None = None, now: datetime = NOW
) -> Transaction:
    """Return a transaction that has read `levels` and knows all of ITEMS and LOCATIONS."""
    facts = {item.sku: item.facts for item in ITEMS}
    location_ids = {location.location_id for location in LOCATIONS}
    return Transaction(
        id=new_id(),
        now=now,
        installation_id=HERE,
        levels=Rows((level.key, level) for level in levels),
        reach={LevelKey(sku, location_id) for sku in facts for location_id in location_ids},
        facts=facts,
        location_ids=location_ids,
        answered=answered or {},
    )


def new_id() -> UUID:
    """Return the id of another transaction, with room for those that it gives itself."""
    return UUID(int=next(_numbers) << 32)


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
