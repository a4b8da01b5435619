"""A dirty file becomes clean orders, and every row is accounted for."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from demo import orders
from demo.events import DARK_STORE, STORE, WAREHOUSE, Day, Line
from demo.orders import OrderFile, OrderFileError
from demo.rows import Unusable
from inventory.type.v1 import stock_pb2

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
FIRST = "2010-12-01T08:26:00"
SECOND = "2010-12-02T09:00:00"
DIRTY = f"""{HEADER}
1,85123A,,6,{FIRST},2.55,17850,UK
1,85123a,HEART,2,{FIRST},2.55,17850,UK
1,POST,POSTAGE,1,{FIRST},18,17850,UK
C2,85123A,HEART,-1,{FIRST},2.55,17850,UK
3,71053,damages,-4,{FIRST},0,,UK
4,71053,,-2,{FIRST},0,,UK
5,71053,sold as set,-3,{FIRST},0,,UK
6,71053,given away,-5,{FIRST},0,,UK
7,71053,Found,9,{FIRST},0.0,,UK
8,71053,,8,{FIRST},0.0,,UK
9,71053,LANTERN,1,{FIRST},0.0,,UK
9,22752,NEST,1,{FIRST},7.65,,UK
10,22752,"NEST, ""OLD"" ONE",-1,{FIRST},7.65,17850,UK
11,22752,NEST,many,{FIRST},7.65,,UK
12,22752
13,22752,NEST,1,{FIRST},7.65,17854,UK
1,22752,NEST,3,{SECOND},7.65,17850,UK
14,22752,NEST,0,{SECOND},7.65,17850,UK
"""


def write(folder: Path, text: str) -> Path:
    """Write a file of orders and return its path."""
    path = folder / "orders.csv"
    path.write_text(text, encoding="utf-8")
    return path


def line(sku: str, place: str, delta: int, reason: str) -> Line:
    """Return a line of the first day."""
    value = stock_pb2.MovementReason.Value(f"MOVEMENT_REASON_{reason}")
    return Line(sku, place, delta, value, datetime(2010, 12, 1, 8, 26, tzinfo=UTC))


def lines_of(day: Day) -> dict[str, tuple[Line, ...]]:
    """Return the lines of a day's documents."""
    return {order.document: order.lines for order in day.orders}


def test_every_row_becomes_what_it_is(tmp_path: Path) -> None:
    first, second = OrderFile(write(tmp_path, DIRTY)).days()
    assert (first.date, second.date) == (date(2010, 12, 1), date(2010, 12, 2))
    assert lines_of(first) == {
        "1": (line("85123A", WAREHOUSE, -6, "SALE"), line("85123A", WAREHOUSE, -2, "SALE")),
        "C2": (line("85123A", WAREHOUSE, 1, "RETURN"),),
        "3": (line("71053", WAREHOUSE, -4, "DAMAGE"),),
        "4": (line("71053", WAREHOUSE, -2, "LOSS"),),
        "5": (line("71053", WAREHOUSE, -3, "CORRECTION"),),
        "6": (line("71053", WAREHOUSE, -5, "SAMPLE"),),
        "7": (line("71053", WAREHOUSE, 9, "FOUND"),),
        "8": (line("71053", WAREHOUSE, 8, "CORRECTION"),),
        "9": (line("71053", DARK_STORE, -1, "SALE"), line("22752", DARK_STORE, -1, "SALE")),
        "10": (line("22752", WAREHOUSE, 1, "RETURN"),),
        "13": (line("22752", STORE, -1, "SALE"),),
    }
    assert [order.document for order in second.orders] == ["1"]


def test_every_row_is_accounted_for_each_time_the_file_is_read(tmp_path: Path) -> None:
    source = OrderFile(write(tmp_path, DIRTY))
    for _ in range(2):
        days = list(source.days())
        intake = source.intake
        assert intake.rows_read == 18
        assert intake.rows_used == sum(len(order.lines) for day in days for order in day.orders) == 14
        assert {reason: (aside.rows, aside.examples) for reason, aside in intake.set_aside.items()} == {
            Unusable.NO_STOCK_ITEM: (1, ["POST"]),
            Unusable.QUANTITY: (1, ["22752 many"]),
            Unusable.SHAPE: (1, ["12 22752"]),
            Unusable.ZERO_QUANTITY: (1, ["22752"]),
        }


def test_an_item_is_named_by_a_priced_row_or_by_its_code(tmp_path: Path) -> None:
    source = OrderFile(write(tmp_path, DIRTY))
    list(source.days())
    assert {item.sku: item.name for item in source.items().values()} == {
        "85123A": "HEART",
        "71053": "71053",
        "22752": "NEST",
    }


def test_a_packed_file_with_a_byte_order_mark_reads_the_same(tmp_path: Path) -> None:
    plain = list(OrderFile(write(tmp_path, DIRTY)).days())
    packed = tmp_path / "orders.csv.gz"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + DIRTY.encode()))
    assert list(OrderFile(packed).days()) == plain


def test_a_byte_that_is_no_utf8_spoils_a_name_alone(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_bytes(f"{HEADER}\n1,22752,CAF".encode() + b"\xe9" + f",1,{FIRST},1,1,UK\n".encode())
    source = OrderFile(path)
    list(source.days())
    assert source.items()["22752"].name == "CAF\ufffd"


def test_only_the_first_days_are_read_when_so_many_are_asked_for(tmp_path: Path) -> None:
    source = OrderFile(write(tmp_path, DIRTY), limit=1)
    assert [day.date.day for day in source.days()] == [1]
    assert (source.intake.rows_read, source.intake.rows_used) == (16, 13)


def test_a_long_day_comes_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "DAY_ROWS", 5)
    days = list(OrderFile(write(tmp_path, DIRTY)).days())
    assert [sum(len(order.lines) for order in day.orders) for day in days] == [5, 5, 3, 1]


def test_a_row_longer_than_csv_takes_is_set_aside(tmp_path: Path) -> None:
    text = f'{HEADER}\n1,22752,"{"A" * 200_000}",1,{FIRST},1,1,UK\n2,22752,NEST,1,{FIRST},1,1,UK\n'
    source = OrderFile(write(tmp_path, text))
    assert [order.document for day in source.days() for order in day.orders] == ["2"]
    assert source.intake.rows_read == source.intake.rows_used + source.intake.rows_set_aside
    assert source.intake.set_aside[Unusable.SHAPE].rows >= 1


def test_examples_are_few_and_different(tmp_path: Path) -> None:
    rows = [f"{number},POST,,1,{FIRST},1,1,UK" for number in range(20)]
    rows += [f"{number},gift_{number},,1,{FIRST},1,1,UK" for number in range(20)]
    source = OrderFile(write(tmp_path, "\n".join([HEADER, *rows])))
    assert list(source.days()) == []
    aside = source.intake.set_aside[Unusable.NO_STOCK_ITEM]
    assert aside.rows == 40
    assert aside.examples == ["POST", "gift_0", "gift_1", "gift_2", "gift_3"]


@pytest.mark.parametrize("name", ["missing.csv", "broken.csv.gz", "cut.csv.gz", "other.csv"])
def test_a_file_that_is_no_file_of_orders_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "broken.csv.gz").write_bytes(b"no gzip")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(DIRTY.encode())[:-20])
    (tmp_path / "other.csv").write_text("sku,quantity\n1,2\n")
    with pytest.raises(OrderFileError, match=name):
        list(OrderFile(tmp_path / name).days())
