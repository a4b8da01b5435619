"""What is acknowledged is in the books, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from client import InventoryError
from demo.books import Books, Standing
from demo.events import Level, Line, Order
from demo.measure import Measurements
from demo.till import BATCH, Till
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RETURN, MOVEMENT_REASON_SALE
from tests.unit.demo.shop import Shop

TIME = datetime(2010, 12, 1, tzinfo=UTC)
MUG: Level = ("MUG-1", "WH-1")
JUG: Level = ("JUG-1", "WH-1")


def sale(level: Level, quantity: int) -> Line:
    """Return a line that sells."""
    return Line(*level, -quantity, MOVEMENT_REASON_SALE, TIME)


def till(stock: dict[Level, Standing]) -> tuple[Till, Shop, Books, Measurements]:
    """Return a till of a shop with this stock."""
    shop, books, measured = Shop(dict(stock)), Books(stock), Measurements()
    return Till(shop, books, measured), shop, books, measured


async def test_single_lines_go_alone_and_several_in_a_batch() -> None:
    one, shop, books, measured = till({MUG: Standing(5, 1)})
    await one.carry_out(Order("1", (sale(MUG, 2),)), "run/0/1")
    await one.carry_out(Order("2", (Line(*JUG, 3, MOVEMENT_REASON_RETURN, TIME),)), "run/1/2")
    assert shop.batches == []
    await one.carry_out(Order("3", (sale(MUG, 1), sale(JUG, 1))), "run/2/3")
    assert [batch.request_id for batch in shop.batches] == ["run/2/3/0"]
    assert {level: books.expected(level) for level in books} == shop.stock
    assert shop.stock == {MUG: Standing(2, 3), JUG: Standing(2, 2)}
    assert (measured.orders, measured.commands) == (3, 4)
    assert (measured.unary.count, measured.batches.count) == (2, 1)


async def test_what_is_out_of_stock_is_counted_and_stays_out_of_the_books() -> None:
    one, shop, books, measured = till({MUG: Standing(1, 1)})
    await one.carry_out(Order("1", (sale(MUG, 2),)), "run/0/1")
    await one.carry_out(Order("2", (sale(JUG, 1), sale(MUG, 1), sale(MUG, 1))), "run/1/2")
    assert measured.refused == {"INSUFFICIENT_STOCK": 3}
    assert (measured.orders, measured.commands) == (2, 4)
    assert books.expected(MUG) == shop.stock[MUG] == Standing(0, 2)
    assert JUG not in list(books)


async def test_a_long_document_goes_in_batches_with_ids_of_their_own() -> None:
    one, shop, books, _ = till({MUG: Standing(1000, 1)})
    await one.carry_out(Order("1", tuple(sale(MUG, 1) for _ in range(2 * BATCH + 1))), "run/0/1")
    assert [(batch.request_id, len(batch.commands)) for batch in shop.batches] == [
        ("run/0/1/0", BATCH),
        ("run/0/1/1", BATCH),
        ("run/0/1/2", 1),
    ]
    assert books.expected(MUG) == shop.stock[MUG]


async def test_any_other_error_ends_the_run() -> None:
    one, shop, _, _ = till({MUG: Standing(5, 1)})
    shop.refuse["1"] = "ITEM_NOT_FOUND"
    for lines in ((sale(MUG, 1),), (sale(MUG, 1), sale(MUG, 1))):
        with pytest.raises(InventoryError, match="ITEM_NOT_FOUND"):
            await one.carry_out(Order("1", lines), "run/0/1")
