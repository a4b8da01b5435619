"""What the database itself refuses, and what is not written at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, LiteralString

import psycopg
import pytest

from command_svc.domain.batch import Command
from command_svc.domain.catalog import CreateItem, CreateLocation, Item, Location
from command_svc.domain.levels import MAX_QUANTITY
from command_svc.domain.stock import AddStock, AdjustStock, MoveStock, RemoveStock
from tests.integration.command_svc.lanes import ask, lane
from tests.integration.command_svc.shop import Row, Shop
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack

TABLES = {
    "items",
    "locations",
    "stock_levels",
    "stock_movements",
    "requests",
    "journal",
    "reservations",
    "orders",
    "transfers",
    "lots",
    "serials",
    "cdc_heartbeat",
    "schema_migrations",
}
# What is promised and kept beside the levels: rows that change and never go.
KEPT = ("reservations", "orders", "transfers", "lots", "serials")
PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN")
# What each role may do, and with which tables; with everything else, its partitions among it, nothing.
RIGHTS: dict[str, dict[str, set[str]]] = {
    "command": {
        "items": {"SELECT", "INSERT", "UPDATE"},
        "locations": {"SELECT", "INSERT", "UPDATE"},
        "stock_levels": {"SELECT", "INSERT", "UPDATE"},
        "stock_movements": {"SELECT", "INSERT"},
        "requests": {"SELECT", "INSERT"},
        "journal": {"SELECT", "INSERT"},
        **{table: {"SELECT", "INSERT", "UPDATE"} for table in KEPT},
    },
    "query": {
        "items": {"SELECT"},
        "locations": {"SELECT"},
        "stock_levels": {"SELECT"},
        "stock_movements": {"SELECT"},
        "journal": {"SELECT"},
        **{table: {"SELECT"} for table in KEPT},
    },
    "cdc": {
        "items": {"SELECT"},
        "locations": {"SELECT"},
        "journal": {"SELECT"},
        "cdc_heartbeat": {"SELECT", "UPDATE"},
    },
}

Connection = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def owner(database: RunningStack) -> Iterator[Connection]:
    """Give a transaction of the schema's owner, undone at the end."""
    with psycopg.connect(database.postgres_url("owner")) as connection:
        yield connection
        connection.rollback()


# Constraints


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("on_hand = -1", "on_hand_range"),
        (f"on_hand = {MAX_QUANTITY + 1}", "on_hand_range"),
        ("reserved = -1", "reserved_within_on_hand"),
        ("reserved = on_hand + 1", "reserved_within_on_hand"),
        ("on_hand = 0, reserved = 1", "reserved_within_on_hand"),
        ("backordered = -1", "backordered_within_limit"),
        ("backorder_limit = 3, backordered = 4", "backordered_within_limit"),
        ("in_transit = -1", "in_transit_not_negative"),
        ("safety_stock = -1", "policy_not_negative"),
        ("reorder_point = -1", "policy_not_negative"),
        ("backorder_limit = -1", None),
        ("version = 0", "stock_levels_version_check"),
    ],
)
async def test_a_level_that_cannot_be_is_refused(
    shop: Shop, owner: Connection, change: LiteralString, constraint: str | None
) -> None:
    await shop.carry_out(AddStock(shop.north, 10, "RECEIPT"))
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        owner.execute(f"UPDATE stock_levels SET {change} WHERE sku = %s", (shop.sku,))  # noqa: S608
    assert constraint in {None, refused.value.diag.constraint_name}


