"""Fields that several requests share."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.latlng_pb2 import LatLng

from command_svc.domain.levels import Level, LevelKey
from command_svc.domain.lot import LotChoice, LotReceipt
from command_svc.domain.sourcing import Candidate, Strategy
from command_svc.messages import candidate_message, level_message
from inventory.type.v1 import lot_pb2
from inventory.type.v1.sourcing_pb2 import (
    SOURCING_STRATEGY_SINGLE_LOCATION,
    SourcingCandidate,
    SourcingStrategy,
)
from inventory.type.v1.stock_pb2 import MovementReason, StockLevel
from serving.errors import invalid_field

MAX_CLOCK_SKEW = timedelta(minutes=5)
"""How far ahead of our clock a caller's may be."""


class Keyed(Protocol):
    """A message that names a level."""

    sku: str
    location_id: str


class HasLevels(Protocol):
    """An outcome that tells which levels changed."""

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels, each once."""


class HasCandidates(Protocol):
    """An outcome that tells why locations were chosen."""

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The locations, the preferred first."""


def level_key(message: Keyed) -> LevelKey:
    """Return the level that a message names."""
    return LevelKey(message.sku, message.location_id)


def given(message: Message, field: str) -> Any:  # noqa: ANN401 - whatever the field holds
    """Return the value of an optional field, None if it is not set."""
    return getattr(message, field) if message.HasField(field) else None


def reason(value: MovementReason.ValueType) -> str:
    """Return the domain's name of a reason, "" of none."""
    return MovementReason.Name(value).removeprefix("MOVEMENT_REASON_") if value else ""


def occur_time(message: Message) -> datetime | None:
    """Return when the thing happened, None if the caller said nothing.

    Raises CallError INVALID_FIELD when it is no valid time or lies ahead of the clock.
    """
    instant = time_in(message, "occur_time")
    if instant is not None and instant > datetime.now(UTC) + MAX_CLOCK_SKEW:
        raise invalid_field("occur_time", "must not lie in the future")
    return instant


def time_in(message: Message, field: str) -> datetime | None:
    """Return the instant in a Timestamp field, None if it is not set; raises CallError INVALID_FIELD."""
    stamp: Timestamp | None = given(message, field)
    if stamp is None:
        return None
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise invalid_field(field, "must be a time from year 1 to 9999") from error


def lot_receipt(message: Message) -> LotReceipt | None:
    """Return the lot of arriving units from the field `lot`, None if it is not set."""
    lot: lot_pb2.LotReceipt | None = given(message, "lot")
    if lot is None:
        return None
    day = lot.expiry_date
    expiry = date(day.year, day.month, day.day) if lot.HasField("expiry_date") else None
    return LotReceipt(lot.lot_id, expiry, tuple(lot.serials))


def lot_choice(message: Message) -> LotChoice | None:
    """Return the lot to take units from, from the field `lot`, None if it is not set."""
    lot: lot_pb2.LotChoice | None = given(message, "lot")
    return None if lot is None else LotChoice(lot.lot_id, tuple(lot.serials))


def strategy(value: SourcingStrategy.ValueType, destination: LatLng | None) -> Strategy:
    """Return how to choose locations: from a single location, if nothing is said."""
    name = SourcingStrategy.Name(value or SOURCING_STRATEGY_SINGLE_LOCATION)
    there = None if destination is None else (destination.latitude, destination.longitude)
    return Strategy(name.removeprefix("SOURCING_STRATEGY_"), there)


def levels(outcome: HasLevels) -> Iterable[StockLevel]:
    """Return the levels that changed, as messages."""
    return [level_message(level) for level in outcome.levels]


def sourcing(outcome: HasCandidates) -> Iterable[SourcingCandidate]:
    """Return why locations were chosen, as messages."""
    return [candidate_message(candidate) for candidate in outcome.candidates]
