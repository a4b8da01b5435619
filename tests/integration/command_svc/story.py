"""What is decided command by command, and the proof that the database holds the same and adds up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime
from itertools import count
from typing import Any, Self, TypeVar
from uuid import UUID, uuid4

import psycopg
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from psycopg.rows import dict_row

from command_svc import journal
from command_svc.batcher import Batcher
from command_svc.domain.batch import Request, Stamp, Submission
from command_svc.domain.catalog import CreateItem, CreateLocation
from command_svc.domain.commands import Command, Outcome
from command_svc.domain.item import Item
from command_svc.domain.location import Location
from command_svc.domain.orders import OrderOutcome
from command_svc.domain.refusals import Refusal
from command_svc.domain.reservations import Resolution
from command_svc.domain.scope import Scope
from command_svc.domain.transaction import Rows, Transaction
from command_svc.domain.transfers import TransferOutcome
from command_svc.store.store import CommandStore
from inventory.journal.v1.transaction_pb2 import Transaction as Record
from tests.stack_fixture import RunningStack

T = TypeVar("T")
Row = dict[str, Any]

KINDS = ("items", "locations", "levels", "lots", "serials", "reservations", "orders", "transfers")
# Of each kind that the journal tells: its table and the columns that name a row.
TOLD = {
    "items": ("items", ("sku",)),
    "locations": ("locations", ("location_id",)),
    "levels": ("stock_levels", ("sku", "location_id")),
    "lots": ("lots", ("sku", "location_id", "lot_id")),
    "reservations": ("reservations", ("reservation_id",)),
    "orders": ("orders", ("order_id",)),
    "transfers": ("transfers", ("transfer_id",)),
    "movements": ("stock_movements", ("sku", "location_id", "version")),
}
# Messages within messages, by the field that holds them: the columns that hold one element for each.
PARTS = {
    ("reservations", "lines"): {
        "sku": "skus",
        "location_id": "location_ids",
        "lot_id": "lot_ids",
        "quantity": "quantities",
        "confirmed": "confirmed",
        "released": "released",
    },
    ("orders", "lines"): {"sku": "line_skus", "quantity": "line_quantities"},
    ("orders", "allocations"): {
        "sku": "skus",
        "location_id": "location_ids",
        "lot_id": "lot_ids",
        "quantity": "quantities",
        "backordered": "backordered",
        "shipped": "shipped",
        "cancelled": "cancelled",
        "returned": "returned",
    },
    ("transfers", "lines"): {
        "sku": "skus",
        "lot_id": "lot_ids",
        "quantity": "quantities",
        "received": "received",
        "written_off": "written_off",
        "returned": "returned",
        "serials": "serials",
    },
    ("items", "components"): {"sku": "component_skus", "quantity": "component_quantities"},
}

# Each returns what does not add up.
SUMS = {
    "the ledger sums up to the level, and its last entry says so": """
        SELECT sku, location_id FROM stock_levels AS l
        JOIN (
            SELECT sku, location_id, sum(on_hand_delta) AS on_hand, sum(reserved_delta) AS reserved,
                   sum(backordered_delta) AS backordered, sum(in_transit_delta) AS in_transit,
                   count(*) AS entries, max(version) AS version
            FROM stock_movements GROUP BY sku, location_id
        ) AS m USING (sku, location_id)
        WHERE (l.on_hand, l.reserved, l.backordered, l.in_transit, l.version, l.version)
           <> (m.on_hand, m.reserved, m.backordered, m.in_transit, m.version, m.entries)
    """,
    "each entry follows from the one before it": """
        SELECT sku, location_id, version FROM (
            SELECT *, lag(on_hand, 1, 0::bigint) OVER w + on_hand_delta AS a,
                   lag(reserved, 1, 0::bigint) OVER w + reserved_delta AS b,
                   lag(backordered, 1, 0::bigint) OVER w + backordered_delta AS c,
                   lag(in_transit, 1, 0::bigint) OVER w + in_transit_delta AS d
            FROM stock_movements WINDOW w AS (PARTITION BY sku, location_id ORDER BY version)
        ) AS m
        WHERE (on_hand, reserved, backordered, in_transit) <> (a, b, c, d)
    """,
    "the lots sum up to the level": """
        SELECT sku, location_id FROM stock_levels AS l
        LEFT JOIN (
            SELECT sku, location_id, sum(on_hand) AS on_hand, sum(reserved) AS reserved
            FROM lots GROUP BY sku, location_id
        ) AS s USING (sku, location_id)
        WHERE l.lot_tracked
          AND (l.on_hand, l.reserved) <> (coalesce(s.on_hand, 0), coalesce(s.reserved, 0))
           OR NOT l.lot_tracked AND s.on_hand IS NOT NULL
    """,
    "the ledger sums up to the lot": """
        SELECT sku, location_id, lot_id FROM lots AS l
        FULL JOIN (
            SELECT sku, location_id, lot_id, sum(on_hand_delta) AS on_hand, sum(reserved_delta) AS reserved
            FROM stock_movements WHERE lot_id <> '' GROUP BY sku, location_id, lot_id
        ) AS m USING (sku, location_id, lot_id)
        WHERE (l.on_hand, l.reserved) IS DISTINCT FROM (m.on_hand, m.reserved)
    """,
    "the serials that are present are those that the lot counts": """
        SELECT sku, location_id, lot_id FROM lots AS l
        LEFT JOIN (
            SELECT sku, location_id, lot_id, count(*) AS present
            FROM serials WHERE present GROUP BY sku, location_id, lot_id
        ) AS s USING (sku, location_id, lot_id)
        WHERE l.serials <> coalesce(s.present, 0)
    """,
    "promises sum up to what is reserved and backordered, of each lot": """
        WITH promised AS (
            SELECT p.sku, p.location_id, p.lot_id, p.quantity - p.confirmed - p.released AS reserved,
                   0 AS backordered
            FROM reservations AS r, unnest(
                r.skus, r.location_ids, r.lot_ids, r.quantities, r.confirmed, r.released
            )
                AS p (sku, location_id, lot_id, quantity, confirmed, released)
            UNION ALL
            SELECT p.sku, p.location_id, p.lot_id, p.quantity - p.backordered - p.shipped - p.cancelled,
                   p.backordered
            FROM orders AS o, unnest(
                o.skus, o.location_ids, o.lot_ids, o.quantities, o.backordered, o.shipped, o.cancelled
            ) AS p (sku, location_id, lot_id, quantity, backordered, shipped, cancelled)
        ), kept AS (
            SELECT sku, location_id, '' AS lot_id, reserved, backordered
            FROM stock_levels WHERE NOT lot_tracked
            UNION ALL
            SELECT sku, location_id, '', 0, backordered FROM stock_levels WHERE lot_tracked
            UNION ALL
            SELECT sku, location_id, lot_id, reserved, 0 FROM lots
        )
        SELECT sku, location_id, lot_id FROM kept
        FULL JOIN (
            SELECT sku, location_id, lot_id, sum(reserved) AS reserved, sum(backordered) AS backordered
            FROM promised GROUP BY sku, location_id, lot_id
        ) AS p USING (sku, location_id, lot_id)
        WHERE (coalesce(kept.reserved, 0), coalesce(kept.backordered, 0))
           <> (coalesce(p.reserved, 0), coalesce(p.backordered, 0))
    """,
    "who waits is found by the level": """
        SELECT sku, location_id FROM (
            SELECT h.sku, h.location_id, h.backordered > 0 AS waits,
                   h.sku || ' ' || h.location_id = ANY(o.waiting) AS found
            FROM orders AS o, unnest(o.skus, o.location_ids, o.backordered)
                AS h (sku, location_id, backordered)
        ) AS w GROUP BY sku, location_id HAVING bool_or(waits) <> bool_or(found)
    """,
    "transfers sum up to what is in transit": """
        SELECT sku, location_id FROM stock_levels AS l
        FULL JOIN (
            SELECT h.sku, t.destination_location_id AS location_id,
                   sum(h.quantity - h.received - h.written_off - h.returned) AS under_way
            FROM transfers AS t, unnest(t.skus, t.quantities, t.received, t.written_off, t.returned)
                AS h (sku, quantity, received, written_off, returned)
            GROUP BY h.sku, t.destination_location_id
        ) AS t USING (sku, location_id)
        WHERE coalesce(l.in_transit, 0) <> coalesce(t.under_way, 0)
    """,
}


class Story:
    """Commands on items and places of its own, through a lane; use as an async context manager."""

    def __init__(self, stack: RunningStack) -> None:
        self._owner = psycopg.connect(stack.postgres_url("owner"), row_factory=dict_row, autocommit=True)
        self._told: list[Transaction] = []
        self._store = CommandStore(
            stack.postgres_url("command"),
            self._keep,
            connections=2,
            statement_timeout=10.0,
            connect_timeout=5.0,
        )
        self._batcher = Batcher(self._store)
        self._open = AsyncExitStack()
        self._name = uuid4().hex[:8]
        self._numbers = count()

    async def __aenter__(self) -> Self:
        self._open.enter_context(self._owner)
        await self._open.enter_async_context(self._store)
        await self._open.enter_async_context(self._batcher)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    def name(self, word: str) -> str:
        """Return an id of this story's own."""
        return f"{word}-{self._name}"

    async def item(self, word: str, **facts: Any) -> str:  # noqa: ANN401 - fields of Item
        """Create an item; return its SKU."""
        await self.all(CreateItem(Item(self.name(word), word, **facts)))
        return self.name(word)

    async def place(self, word: str, **facts: Any) -> str:  # noqa: ANN401 - fields of Location
        """Create a location; return its id."""
        await self.all(CreateLocation(Location(self.name(word), word, "WAREHOUSE", **facts)))
        return self.name(word)

    async def one(self, command: Command, kind: type[T]) -> T:
        """Carry out a command; return its outcome, which is of the kind named."""
        (outcome,) = await self.all(command)
        assert isinstance(outcome, kind)
        self._check_answer(outcome)
        return outcome

    async def all(self, *commands: Command) -> list[Outcome]:
        """Carry out commands in one transaction; return the outcomes, none of which is a refusal."""
        outcomes = await self.each(*commands)
        refused = [outcome for outcome in outcomes if isinstance(outcome, str)]
        assert not refused, refused
        return [outcome for outcome in outcomes if not isinstance(outcome, str)]

    async def each(self, *commands: Command) -> list[Outcome | str]:
        """Carry out commands in one transaction, each by itself; return outcomes, or reasons of refusals."""
        outcomes: dict[int, Outcome] = {}

        def request(number: int, command: Command) -> Request:
            def encode(outcome: Outcome, _: Stamp | None) -> bytes:
                outcomes[number] = outcome
                return b"answer"

            request_id = f"{self._name}-{next(self._numbers)}"
            return Request(request_id, repr(command).encode(), "teller", command, encode)

        requests = tuple(request(number, command) for number, command in enumerate(commands))
        verdicts = await self._batcher.submit(Submission(requests))
        return [
            verdict.reason if isinstance(verdict, Refusal) else outcomes[number]
            for number, verdict in enumerate(verdicts)
        ]

    def ask(self, statement: str, *parameters: object) -> list[Row]:
        """Return the rows of a query."""
        return self._owner.execute(statement.encode(), parameters).fetchall()

    def history(self, sku: str, location_id: str) -> list[tuple[Any, ...]]:
        """Return the entries of a level: kind, reason, the four deltas and the lot."""
        entries = self.ask(
            "SELECT kind, reason, on_hand_delta, reserved_delta, backordered_delta, in_transit_delta, lot_id"
            " FROM stock_movements WHERE sku = %s AND location_id = %s ORDER BY version",
            sku,
            location_id,
        )
        return [tuple(entry.values()) for entry in entries]

    async def check(self) -> Transaction:
        """Check that the database holds what was decided, adds up, and tells it in its journal.

        Returns all of it, as the store reads it.
        """
        found = await self.read()
        for kind in KINDS:
            assert dict(getattr(found, kind)) == self._decided(kind), kind
        self.check_sums()
        self._check_journal()
        return found

    def check_sums(self) -> None:
        """Check that what the tables say of the story's items adds up."""
        for rule, statement in SUMS.items():
            mine = [row for row in self.ask(statement) if str(row["sku"]).endswith(self._name)]
            assert mine == [], rule

    async def read(self) -> Transaction:
        """Return all that was decided upon, as the store reads it."""
        scope = Scope(
            levels=set(self._decided("levels")),
            items=set(self._decided("items")),
            locations=set(self._decided("locations")),
            reservations=set(self._decided("reservations")),
            orders=set(self._decided("orders")),
            transfers=set(self._decided("transfers")),
            lots={key.lot_id for key in self._decided("lots")},
            serials=set(self._decided("serials")),
        )
        seen: list[Transaction] = []
        await self._store.transact(scope, seen.append)
        return seen[-1]

    def _check_answer(self, outcome: object) -> None:
        """Check that the answer to a lone command tells the rows as its transaction leaves them."""
        last = self._told[-1]
        match outcome:
            case OrderOutcome():
                assert outcome.order == last.orders[outcome.order.order_id]
                levels = outcome.levels
            case TransferOutcome():
                assert outcome.transfer == last.transfers[outcome.transfer.transfer_id]
                levels = outcome.levels
            case Resolution():
                assert outcome.reservation == last.reservations[outcome.reservation.reservation_id]
                levels = outcome.levels
            case _:
                return
        assert all(last.levels[level.key] == level for level in levels)

    def _keep(self, transaction: Transaction) -> Sequence[bytes]:
        self._told.append(transaction)
        return journal.encode(transaction)

    def _decided(self, kind: str) -> dict[Any, Any]:
        """Return the rows of a kind as the last transaction that changed them left them."""
        last: dict[Any, Any] = {}
        for transaction in self._told:
            rows: Rows[Any, Any] = getattr(transaction, kind)
            last.update((key, rows[key]) for key in rows.before if key in rows)
        return last

    def _check_journal(self) -> None:
        """Check that whoever folds the journal, taking only what is newer, has the rows of the tables."""
        told: dict[str, dict[tuple[Any, ...], Message]] = defaultdict(dict)
        for record in self._records():
            for kind, (_, key) in TOLD.items():
                for message in getattr(record, kind):
                    name = tuple(_value(message, field) for field in key)
                    before = told[kind].get(name)
                    if before is None or _value(before, "version") < _value(message, "version"):
                        told[kind][name] = message
        for kind, messages in told.items():
            table, key = TOLD[kind]
            for name, message in messages.items():
                same = " AND ".join(f"{column}::text = %s" for column in key)
                (row,) = self.ask(f"SELECT * FROM {table} WHERE {same}", *map(str, name))  # noqa: S608
                assert _told_of(kind, message) == _told_in(kind, message, row)

    def _records(self) -> Iterable[Record]:
        for transaction in self._told:
            rows = self.ask("SELECT * FROM journal WHERE id = %s ORDER BY part", transaction.id)
            assert [row["part"] for row in rows] == list(range(1, rows[0]["part_count"] + 1))
            for row in rows:
                record = Record.FromString(row["payload"])
                assert UUID(record.transaction_id) == transaction.id
                yield record


