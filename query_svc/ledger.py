"""The ledger in PostgreSQL: every change of every level."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from inventory.type.v1.stock_pb2 import MovementKind, MovementReason, StockMovement, StockQuantities
from query_svc.database import Database, Parameters

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LAST_MICROSECOND = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // _MICROSECOND

_ITEM_EXISTS = "SELECT EXISTS (SELECT FROM items WHERE sku = %s)"
# Answered from the index by time, partition after partition, no further than the page goes. The bound on
# record_time says nothing new, but lets the partitions before it be left out.
_HISTORY = """
SELECT sku, location_id, version, kind, reason, on_hand_delta, reserved_delta, backordered_delta,
       in_transit_delta, on_hand, reserved, backordered, in_transit, actor, reference, request_id,
       transaction_id, lot_id, supplier, occur_time, record_time
FROM stock_movements
WHERE sku = %(sku)s {conditions}
ORDER BY record_time {direction}, location_id {direction}, version {direction}
LIMIT %(limit)s
"""
_OF_ACTORS = """
SELECT sku, location_id, version, kind, reason, on_hand_delta, reserved_delta, backordered_delta,
       in_transit_delta, on_hand, reserved, backordered, in_transit, actor, reference, request_id,
       transaction_id, lot_id, supplier, occur_time, record_time
FROM (SELECT DISTINCT * FROM unnest(%s::text[], %s::timestamptz[]) AS n (sku, record_time)) AS k
JOIN stock_movements USING (sku, record_time)
WHERE actor = ANY(%s)
ORDER BY record_time, sku, location_id, version
"""
_BETWEEN = "AND version > %(after)s AND version <= %(until)s"
_AT_LOCATION = "AND location_id = %(location_id)s"
_AFTER = """
  AND record_time {comparison}= %(time)s
  AND (record_time, location_id, version) {comparison} (%(time)s, %(place)s, %(version)s)