@pytest.mark.parametrize(
    "change",
    [
        f"on_hand = {MAX_QUANTITY}, reserved = {MAX_QUANTITY}",
        "on_hand = 0",
        "backorder_limit = 3, backordered = 3",
    ],
)
async def test_a_level_on_the_edge_is_taken(shop: Shop, owner: Connection, change: LiteralString) -> None:
    await shop.carry_out(AddStock(shop.north, 10, "RECEIPT"))
    done = owner.execute(f"UPDATE stock_levels SET {change} WHERE sku = %s", (shop.sku,))  # noqa: S608
    assert done.rowcount == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE items SET kind = 'BUNDLE' WHERE sku = %(sku)s",
        "UPDATE items SET state = 'GONE' WHERE sku = %(sku)s",
        "UPDATE items SET version = 0 WHERE sku = %(sku)s",
        "UPDATE locations SET kind = 'SHIP' WHERE location_id = %(place)s",
        "UPDATE locations SET state = 'ARCHIVED' WHERE location_id = %(place)s",
        "UPDATE locations SET version = 0 WHERE location_id = %(place)s",
        "UPDATE locations SET priority = -1 WHERE location_id = %(place)s",
        "UPDATE locations SET latitude = 90.1, longitude = 0 WHERE location_id = %(place)s",
        "UPDATE locations SET latitude = 0, longitude = -180.1 WHERE location_id = %(place)s",
        "UPDATE locations SET latitude = 'NaN', longitude = 0 WHERE location_id = %(place)s",
        "UPDATE locations SET latitude = 1 WHERE location_id = %(place)s",
        "UPDATE stock_movements SET version = 0 WHERE sku = %(sku)s",
        "INSERT INTO cdc_heartbeat VALUES (2, now())",
    ],
)
async def test_a_row_that_cannot_be_is_refused(
    shop: Shop, owner: Connection, statement: LiteralString
) -> None:
    await shop.carry_out(AddStock(shop.north, 10, "RECEIPT"))
    with pytest.raises(psycopg.errors.CheckViolation):
        owner.execute(statement, {"sku": shop.sku, "place": shop.north.location_id})


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM items WHERE sku = %(sku)s",
        "DELETE FROM locations WHERE location_id = %(place)s",
        "UPDATE items SET sku = 'other' WHERE sku = %(sku)s",
        "UPDATE stock_levels SET location_id = 'nowhere' WHERE sku = %(sku)s",
    ],
)
async def test_a_level_keeps_its_item_and_its_location(
    shop: Shop, owner: Connection, statement: LiteralString
) -> None:
    await shop.carry_out(AddStock(shop.north, 10, "RECEIPT"))
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        owner.execute(statement, {"sku": shop.sku, "place": shop.north.location_id})


@pytest.mark.parametrize(
    "table", ["items", "locations", "stock_levels", "stock_movements", "requests", "journal"]
)
async def test_nothing_is_there_twice(shop: Shop, owner: Connection, table: LiteralString) -> None:
    await shop.carry_out(AddStock(shop.north, 10, "RECEIPT"))
    column = {"locations": "location_id", "requests": "request_id", "journal": "id"}.get(table, "sku")
    (row,) = owner.execute(f"SELECT {column} FROM {table} LIMIT 1").fetchall()  # noqa: S608
    with pytest.raises(psycopg.errors.UniqueViolation):
        owner.execute(f"INSERT INTO {table} SELECT * FROM {table} WHERE {column} = %s", row)  # noqa: S608


# Rights


@pytest.mark.parametrize("role", RIGHTS)
def test_a_role_has_the_rights_it_needs_and_no_other(owner: Connection, role: str) -> None:
    relations = owner.execute(
        "SELECT relname, relispartition FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f')"
    ).fetchall()
    assert {name for name, is_partition in relations if not is_partition} == TABLES
    held = {
        name: {
            privilege
            for privilege in PRIVILEGES
            if owner.execute(
                "SELECT has_table_privilege(%s, %s, %s)", (f"inventory_{role}", f"public.{name}", privilege)
            ).fetchone()
            == (True,)
        }
        for name, _ in relations
    }
    assert {name: rights for name, rights in held.items() if rights} == RIGHTS[role]


