"""Made-up orders are repeatable, look like a shop's, and fit the contract."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import protovalidate
from hypothesis import given, settings
from hypothesis import strategies as st

from command_svc.domain.catalog import is_gtin
from demo.events import PLACES
from demo.generator import Generator, catalogue, gtin13
from demo.opening import LOCATIONS, item_request
from demo.till import command
from inventory.type.v1 import stock_pb2


@settings(max_examples=10)
@given(seed=st.integers(), days=st.integers(1, 3))
def test_a_seed_gives_the_same_days_every_time(seed: int, days: int) -> None:
    source = Generator(seed, days, orders_a_day=40)
    first = list(source.days())
    assert len(first) == days
    assert list(source.days()) == first == list(Generator(seed, days, orders_a_day=40).days())
    assert list(Generator(seed + 1, days, orders_a_day=40).days()) != first


@settings(max_examples=10)
@given(seed=st.integers())
def test_every_line_fits_the_contract(seed: int) -> None:
    documents = set()
    for day in Generator(seed, days=2, orders_a_day=60).days():
        for order in day.orders:
            assert order.document not in documents
            documents.add(order.document)
            assert order.lines
            for line in order.lines:
                protovalidate.validate(command(line, order.document))
                assert line.location_id in PLACES
                assert line.time.date() == day.date
                assert line.time < datetime.now(UTC)


def test_what_comes_back_was_sold_there_before() -> None:
    sold: Counter[tuple[str, str]] = Counter()
    returns = 0
    for day in Generator(seed=7, days=3).days():
        for order in day.orders:
            for line in order.lines:
                if line.reason == stock_pb2.MOVEMENT_REASON_RETURN:
                    returns += 1
                    assert sold[line.sku, line.location_id] > 0
                if line.reason == stock_pb2.MOVEMENT_REASON_SALE:
                    sold[line.sku, line.location_id] -= line.delta
    assert returns > 20


def test_a_few_items_make_most_of_the_sales_and_all_sell() -> None:
    sold = Counter(
        line.sku for day in Generator(seed=1, days=7).days() for order in day.orders for line in order.lines
    )
    popular = sum(number for _, number in sold.most_common(80))
    assert popular > sum(sold.values()) / 2
    assert len(sold) > 390


def test_the_day_has_its_rhythm() -> None:
    (day,) = Generator(seed=1, days=1).days()
    hours = Counter(order.lines[0].time.hour for order in day.orders)
    assert hours[12] > hours[9] > hours[5]
    assert [order.lines[0].time for order in day.orders] == sorted(
        order.lines[0].time for order in day.orders
    )


def test_the_catalogue_and_the_places_fit_the_contract() -> None:
    items = catalogue()
    assert len(items) == 400
    assert len({item.barcode for item in items.values()}) == 400
    for item in items.values():
        assert is_gtin(item.barcode)
        protovalidate.validate(item_request(item))
    assert tuple(request.location_id for request in LOCATIONS) == PLACES
    for request in LOCATIONS:
        protovalidate.validate(request)


@given(st.integers(0, 10**11 - 1))
def test_made_up_barcodes_have_the_right_check_digit(number: int) -> None:
    assert is_gtin(gtin13(number))
    assert len(gtin13(number)) == 13