"""


_BY = "AND record_time <= %(time)s"
_WANTED = {
    "start": "AND record_time >= %(start)s",
    "end": "AND record_time < %(end)s",
    "kinds": "AND kind = ANY(%(kinds)s)",
    "reasons": "AND reason = ANY(%(reasons)s)",
    "actor": "AND actor = %(actor)s",
    "reference": "AND reference = %(reference)s",
    "lot_id": "AND lot_id = %(lot_id)s",
}


class Wanted(NamedTuple):
    """What entries of a history are asked for; what is empty asks nothing."""

    start: Timestamp | None = None
    """Recorded then or later."""
    end: Timestamp | None = None
    """Recorded before."""
    kinds: tuple[MovementKind.ValueType, ...] = ()
    reasons: tuple[MovementReason.ValueType, ...] = ()
    actor: str = ""
    reference: str = ""
    lot_id: str = ""


EVERYTHING = Wanted()


class Place(NamedTuple):
    """Where an entry stands in the order of a history. `record_time` is in microseconds since 1970."""

    record_time: int
    location_id: str
    version: int

    def is_possible(self) -> bool:
        """Tell whether an entry could stand there; what comes from outside may name no time or text."""
        return 0 <= self.record_time < _LAST_MICROSECOND and "\0" not in self.location_id


def place_of(movement: StockMovement) -> Place:
    """Return where the entry stands."""
    time = movement.record_time
    return Place(time.seconds * 1_000_000 + time.nanos // 1000, movement.location_id, movement.version)


class Ledger:
    """Reads the ledger. Every method raises DatabaseUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def item_exists(self, sku: str, seconds: float) -> bool:
        """Tell whether there is such an item; take at most `seconds`."""
        ((exists,),) = await self._rows(_ITEM_EXISTS, (sku,), seconds)
        return bool(exists)

    async def history(  # noqa: PLR0913 - what a history can be asked for
        self,
        sku: str,
        location_id: str,
        *,
        wanted: Wanted = EVERYTHING,
        newest_first: bool,
        after: Place | None,
        limit: int,
        seconds: float,
    ) -> list[StockMovement]:
        """Return up to `limit` wanted entries of an item after a place, at one location or ("") at all.

        Entries that are recorded meanwhile neither shift nor repeat what comes after a place. Takes at
        most `seconds`.
        """
        conditions, parameters = _conditions(wanted)
        parameters |= {"sku": sku, "location_id": location_id, "limit": limit}
        if location_id:
            conditions.append(_AT_LOCATION)
        if after:
            conditions.append(_AFTER.format(comparison="<" if newest_first else ">"))
            time = _instant(after.record_time)
            parameters |= {"time": time, "place": after.location_id, "version": after.version}
        statement = _HISTORY.format(
            conditions="\n  ".join(conditions), direction="DESC" if newest_first else "ASC"
        )
        return [_movement(row) for row in await self._rows(statement, parameters, seconds)]

    async def newest_entry(
        self, sku: str, location_id: str, *, by: Timestamp, seconds: float
    ) -> StockMovement | None:
        """Return the newest entry of a level that had been recorded by an instant, None without any.

        Takes at most `seconds`.
        """
        statement = _HISTORY.format(conditions=f"{_AT_LOCATION} {_BY}", direction="DESC")
        time = _instant(by.seconds * 1_000_000 + by.nanos // 1000)
        parameters = {"sku": sku, "location_id": location_id, "time": time, "limit": 1}
        return next(map(_movement, await self._rows(statement, parameters, seconds)), None)

    async def entries(
        self, sku: str, location_id: str, *, after: int, until: int, seconds: float
    ) -> list[StockMovement]:
        """Return a level's entries with versions after one and up to another, in order.

        Takes at most `seconds`.
        """
        statement = _HISTORY.format(conditions=f"{_AT_LOCATION} {_BETWEEN}", direction="ASC")
        parameters: dict[str, object] = {"sku": sku, "location_id": location_id, "limit": until - after}
        rows = await self._rows(statement, parameters | {"after": after, "until": until}, seconds)
        return [_movement(row) for row in rows]

    async def of_actors(
        self, actors: Sequence[str], recorded: Sequence[tuple[str, datetime]], seconds: float
    ) -> list[StockMovement]:
        """Return what actors have led to, for pairs of item and time of recording; take at most `seconds`."""
        skus, times = zip(*recorded, strict=True)
        rows = await self._rows(_OF_ACTORS, (list(skus), list(times), list(actors)), seconds)
        return [_movement(row) for row in rows]

    async def _rows(self, statement: str, parameters: Parameters, seconds: float) -> list[tuple[Any, ...]]:
        async with self._database.snapshot(seconds) as snapshot:
            return await snapshot.values(statement, parameters)


def _conditions(wanted: Wanted) -> tuple[list[str], dict[str, object]]:
    """Return the conditions that what is wanted must meet, and their parameters."""
    parameters: dict[str, object] = {
        "start": _at_least(wanted.start) if wanted.start else None,
        "end": _at_least(wanted.end) if wanted.end else None,
        "kinds": [MovementKind.Name(kind).removeprefix("MOVEMENT_KIND_") for kind in wanted.kinds],
        "reasons": [MovementReason.Name(one).removeprefix("MOVEMENT_REASON_") for one in wanted.reasons],
        "actor": wanted.actor,
        "reference": wanted.reference,
        "lot_id": wanted.lot_id,
    }
    parameters = {name: value for name, value in parameters.items() if value}
    return [_WANTED[name] for name in parameters], parameters


def _at_least(instant: Timestamp) -> datetime:
    """Return the first time that can have been recorded at the instant or after it."""
    return _instant(instant.seconds * 1_000_000 - -instant.nanos // 1000)


def _instant(microseconds: int) -> datetime:
    """Return the time so long after 1970, or the nearest at which an entry could have been recorded."""
    return _EPOCH + min(max(microseconds, 0), _LAST_MICROSECOND) * _MICROSECOND


def _movement(row: tuple[Any, ...]) -> StockMovement:
    sku, location_id, version, kind, reason, *figures, occur_time, record_time = row
    *quantities, actor, reference, request_id, transaction_id, lot_id, supplier = figures
    return StockMovement(
        sku=sku,
        location_id=location_id,
        version=version,
        kind=MovementKind.Value(f"MOVEMENT_KIND_{kind}"),
        reason=MovementReason.Value(f"MOVEMENT_REASON_{reason}"),
        delta=_quantities(quantities[:4]),
        result=_quantities(quantities[4:]),
        actor=actor,
        reference=reference,
        request_id=request_id,
        transaction_id=str(transaction_id),
        occur_time=_timestamp(occur_time),
        record_time=_timestamp(record_time),
        lot_id=lot_id,
        supplier=supplier,
    )


def _quantities(figures: Sequence[int]) -> StockQuantities:
    on_hand, reserved, backordered, in_transit = figures
    return StockQuantities(on_hand=on_hand, reserved=reserved, backordered=backordered, in_transit=in_transit)


def _timestamp(instant: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(instant)
    return message