@pytest.mark.parametrize("role", RIGHTS)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stock_movements SET on_hand = 0",
        "DELETE FROM stock_movements",
        "TRUNCATE stock_movements",
        "UPDATE requests SET response = ''",
        "DELETE FROM requests",
        "TRUNCATE requests",
        "UPDATE journal SET payload = ''",
        "DELETE FROM journal",
        "TRUNCATE journal",
        "DELETE FROM stock_levels",
        "DELETE FROM reservations",
        "DELETE FROM orders",
        "DELETE FROM transfers",
        "DELETE FROM lots",
        "DELETE FROM serials",
        "DELETE FROM items",
        "DELETE FROM locations",
        "TRUNCATE stock_levels, items, locations",
        "CREATE TABLE mine (a int)",
        "DROP TABLE stock_movements",
        "ALTER TABLE stock_levels DROP CONSTRAINT on_hand_range",
        "SET ROLE inventory_owner",
    ],
)
def test_nobody_but_the_owner_rewrites_the_past(database: RunningStack, role: str, statement: str) -> None:
    with (
        psycopg.connect(database.postgres_url(role)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO items SELECT * FROM items",
        "UPDATE items SET name = ''",
        "UPDATE stock_levels SET on_hand = 0",
        "INSERT INTO stock_movements SELECT * FROM stock_movements",
        "INSERT INTO journal SELECT * FROM journal",
        "SELECT * FROM requests",
        "SELECT * FROM stock_levels FOR UPDATE",
        "SELECT create_partitions()",
    ],
)
def test_the_query_service_only_reads(database: RunningStack, statement: str) -> None:
    with (
        psycopg.connect(database.postgres_url("query")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())


async def test_the_service_makes_partitions_without_owning_the_tables(shop: Shop) -> None:
    with psycopg.connect(shop.url) as connection:
        assert connection.execute("SELECT create_partitions()").fetchone() is not None
    ahead = {
        table: shop.ask(
            "SELECT count(*) FROM pg_inherits WHERE inhparent = %(table)s::regclass", {"table": table}
        )[0][0]
        for table in ("stock_movements", "requests", "journal")
    }
    # This month and three to come; today and seven days to come.
    assert ahead["stock_movements"] >= 4
    assert ahead["requests"] >= 8
    assert ahead["journal"] >= 8


# What is not written

WRITTEN = ("items", "locations", "stock_levels", "stock_movements", "requests", "journal")


def rows(shop: Shop) -> dict[str, int]:
    """Return how many rows each table has."""
    return {table: shop.count(table) for table in WRITTEN}


def asked(shop: Shop) -> list[Command]:
    """Return a command of every kind, each of which is accepted after the first."""
    return [
        AddStock(shop.north, 10, "RECEIPT"),
        RemoveStock(shop.north, 1, "SALE"),
        AdjustStock(shop.north, "COUNT", counted=7),
        MoveStock(shop.north, shop.south, 2, "REBALANCE"),
        CreateItem(Item(f"{shop.sku}-new", "New")),
        CreateLocation(Location(f"{shop.sku}-new", "New", "STORE")),
    ]


async def test_validating_alone_writes_nothing(shop: Shop) -> None:
    before = rows(shop)
    async with lane(shop.url) as batcher:
        answers = await ask(batcher, [shop.many(*asked(shop), validate_only=True)] * 2)
    assert all(isinstance(answer, bytes) for one in answers for answer in one)
    assert rows(shop) == before
    await shop.carry_out(*asked(shop))  # the ids are free, and the names
    assert shop.audit() == {shop.north: Row(5, 4), shop.south: Row(2, 1)}


async def test_a_transaction_of_refusals_writes_nothing(shop: Shop) -> None:
    await shop.carry_out(AddStock(shop.north, 1, "RECEIPT"))
    before = rows(shop)
    refused: list[Command] = [
        RemoveStock(shop.north, 2, "SALE"),
        MoveStock(shop.north, shop.south, 2, "REBALANCE"),
        AdjustStock(shop.north, "COUNT", counted=3, expected_version=9),
        AddStock(shop.north._replace(sku="no-such-item"), 1, "RECEIPT"),
        AddStock(shop.north._replace(location_id="no-such-place"), 1, "RECEIPT"),
        AddStock(shop.south, MAX_QUANTITY + 1, "RECEIPT"),
        CreateItem(Item(shop.sku, "Again")),
        CreateLocation(Location(shop.north.location_id, "Again", "STORE")),
    ]
    async with lane(shop.url) as batcher:
        (answers,) = await ask(batcher, [shop.many(*refused)])
        (atomic,) = await ask(
            batcher, [shop.many(AddStock(shop.north, 1, "RECEIPT"), refused[-1], atomic=True)]
        )
    assert answers == [
        "INSUFFICIENT_STOCK",
        "INSUFFICIENT_STOCK",
        "VERSION_MISMATCH",
        "ITEM_NOT_FOUND",
        "LOCATION_NOT_FOUND",
        "QUANTITY_OUT_OF_RANGE",
        "ITEM_ALREADY_EXISTS",
        "LOCATION_ALREADY_EXISTS",
    ]
    assert atomic == ["LOCATION_ALREADY_EXISTS"] * 2
    assert rows(shop) == before


async def test_one_transaction_is_one_row_of_the_journal(shop: Shop) -> None:
    before = rows(shop)
    await shop.carry_out(*asked(shop), *[AddStock(shop.south, 1, "RECEIPT")] * 200)
    after = rows(shop)
    assert {table: after[table] - before[table] for table in WRITTEN} == {
        "items": 1,
        "locations": 1,
        "stock_levels": 2,
        "stock_movements": 5 + 200,
        "requests": 6 + 200,
        "journal": 1,
    }
