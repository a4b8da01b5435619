"""The constraints of the tables: each is broken by a row, and there is none that is not tried here."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.catalog import CreateItem
from command_svc.domain.item import Item
from command_svc.domain.levels import MAX_QUANTITY
from command_svc.domain.lot import LotReceipt
from command_svc.domain.orders import PlaceOrder
from command_svc.domain.reservations import ReserveStock
from command_svc.domain.sourcing import Strategy
from command_svc.domain.stock import AddStock
from command_svc.domain.transfers import DispatchedLine, DispatchTransfer
from tests.integration.command_svc.shop import Shop
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack

Connection = psycopg.Connection[tuple[Any, ...]]

# Of each table, which rows are the shop's: one at least.
MINE = {
    "items": "sku = %(sku)s",
    "locations": "location_id = %(place)s",
    "stock_levels": "sku = %(sku)s AND location_id = %(place)s",
    "stock_movements": "sku = %(sku)s",
    "requests": "request_id LIKE %(sku)s || '%%'",
    "journal": "id IN (SELECT transaction_id FROM stock_movements WHERE sku = %(sku)s)",
    "lots": "sku = %(sku)s || '-lots'",
    "serials": "sku = %(sku)s || '-lots'",
    "reservations": "skus[1] = %(sku)s",
    "orders": "skus[1] = %(sku)s",
    "transfers": "skus[1] = %(sku)s",
    "ledger_openings": "sku = %(sku)s",
    "installation": "true",
    "audit_log": "skus = ARRAY[%(sku)s]",
    "audit_seals": "seal = %(sku)s::bytea",
}


def parallel(columns: str) -> list[str]:
    """Return a change of each array that makes it longer than the others."""
    return [f"{column} = {column} || {column}[1]" for column in columns.split()]


def empty(columns: str) -> str:
    """Return the change that leaves nothing in each array."""
    return ", ".join(f"{column} = '{{}}'" for column in columns.split())


# What a row must not become: by the constraint that refuses it, `table.constraint`.
BROKEN: dict[str, list[str]] = {
    "items.items_kind_check": ["kind = 'SERVICE'"],
    "items.items_state_check": ["state = 'GONE'"],
    "items.items_version_check": ["version = 0"],
    "items.components_are_parallel": ["component_quantities = '{1}'", "component_skus = NULL"],
    "items.bundles_have_components": [
        "kind = 'BUNDLE'",
        "component_skus = '{mug}', component_quantities = '{1}'",
    ],
    "items.only_goods_have_lots": ["kind = 'DIGITAL', lot_tracked = true"],
    "locations.locations_kind_check": ["kind = 'SHIP'"],
    "locations.locations_state_check": ["state = 'ARCHIVED'"],
    "locations.locations_version_check": ["version = 0"],
    "locations.locations_priority_check": ["priority = -1"],
    "locations.locations_latitude_check": [
        "latitude = 90.1, longitude = 0",
        "latitude = 'NaN', longitude = 0",
    ],
    "locations.locations_longitude_check": ["latitude = 0, longitude = -180.1"],
    "locations.locations_check": ["latitude = 1", "longitude = 1"],
    "stock_levels.on_hand_range": ["on_hand = -1", f"on_hand = {MAX_QUANTITY + 1}"],
    "stock_levels.reserved_within_on_hand": [
        "reserved = -1",
        "reserved = on_hand + 1",
        "on_hand = 0, reserved = 1",
    ],
    "stock_levels.backordered_within_limit": [
        "backordered = -1",
        "backorder_limit = 3, backordered = 4",
        "backorder_limit = -1",
    ],
    "stock_levels.in_transit_not_negative": ["in_transit = -1"],
    "stock_levels.policy_not_negative": ["safety_stock = -1", "reorder_point = -1"],
    "stock_levels.stock_levels_version_check": ["version = 0"],
    "stock_movements.stock_movements_version_check": ["version = 0"],
    "lots.lot_on_hand_not_negative": ["on_hand = -1, reserved = 0, serials = 0"],
    "lots.lot_reserved_within_on_hand": ["reserved = -1", "reserved = on_hand + 1"],
    "lots.lot_serials_within_on_hand": ["serials = -1", "serials = on_hand + 1"],
    "lots.lots_version_check": ["version = 0"],
    "reservations.reservations_state_check": ["state = 'OPEN'"],
    "reservations.reservations_version_check": ["version = 0"],
    "reservations.lines_are_parallel": [
        *parallel("skus location_ids lot_ids quantities confirmed released"),
        empty("skus location_ids lot_ids quantities confirmed released"),
    ],
    "orders.orders_state_check": ["state = 'PENDING'"],
    "orders.orders_version_check": ["version = 0"],
    "orders.order_lines_are_parallel": [
        *parallel("line_skus line_quantities"),
        empty("line_skus line_quantities"),
    ],
    "orders.allocations_are_parallel": parallel(
        "skus location_ids lot_ids quantities backordered shipped cancelled returned"
    ),
    "transfers.transfers_state_check": ["state = 'OPEN'"],
    "transfers.transfers_version_check": ["version = 0"],
    "transfers.one_origin": ["supplier = 'ACME'", "source_location_id = ''"],
    "transfers.transfer_lines_are_parallel": [
        *parallel("skus lot_ids quantities received written_off returned"),
        "serials = '[[], []]'",
        f"{empty('skus lot_ids quantities received written_off returned')}, serials = '[]'",
    ],
    "ledger_openings.ledger_openings_version_check": ["version = 0"],
    "installation.installation_is_the_one_check": ["is_the_one = false"],
    "audit_log.audit_log_calls_check": ["calls = 0"],
    "audit_log.day_of_record_time": ["record_time = record_time - interval '1 day'"],
    "audit_seals.audit_seals_position_check": ["position = 0"],
}
ENTRY = """
INSERT INTO audit_log (
    day, record_time, method, verdict, actor, proof, source, request_id, trace_id, skus, location_ids
) SELECT (now() AT TIME ZONE 'UTC')::date, now(), 'AddStock', 'OK', 'me', '', '', '', '', ARRAY[%s], ARRAY[%s]
"""
# At a place that no chain has come to.
SEAL = """
INSERT INTO audit_seals (day, position, transaction_number, entry_id, seal)
SELECT (now() AT TIME ZONE 'UTC')::date, greatest(max(position), 1000000000) + 1, '1', 1, %s::bytea
FROM audit_seals
"""
EDGES = [
    f"on_hand = {MAX_QUANTITY}, reserved = {MAX_QUANTITY}",
    "on_hand = 0, reserved = 0",
    "backorder_limit = 3, backordered = 3",
]


@pytest.fixture
async def full(shop: Shop) -> Shop:
    """Give a shop with a row in each table."""
    place, terms = shop.north.location_id, Terms(Strategy("PRIORITY"))
    with_lots = f"{shop.sku}-lots"
    arrived = LotReceipt("one", None, ("s-1", "s-2"))
    await shop.carry_out(
        CreateItem(Item(with_lots, "Milk", lot_tracked=True)),
        AddStock(shop.north, 10, "RECEIPT"),
        AddStock(shop.north._replace(sku=with_lots), 2, "RECEIPT", lot=arrived),
    )
    await shop.carry_out(
        ReserveStock((WantedLine(shop.sku, place, 1),), timedelta(hours=1), terms),
        PlaceOrder((WantedLine(shop.sku, place, 1),), terms),
        DispatchTransfer(place, "", shop.south.location_id, (DispatchedLine(shop.sku, 1),)),
    )
    with psycopg.connect(shop.stack.postgres_url("owner")) as connection:
        connection.execute("INSERT INTO ledger_openings VALUES (%s, %s, 1, 0, 0, 0, 0)", [shop.sku, place])
        connection.execute(ENTRY, [shop.sku, place])
        connection.execute(SEAL, [shop.sku])
    return shop


@pytest.fixture
def owner(database: RunningStack) -> Iterator[Connection]:
    """Give a transaction of the schema's owner, undone at the end."""
    with psycopg.connect(database.postgres_url("owner")) as connection:
        yield connection
        connection.rollback()


