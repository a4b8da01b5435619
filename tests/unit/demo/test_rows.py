"""A row is either clean or refused for the reason that is true of it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.rows import COLUMNS, Unusable, UnusableRowError, parse

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GOOD: dict[str | None, Any] = {
    "InvoiceNo": "536365",
    "StockCode": "85123A",
    "Description": "WHITE HANGING HEART T-LIGHT HOLDER",
    "Quantity": "6",
    "InvoiceDate": "2010-12-01T08:26:00",
    "UnitPrice": "2.55",
    "CustomerID": "17850",
    "Country": "United Kingdom",
}


def test_a_good_row_is_read_in_clean_types() -> None:
    row = parse(GOOD, NOW)
    assert row == (
        "536365",
        "85123A",
        "WHITE HANGING HEART T-LIGHT HOLDER",
        6,
        datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
        2.55,
        "17850",
    )
    assert not row.is_cancellation
    assert not row.is_free_to_nobody


def test_codes_are_capitals_and_texts_are_trimmed_and_free_of_control_characters() -> None:
    row = parse(
        GOOD | {"StockCode": " 85123a ", "Description": " HEART\x00\tHOLDER ", "Quantity": "-6 "}, NOW
    )
    assert (row.sku, row.description, row.quantity) == ("85123A", "HEART HOLDER", -6)


def test_a_time_with_an_offset_becomes_utc() -> None:
    row = parse(GOOD | {"InvoiceDate": "2010-12-01T08:26:00+02:00"}, NOW)
    assert row.time == datetime(2010, 12, 1, 8, 26, tzinfo=timezone(timedelta(hours=2)))
    assert row.time.tzinfo is UTC


@pytest.mark.parametrize(
    ("column", "text", "reason"),
    [
        ("InvoiceNo", "", Unusable.INVOICE),
        ("InvoiceNo", "53 6365", Unusable.INVOICE),
        ("StockCode", "", Unusable.NO_CODE),
        ("StockCode", "POST", Unusable.NO_STOCK_ITEM),
        ("StockCode", "m", Unusable.NO_STOCK_ITEM),
        ("StockCode", "BANK CHARGES", Unusable.NO_STOCK_ITEM),
        ("StockCode", "gift_0001_20", Unusable.NO_STOCK_ITEM),
        ("StockCode", "85123 A", Unusable.CODE),
        ("StockCode", "Ä1", Unusable.CODE),
        ("StockCode", "8" * 65, Unusable.CODE),
        ("Quantity", "", Unusable.QUANTITY),
        ("Quantity", "six", Unusable.QUANTITY),
        ("Quantity", "6.5", Unusable.QUANTITY),
        ("Quantity", "1_000", Unusable.QUANTITY),
        ("Quantity", "٦", Unusable.QUANTITY),
        ("Quantity", "0", Unusable.ZERO_QUANTITY),
        ("Quantity", "-0", Unusable.ZERO_QUANTITY),
        ("Quantity", "1000000000001", Unusable.QUANTITY_RANGE),
        ("Quantity", "9" * 5000, Unusable.QUANTITY_RANGE),
        ("InvoiceNo", "C536365", Unusable.CANCELLATION),
        ("InvoiceDate", "", Unusable.DATE),
        ("InvoiceDate", "1/12/2010 8:26", Unusable.DATE),
        ("InvoiceDate", "0001-01-01T00:00:00+23:00", Unusable.DATE),
        ("InvoiceDate", "1969-12-31T23:59:59", Unusable.DATE_RANGE),
        ("InvoiceDate", "2026-01-01T00:00:01", Unusable.DATE_RANGE),
        ("UnitPrice", "", Unusable.PRICE),
        ("UnitPrice", "-11062.06", Unusable.PRICE),
        ("UnitPrice", "nan", Unusable.PRICE),
        ("UnitPrice", "inf", Unusable.PRICE),
    ],
)
def test_a_fault_is_named(column: str, text: str, reason: Unusable) -> None:
    with pytest.raises(UnusableRowError) as caught:
        parse(GOOD | {column: text}, NOW)
    assert caught.value.reason is reason
    assert 0 < len(caught.value.example) <= 60


@pytest.mark.parametrize("shape", [{"Country": None}, {None: ["one", "more"]}])
def test_a_row_of_another_length_is_named(shape: dict[str | None, Any]) -> None:
    with pytest.raises(UnusableRowError) as caught:
        parse({**GOOD, **shape}, NOW)
    assert caught.value.reason is Unusable.SHAPE


def test_the_largest_quantity_is_within_the_range() -> None:
    assert parse(GOOD | {"Quantity": "-1000000000000"}, NOW).quantity == -(10**12)


TEXTS = st.text(max_size=20) | st.sampled_from(["", "1", "-1", "0", "C1", "2010-12-01", "85123A", "1e400"])


@given(st.fixed_dictionaries(dict.fromkeys(COLUMNS, TEXTS)))
def test_any_row_is_clean_or_refused(fields: dict[str | None, Any]) -> None:
    try:
        row = parse(fields, NOW)
    except UnusableRowError:
        return
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}", row.sku)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}", row.invoice)
    assert 0 < abs(row.quantity) <= 10**12
    assert row.time <= NOW
