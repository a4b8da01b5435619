"""The evening fills up what runs low, without ever asking for more than is there."""

from __future__ import annotations

from collections.abc import Iterable

import protovalidate
from hypothesis import given
from hypothesis import strategies as st

from demo import evening
from demo.books import Books, Standing
from demo.events import DARK_STORE, PLACES, STORE, WAREHOUSE, Level
from demo.generator import Generator
from demo.measure import Measurements
from demo.opening import opening_stock
from demo.plan import Plan, survey
from demo.till import Till
from inventory.command.v1.stock_command_service_pb2 import StockCommand
from tests.unit.demo.shop import Shop

SKUS = ("JUG-1", "MUG-1")
LEVELS = [(sku, place) for sku in SKUS for place in PLACES]
STOCK = st.fixed_dictionaries({}, optional={level: st.integers(0, 20) for level in LEVELS})


def plan(target: dict[Level, int]) -> Plan:
    """Return a plan with these targets."""
    return Plan(items={}, target=target, days=1, orders=1, lines=1)


async def carry_out(stock: dict[Level, Standing], commands: Iterable[StockCommand]) -> Measurements:
    """Carry commands out on this stock, in place, checking that each fits the contract."""
    books, measured = Books(dict(stock)), Measurements()
    commands = list(commands)
    for command in commands:
        protovalidate.validate(command)
    await Till(Shop(stock), books, measured).batch(commands, "evening")
    return measured


@given(STOCK, st.fixed_dictionaries({}, optional={level: st.integers(1, 20) for level in LEVELS}))
async def test_after_a_restock_nothing_is_low_and_nothing_was_refused(
    on_hand: dict[Level, int], target: dict[Level, int]
) -> None:
    stock = {level: Standing(quantity, 1) for level, quantity in on_hand.items()}
    measured = await carry_out(stock, evening.restock(plan(target), dict(stock), SKUS))
    assert not measured.refused
    for level, wanted in target.items():
        assert stock.get(level, Standing()).on_hand > wanted / 2


async def test_a_shelf_is_filled_from_the_warehouse_and_the_warehouse_by_a_receipt() -> None:
    target = {("MUG-1", WAREHOUSE): 10, ("MUG-1", STORE): 6, ("MUG-1", DARK_STORE): 6}
    stock = {
        ("MUG-1", WAREHOUSE): Standing(7, 1),
        ("MUG-1", STORE): Standing(3, 1),
        ("MUG-1", DARK_STORE): Standing(4, 1),
    }
    commands = list(evening.restock(plan(target), stock, ["MUG-1"]))
    assert [command.WhichOneof("command") for command in commands] == ["add", "move"]
    assert commands[0].add.quantity == 6
    assert (commands[1].move.destination_location_id, commands[1].move.quantity) == (STORE, 3)


@given(STOCK)
async def test_a_count_names_the_version_it_was_compared_with(on_hand: dict[Level, int]) -> None:
    stock = {level: Standing(quantity, 7) for level, quantity in on_hand.items()}
    commands = list(evening.count(stock))
    assert len(commands) == min(evening.COUNTED, sum(quantity > 0 for quantity in on_hand.values()))
    before = sum(standing.on_hand for standing in stock.values())
    measured = await carry_out(stock, commands)
    assert not measured.refused
    assert sum(standing.on_hand for standing in stock.values()) == before - len(commands) // 2


def test_opening_stock_covers_less_than_what_will_leave() -> None:
    source = Generator(seed=3, days=2)
    made = survey(source)
    received = list(opening_stock(made, Books()))
    leaving = sum(
        -line.delta for day in source.days() for order in day.orders for line in order.lines if line.delta < 0
    )
    assert leaving * 0.5 < sum(command.add.quantity for command in received) < leaving
    assert (made.days, made.items) == (2, source.items())
    assert made.orders == sum(len(day.orders) for day in source.days())
    for command in received:
        protovalidate.validate(command)


def test_a_shop_that_holds_enough_receives_nothing() -> None:
    made = plan({("MUG-1", WAREHOUSE): 10, ("JUG-1", WAREHOUSE): 10})
    books = Books({("MUG-1", WAREHOUSE): Standing(10, 3), ("JUG-1", WAREHOUSE): Standing(4, 3)})
    (command,) = opening_stock(made, books)
    assert (command.add.sku, command.add.quantity) == ("JUG-1", 6)
