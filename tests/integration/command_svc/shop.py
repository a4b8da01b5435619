"""An item and two places of a test's own, and what the database says about them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import psycopg

from command_svc.domain.batch import Request, Submission
from command_svc.domain.catalog import CreateItem, CreateLocation
from command_svc.domain.commands import Command
from command_svc.domain.item import Item
from command_svc.domain.levels import LevelKey
from command_svc.domain.location import Location
from tests.integration.command_svc.lanes import ask, lane
from tests.stack_fixture import RunningStack
from tests.unit.command_svc.making import request

_numbers = count()


class Row(NamedTuple):
    """A level as its row says."""

    on_hand: int
    version: int


@dataclass(frozen=True)
class Shop:
    """An item that is at the places `north` and `south`, or may be."""

    stack: RunningStack
    sku: str
    north: LevelKey
    south: LevelKey

    @property
    def url(self) -> str:
        """The database as the command service sees it."""
        return self.stack.postgres_url("command")

    def request(self, command: Command, name: str = "", body: bytes | None = None) -> Request:
        """Return a request; those of the same name have the same id, those of none have each their own."""
        return request(command, f"{self.sku}-{name or next(_numbers)}", body)

    def one(self, command: Command, name: str = "", body: bytes | None = None) -> Submission:
        """Return a submission of one request."""
        return Submission((self.request(command, name, body),))

    def many(self, *commands: Command, atomic: bool = False, validate_only: bool = False) -> Submission:
        """Return a submission of requests, each under an id of its own."""
        return Submission(tuple(map(self.request, commands)), atomic, validate_only)

    async def carry_out(self, *commands: Command) -> None:
        """Carry out commands in one transaction; fail if one is refused."""
        async with lane(self.url) as batcher:
            (answers,) = await ask(batcher, [self.many(*commands)])
        assert all(isinstance(answer, bytes) for answer in answers), answers

    def ask(self, statement: str, parameters: dict[str, object] | None = None) -> list[tuple[Any, ...]]:
        """Return the rows of a query about the item, whose SKU is the parameter `sku`."""
        with psycopg.connect(self.stack.postgres_url("owner")) as connection:
            return connection.execute(statement, {"sku": self.sku, **(parameters or {})}).fetchall()

    def ids(self, table: str) -> set[UUID]:
        """Return the ids of the shop's reservations, orders or transfers."""
        rows = self.ask(f"SELECT {table[:-1]}_id FROM {table} WHERE skus[1] = %(sku)s")  # noqa: S608
        return {name for (name,) in rows}

    def count(self, table: str) -> int:
        """Return how many rows a whole table has."""
        ((number,),) = self.ask(f"SELECT count(*) FROM {table}")  # noqa: S608 - a name of our own
        return int(number)

    def audit(self) -> dict[LevelKey, Row]:
        """Check that the ledger explains every row of the item; return the rows.

        Versions are dense from 1, every entry follows from the one before it, none leaves less than
        nothing, and the last one is the row.
        """
        entries = self.ask(
            "SELECT location_id, version, on_hand_delta, on_hand, record_time FROM stock_movements"
            " WHERE sku = %(sku)s ORDER BY location_id, version"
        )
        ledger: dict[LevelKey, Row] = {}
        times: dict[LevelKey, Any] = {}
        for location_id, version, delta, on_hand, record_time in entries:
            key = LevelKey(self.sku, location_id)
            before = ledger.get(key, Row(0, 0))
            assert (version, on_hand) == (before.version + 1, before.on_hand + delta)
            assert on_hand >= 0
            assert times.get(key, record_time) <= record_time
            ledger[key], times[key] = Row(on_hand, version), record_time
        rows = {
            LevelKey(self.sku, location_id): Row(on_hand, version)
            for location_id, on_hand, version in self.ask(
                "SELECT location_id, on_hand, version FROM stock_levels WHERE sku = %(sku)s"
            )
        }
        assert rows == ledger
        return rows


async def open_shop(stack: RunningStack) -> Shop:
    """Return a new item and two new places, without stock."""
    # Upper and lower case, a stop and a dash: in the order of a dictionary they would stand otherwise.
    name = uuid4().hex[:8]
    sku, north, south = f"sku-{name}", f"north.{name}", f"South-{name}"
    shop = Shop(stack, sku, LevelKey(sku, north), LevelKey(sku, south))
    await shop.carry_out(
        CreateItem(Item(sku, "Mug")),
        CreateLocation(Location(north, "North", "STORE")),
        CreateLocation(Location(south, "South", "WAREHOUSE")),
    )
    return shop