def _told_of(kind: str, message: Message) -> Row:
    """Return what a message says, in the words of its table's columns."""
    said: Row = {}
    for field in message.DESCRIPTOR.fields:
        if (columns := PARTS.get((kind, field.name))) is not None:
            parts = getattr(message, field.name)
            for name, column in columns.items():
                values = [getattr(part, name) for part in parts]
                said[column] = [list(one) for one in values] if name == "serials" else values
        elif field.name in {"delta", "result"}:
            end = "_delta" if field.name == "delta" else ""
            quantities = getattr(message, field.name)
            said |= {
                f"{one.name}{end}": getattr(quantities, one.name) for one in quantities.DESCRIPTOR.fields
            }
        elif field.name == "address":
            address = getattr(message, field.name)
            said |= {one.name: getattr(address, one.name) for one in address.DESCRIPTOR.fields}
            said["address_lines"] = list(said.pop("lines"))
        elif field.name in {"dimensions", "coordinates"}:
            there = message.HasField(field.name)
            part = getattr(message, field.name)
            said |= {one.name: getattr(part, one.name) if there else None for one in part.DESCRIPTOR.fields}
        else:
            said[field.name] = _value(message, field.name)
    return said


def _told_in(kind: str, message: Message, row: Row) -> Row:
    """Return the columns of a row that the message tells of too, and what follows from them."""
    row = {name: str(value) if isinstance(value, UUID) else value for name, value in row.items()}
    if kind == "levels":
        available = row["on_hand"] - row["reserved"]
        row["available"] = available
        row["sellable"] = max(0, available - row["safety_stock"])
        row["low"] = available + row["in_transit"] - row["backordered"] <= row["reorder_point"]
    if kind == "items":
        row["counted"] = row["kind"] == "PHYSICAL" or row["licensed"]
    if kind == "lots":
        row["serial_count"] = row["serials"]
    return {name: row[name] for name in _told_of(kind, message)}


def _value(message: Message, name: str) -> Any:  # noqa: ANN401 - of any type that a column has
    field = message.DESCRIPTOR.fields_by_name[name]
    value = getattr(message, name)
    if field.type == FieldDescriptor.TYPE_ENUM:
        assert field.enum_type is not None
        return _word(field.enum_type.name, field.enum_type.values_by_number[value].name)
    if isinstance(value, Timestamp):
        return value.ToDatetime(UTC) if message.HasField(name) else None
    if isinstance(value, Date):
        return date(value.year, value.month, value.day) if message.HasField(name) else None
    if isinstance(value, str | int | float | bool | datetime):
        return value
    return dict(value) if hasattr(value, "items") else list(value)


def _word(enum: str, value: str) -> str:
    """Return ITEM_KIND_BUNDLE of ItemKind as BUNDLE."""
    prefix = "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in enum)
    return value.removeprefix(f"{prefix.removeprefix('_')}_")