def test_every_constraint_is_tried(owner: Connection) -> None:
    there = owner.execute(
        "SELECT relname || '.' || conname FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid"
        " WHERE connamespace = 'public'::regnamespace AND contype = 'c' AND NOT relispartition"
    )
    assert {name for (name,) in there} == set(BROKEN)


async def test_a_row_that_cannot_be_is_refused(full: Shop, owner: Connection) -> None:
    names = {"sku": full.sku, "place": full.north.location_id}
    for name, changes in BROKEN.items():
        table, constraint = name.split(".")
        for change in changes:
            with pytest.raises(psycopg.errors.CheckViolation) as refused, owner.transaction():
                owner.execute(f"UPDATE {table} SET {change} WHERE {MINE[table]}".encode(), names)  # noqa: S608
            assert refused.value.diag.constraint_name == constraint, change


async def test_a_level_on_the_edge_is_taken(full: Shop, owner: Connection) -> None:
    for change in EDGES:
        done = owner.execute(f"UPDATE stock_levels SET {change} WHERE sku = %s".encode(), (full.sku,))  # noqa: S608
        assert done.rowcount == 2


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM items WHERE sku = %(sku)s",
        "DELETE FROM locations WHERE location_id = %(place)s",
        "UPDATE items SET sku = 'other' WHERE sku = %(sku)s",
        "UPDATE stock_levels SET location_id = 'nowhere' WHERE sku = %(sku)s AND location_id = %(place)s",
        "UPDATE lots SET location_id = 'nowhere' WHERE sku = %(sku)s || '-lots'",
        "UPDATE serials SET lot_id = 'never' WHERE sku = %(sku)s || '-lots'",
    ],
)
async def test_what_a_row_is_a_part_of_stays(full: Shop, owner: Connection, statement: str) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        owner.execute(statement.encode(), {"sku": full.sku, "place": full.north.location_id})


async def test_nothing_is_there_twice(full: Shop, owner: Connection) -> None:
    names = {"sku": full.sku, "place": full.north.location_id}
    for table, mine in MINE.items():
        # Generated ids are taken as they are, too.
        insert = f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM {table} WHERE {mine}"  # noqa: S608
        with pytest.raises(psycopg.errors.UniqueViolation), owner.transaction():
            owner.execute(insert.encode(), names)
