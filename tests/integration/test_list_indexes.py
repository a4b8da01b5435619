"""Lists answered by PostgreSQL are served by its indexes: no table is read from end to end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg import sql

from query_svc.index_sql import WALKS, statement
from query_svc.read_model import Span, indexes
from tests.stack_fixture import running_stack

pytestmark = pytest.mark.stack

ROWS = Path(__file__).with_name("lists.sql")
ID = "00000000-0000-0000-0000-000000004000"


class Asked(NamedTuple):
    """A list: the texts under which the index is walked, without them the whole of it, and a place in it."""

    name: str
    prefix: str
    after: str


LISTS = [
    Asked(indexes.LEVELS_BY_LOCATION, "W-50\0", "S-5"),
    Asked(indexes.LEVELS_BY_LOCATION, "", "W-50\0S-5"),
    Asked(indexes.LOW_BY_SKU, "", "S-5\0W-5"),
    Asked(indexes.LOW_BY_SKU, "S-199\0", "W-1"),
    Asked(indexes.LOW_BY_LOCATION, "", "W-5\0S-5"),
    Asked(indexes.LOW_BY_LOCATION, "W-5\0", "S-5"),
    Asked(indexes.BACKORDERED_BY_SKU, "", "S-5\0W-5"),
    Asked(indexes.BACKORDERED_BY_SKU, "S-499\0", "W-1"),
    Asked(indexes.BACKORDERED_BY_LOCATION, "", "W-5\0S-5"),
    Asked(indexes.BACKORDERED_BY_LOCATION, "W-5\0", "S-5"),
    Asked(indexes.LOTS_BY_EXPIRY, "", "20270203\0S-1\0W-1\0L-33"),
    Asked(indexes.LOTS_BY_SKU, "S-1001\0", "20270203\0W-1\0L-33"),
    Asked(indexes.LOTS_BY_LOCATION, "W-8\0", "20270203\0S-1\0L-33"),
    Asked(indexes.ITEMS_BY_SKU, "", "S-5"),
    Asked(indexes.ITEMS_BY_NAME, "", "Item 5\0S-5"),
    Asked(indexes.ITEMS_BY_CATEGORY, "home/room-7\0", "S-5"),
    Asked(indexes.ITEMS_BY_TAG, "tag-7\0", "S-5"),
    Asked(indexes.ITEMS_BY_BARCODE, "47\0", "S-5"),
    Asked(indexes.ITEMS_BY_PARENT, "S-40\0", "S-5"),
    Asked(indexes.ARCHIVED_ITEMS, "", "S-5"),
    Asked(indexes.RESERVATIONS_BY_ID, "", ID),
    Asked(indexes.RESERVATIONS_BY_REFERENCE, "R-7\0", ID),
    Asked(indexes.RESERVATIONS_BY_SKU, "S-7\0", ID),
    Asked(indexes.PENDING_RESERVATIONS, "", ID),
    Asked(indexes.ORDERS_BY_ID, "", ID),
    Asked(indexes.ORDERS_BY_REFERENCE, "O-7\0", ID),
    Asked(indexes.ORDERS_BY_SKU, "S-7\0", ID),
    Asked(indexes.OPEN_ORDERS, "", ID),
    Asked(indexes.TRANSFERS_BY_ID, "", ID),
    Asked(indexes.TRANSFERS_BY_REFERENCE, "T-7\0", ID),
    Asked(indexes.TRANSFERS_BY_SKU, "S-7\0", ID),
    Asked(indexes.TRANSFERS_BY_SOURCE, "W-7\0", ID),
    Asked(indexes.TRANSFERS_BY_DESTINATION, "W-7\0", ID),
    Asked(indexes.TRANSFERS_IN_TRANSIT, "", ID),
    Asked(indexes.ARRIVING_TRANSFERS, "W-7\0", ID),
]

# What so many rows stand in that they must come in order; of others, few are found and may be sorted.
IN_ORDER = {
    indexes.LEVELS_BY_LOCATION,
    indexes.ITEMS_BY_SKU,
    indexes.ITEMS_BY_NAME,
    indexes.RESERVATIONS_BY_ID,
    indexes.ORDERS_BY_ID,
    indexes.TRANSFERS_BY_ID,
}


@pytest.fixture(scope="module")
def connection() -> Iterator[psycopg.Connection[Any]]:
    """Give a connection of the query service to a database with many rows, as it is after a while."""
    with running_stack("lists", only=("postgres", "database")) as stack:
        with psycopg.connect(stack.postgres_url("owner"), autocommit=True) as owner:
            for part in ROWS.read_text().split(";\n"):
                owner.execute(part.encode())
            owner.execute("VACUUM ANALYZE")
        with psycopg.connect(stack.postgres_url("query"), autocommit=True) as connection:
            yield connection


def test_no_index_is_left_out() -> None:
    assert {asked.name for asked in LISTS} == set(WALKS)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("asked", LISTS, ids=lambda asked: f"{asked.name} {asked.prefix[:-1]}")
def test_a_list_is_served_by_an_index(
    connection: psycopg.Connection[Any], asked: Asked, *, is_first: bool, descending: bool
) -> None:
    """Whatever its page and direction, and whether or not PostgreSQL plans anew for each question."""
    span = Span(asked.name, asked.prefix)
    query = statement(span, after=None if is_first else asked.after, count=101, descending=descending)
    for mode in ("force_custom_plan", "force_generic_plan"):
        connection.execute(sql.SQL("SET plan_cache_mode = {}").format(mode))
        nodes = plan(connection, query.text, query.parameters)
        assert not [node for node in nodes if "Seq Scan" in node["Node Type"]], nodes
        assert [node for node in nodes if "Index" in node["Node Type"]]
        if asked.name in IN_ORDER:
            assert not [node for node in nodes if "Sort" in node["Node Type"]], nodes


def plan(connection: psycopg.Connection[Any], text: str, parameters: list[object]) -> list[dict[str, Any]]:
    """Return the nodes of the plan of a query that is prepared, as one is that comes again and again."""
    numbered = text
    for number in range(1, len(parameters) + 1):
        numbered = numbered.replace("%s", f"${number}", 1)
    connection.execute(f"PREPARE list AS {numbered}".encode())
    values = sql.SQL(", ").join(sql.Literal(value) for value in parameters)
    execute = sql.SQL("EXPLAIN (FORMAT JSON) EXECUTE list ({})").format(values)
    ((found,),) = connection.execute(execute).fetchall()
    connection.execute("DEALLOCATE list")
    return list(_nodes(found[0]["Plan"]))


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {name: value for name, value in node.items() if name != "Plans"}
    for below in node.get("Plans", ()):
        yield from _nodes(below)
