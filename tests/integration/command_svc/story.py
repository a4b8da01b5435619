"""What is decided command by command, and the proof that the database holds the same and adds up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from itertools import count
from typing import Any, Self, TypeVar
from uuid import UUID, uuid4

import psycopg
from google.protobuf.message import Message
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
from tests.integration.command_svc.sums import SUMS
from tests.integration.command_svc.told import TOLD, Row, told_in, told_of, value_of
from tests.stack_fixture import RunningStack

T = TypeVar("T")
KINDS = ("items", "locations", "levels", "lots", "serials", "reservations", "orders", "transfers")


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
                    name = tuple(value_of(message, field) for field in key)
                    before = told[kind].get(name)
                    if before is None or value_of(before, "version") < value_of(message, "version"):
                        told[kind][name] = message
        for kind, messages in told.items():
            table, key = TOLD[kind]
            for name, message in messages.items():
                same = " AND ".join(f"{column}::text = %s" for column in key)
                (row,) = self.ask(f"SELECT * FROM {table} WHERE {same}", *map(str, name))  # noqa: S608
                assert told_of(kind, message) == told_in(kind, message, row)

    def _records(self) -> Iterable[Record]:
        for transaction in self._told:
            rows = self.ask("SELECT * FROM journal WHERE id = %s ORDER BY part", transaction.id)
            assert [row["part"] for row in rows] == list(range(1, rows[0]["part_count"] + 1))
            for row in rows:
                record = Record.FromString(row["payload"])
                assert UUID(record.transaction_id) == transaction.id
                yield record
