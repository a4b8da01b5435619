"""What the database itself refuses, and what is not written at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.catalog import CreateItem, CreateLocation
from command_svc.domain.commands import Command
from command_svc.domain.item import Item
from command_svc.domain.levels import MAX_QUANTITY
from command_svc.domain.location import Location
from command_svc.domain.lot import LotReceipt
from command_svc.domain.orders import PlaceOrder
from command_svc.domain.reservations import ReserveStock
from command_svc.domain.sourcing import Strategy
from command_svc.domain.stock import AddStock, AdjustStock, MoveStock, RemoveStock
from command_svc.domain.transfers import DispatchedLine, DispatchTransfer
from stack.postgres_server import MIGRATIONS
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
    "installation",
    "ledger_archives",
    "ledger_openings",
    "mv_stock_summary",
    "upkeep_jobs",
    "wal_marks",
    "schema_migrations",
    "audit_log",
    "audit_log_entry_id_seq",
    "audit_seals",
    "audit_days",
    "audit_subjects",
    "audit_batches",
    "audit_archives",
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
        "upkeep_jobs": {"SELECT", "UPDATE"},
        "mv_stock_summary": {"MAINTAIN"},
        "installation": {"SELECT"},
        "audit_days": {"SELECT"},
    },
    "query": {
        "items": {"SELECT"},
        "locations": {"SELECT"},
        "stock_levels": {"SELECT"},
        "stock_movements": {"SELECT"},
        "journal": {"SELECT"},
        **{table: {"SELECT"} for table in KEPT},
        "ledger_archives": {"SELECT"},
        "ledger_openings": {"SELECT"},
        "mv_stock_summary": {"SELECT"},
        "installation": {"SELECT"},
        "audit_log": {"SELECT"},
        "audit_seals": {"SELECT"},
        "audit_days": {"SELECT"},
        "audit_archives": {"SELECT"},
    },
    # Into the audit log it inserts, as "command" does, by rights to some columns.
    "audit": {
        "audit_subjects": {"SELECT", "INSERT", "DELETE"},
    },
    # Likewise.
    "refusals": {
        "audit_batches": {"SELECT", "INSERT", "DELETE"},
    },
    "archive": {
        "stock_movements": {"SELECT"},
        "ledger_archives": {"SELECT"},
        "audit_log": {"SELECT"},
        "audit_seals": {"SELECT"},
        "audit_days": {"SELECT"},
        "audit_archives": {"SELECT"},
    },
    "cdc": {
        "items": {"SELECT"},
        "locations": {"SELECT"},
        "journal": {"SELECT"},
    },
}

Connection = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def owner(database: RunningStack) -> Iterator[Connection]:
    """Give a transaction of the schema's owner, undone at the end."""
    with psycopg.connect(database.postgres_url("owner")) as connection:
        yield connection
        connection.rollback()


# Migrations

SCHEMA = """
SELECT 'column', attrelid::regclass::text, attname || ' ' || format_type(atttypid, atttypmod) || attnotnull
       || coalesce(pg_get_expr(adbin, adrelid), '')
FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped
-- Rows from before a migration, or left by one that was taken back, are not checked.
UNION SELECT 'constraint', conrelid::regclass::text,
    conname || ' ' || replace(pg_get_constraintdef(oid), ' NOT VALID', '')
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION SELECT 'index', tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION SELECT 'right', oid::regclass::text, acl::text
FROM pg_class, unnest(relacl) AS acl WHERE relnamespace = 'public'::regnamespace
UNION SELECT 'published', tablename, pubname FROM pg_publication_tables
UNION SELECT 'trigger', tgrelid::regclass::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION SELECT 'function', proname, proacl::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""


async def test_each_migration_can_be_taken_back_and_made_again(shop: Shop, owner: Connection) -> None:
    """With rows in the tables; a kind of item that came with a migration may have been used."""
    await shop.carry_out(
        AddStock(shop.north, 10, "RECEIPT"),
        CreateItem(Item(f"{shop.sku}-two", "Two", kind="BUNDLE", counted=False, components=((shop.sku, 2),))),
    )
    stages = []
    files = [file.read_text() for file in sorted(MIGRATIONS.glob("*.sql"))]
    # Here they are all in one transaction.
    alone = re.compile(" transaction:false| CONCURRENTLY| COMMIT;")
    sections = [alone.sub("", text).split("-- migrate:down") for text in files]
    for _, down in reversed(sections):
        stages.append(set(owner.execute(SCHEMA)))
        owner.execute(down.encode())
    assert {name for _, name, _ in owner.execute(SCHEMA)} == {"schema_migrations"}
    for up, _ in sections:
        owner.execute(up.encode())
        assert set(owner.execute(SCHEMA)) == stages.pop()


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
        "INSERT INTO wal_marks VALUES (now(), '0/0')",
        "UPDATE ledger_openings SET on_hand = 0",
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

WRITTEN = ("items", "locations", "stock_levels", "stock_movements", "requests", "journal", *KEPT)
TERMS = Terms(Strategy("PRIORITY"))


def rows(shop: Shop) -> dict[str, int]:
    """Return how many rows each table has."""
    return {table: shop.count(table) for table in WRITTEN}


def asked(shop: Shop) -> list[Command]:
    """Return commands that touch every table, each of which is accepted after those before it."""
    line, tracked = (WantedLine(*shop.north, 1),), f"{shop.sku}-lots"
    return [
        AddStock(shop.north, 10, "RECEIPT"),
        RemoveStock(shop.north, 1, "SALE"),
        AdjustStock(shop.north, "COUNT", counted=7),
        MoveStock(shop.north, shop.south, 2, "REBALANCE"),
        CreateItem(Item(f"{shop.sku}-new", "New")),
        CreateLocation(Location(f"{shop.sku}-new", "New", "STORE")),
        ReserveStock(line, timedelta(hours=1), TERMS),
        PlaceOrder(line, TERMS),
        DispatchTransfer(shop.north.location_id, "", shop.south.location_id, (DispatchedLine(shop.sku, 1),)),
        CreateItem(Item(tracked, "Lots", lot_tracked=True)),
        AddStock(shop.north._replace(sku=tracked), 1, "RECEIPT", lot=LotReceipt("one", None, ("s-1",))),
    ]


async def test_validating_alone_writes_nothing(shop: Shop) -> None:
    before = rows(shop)
    async with lane(shop.url) as batcher:
        answers = await ask(batcher, [shop.many(*asked(shop), validate_only=True)] * 2)
    assert all(isinstance(answer, bytes) for one in answers for answer in one)
    assert rows(shop) == before
    await shop.carry_out(*asked(shop))  # the ids are free, and the names
    assert shop.audit() == {shop.north: Row(4, 7), shop.south: Row(2, 2)}


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
        "items": 2,
        "locations": 1,
        "stock_levels": 3,
        "stock_movements": 10 + 200,
        "requests": 11 + 200,
        "journal": 1,
        **dict.fromkeys(KEPT, 1),
    }
