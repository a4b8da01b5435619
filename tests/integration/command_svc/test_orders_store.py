"""Orders and reservations on the real database: what is decided is what is kept."""

from __future__ import annotations

from datetime import timedelta

import pytest

from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.commands import Command
from command_svc.domain.levels import LevelKey
from command_svc.domain.orders import CancelOrder, FulfillOrder, OrderedUnits, OrderOutcome, PlaceOrder
from command_svc.domain.promises import Allocation
from command_svc.domain.reservations import (
    CancelReservation,
    ConfirmedLine,
    ConfirmReservation,
    ExtendReservation,
    ReserveStock,
    Resolution,
)
from command_svc.domain.returns import ReturnedUnits, ReturnOrder
from command_svc.domain.sourcing import Strategy
from command_svc.domain.stock import AddStock, AdjustStock, MoveStock, RemoveStock, SetStockPolicy
from tests.integration.command_svc.story import Story

pytestmark = pytest.mark.stack

TERMS = Terms(Strategy("PRIORITY"))
LATER = TERMS._replace(backorder=True)
HOUR = timedelta(hours=1)


async def test_an_order_waits_is_filled_shipped_in_parts_and_comes_back(story: Story) -> None:
    mug, north = await story.item("mug"), await story.place("north")
    level = LevelKey(mug, north)
    await story.all(AddStock(level, 3, "RECEIPT"), SetStockPolicy(level, backorder_limit=10))
    placed = await story.one(
        PlaceOrder((WantedLine(mug, north, 5),), LATER, channel="web", reference="W-1"), OrderOutcome
    )
    order_id = placed.order.order_id
    assert placed.order.allocations == (Allocation(level, 5, backordered=2),)
    await story.check()

    # One receipt: three units, of which two are waited for.
    await story.all(AddStock(level, 3, "RECEIPT"))
    found = await story.check()
    assert found.orders[order_id].allocations == (Allocation(level, 5),)
    assert (found.levels[level].reserved, found.levels[level].backordered) == (5, 0)

    await story.all(FulfillOrder(order_id, (OrderedUnits(level, 2),)))
    await story.all(CancelOrder(order_id, (OrderedUnits(level, 1),)))
    found = await story.check()
    assert found.orders[order_id].state == "OPEN"
    await story.all(FulfillOrder(order_id))
    await story.all(ReturnOrder(order_id, (ReturnedUnits(level, 1), ReturnedUnits(level, 2, None, "DAMAGE"))))
    found = await story.check()
    assert found.orders[order_id].state == "FULFILLED"
    assert found.orders[order_id].allocations == (Allocation(level, 5, 0, 4, 1, 3),)
    assert story.history(mug, north) == [
        ("ADD", "RECEIPT", 3, 0, 0, 0, ""),
        ("SET_POLICY", "POLICY", 0, 0, 0, 0, ""),
        ("RESERVE", "ORDER", 0, 3, 0, 0, ""),
        ("BACKORDER", "ORDER", 0, 0, 2, 0, ""),
        ("ADD", "RECEIPT", 3, 0, 0, 0, ""),
        ("FILL_BACKORDER", "ORDER", 0, 2, -2, 0, ""),
        ("SHIP", "SALE", -2, -2, 0, 0, ""),
        ("RELEASE", "ORDER", 0, -1, 0, 0, ""),
        ("SHIP", "SALE", -2, -2, 0, 0, ""),
        ("RETURN", "RETURN", 1, 0, 0, 0, ""),
        ("RETURN", "RETURN", 2, 0, 0, 0, ""),
        ("WRITE_OFF", "DAMAGE", -2, 0, 0, 0, ""),
    ]


async def test_what_an_order_gives_back_may_be_what_it_waits_for(story: Story) -> None:
    mug, north = await story.item("mug"), await story.place("north")
    level = LevelKey(mug, north)
    await story.all(AddStock(level, 2, "RECEIPT"), SetStockPolicy(level, backorder_limit=9))
    placed = await story.one(PlaceOrder((WantedLine(mug, north, 3),), LATER), OrderOutcome)
    order_id = placed.order.order_id
    await story.one(FulfillOrder(order_id), OrderOutcome)
    back = await story.one(ReturnOrder(order_id, (ReturnedUnits(level, 2),)), OrderOutcome)
    assert back.order.allocations == (Allocation(level, 3, 0, 2, 0, 2),)
    assert (await story.check()).levels[level][1:4] == (2, 1, 0)


@pytest.mark.parametrize("how", ["moved", "cancelled", "released", "adjusted", "returned"])
async def test_whatever_becomes_available_goes_to_the_oldest_who_waits(story: Story, how: str) -> None:
    mug, north, south = await story.item("mug"), await story.place("north"), await story.place("south")
    here, there = LevelKey(mug, north), LevelKey(mug, south)
    line = (WantedLine(mug, north, 2),)
    await story.all(
        AddStock(here, 4, "RECEIPT"), AddStock(there, 4, "RECEIPT"), SetStockPolicy(here, backorder_limit=9)
    )
    sold = await story.one(PlaceOrder(line, LATER), OrderOutcome)
    held = await story.one(ReserveStock(line, HOUR, TERMS), Resolution)
    shipped = sold.order.order_id
    if how == "returned":
        await story.all(FulfillOrder(shipped))
    older = (await story.one(PlaceOrder((WantedLine(mug, north, 1),), LATER), OrderOutcome)).order.order_id
    younger = (await story.one(PlaceOrder(line, LATER), OrderOutcome)).order.order_id
    assert (await story.check()).levels[here].backordered == 3
    ways: dict[str, Command] = {
        "moved": MoveStock(there, here, 2, "REBALANCE"),
        "cancelled": CancelOrder(shipped),
        "released": CancelReservation(held.reservation.reservation_id),
        "adjusted": AdjustStock(here, "FOUND", delta=2),
        "returned": ReturnOrder(shipped, (ReturnedUnits(here, 2),)),
    }
    await story.all(ways[how])
    found = await story.check()
    assert found.orders[older].waits_at(here) == 0
    assert found.orders[younger].waits_at(here) == 1
    assert found.levels[here].available == 0


async def test_a_bundle_is_ordered_and_reserved_as_its_components(story: Story) -> None:
    mug, tea, north = await story.item("mug"), await story.item("tea"), await story.place("north")
    book = await story.item("book", kind="DIGITAL", counted=False)
    gift = await story.item("gift", kind="BUNDLE", counted=False, components=((mug, 1), (tea, 3)))
    of_mug, of_tea = LevelKey(mug, north), LevelKey(tea, north)
    await story.all(
        AddStock(of_mug, 5, "RECEIPT"),
        AddStock(of_tea, 8, "RECEIPT"),
        SetStockPolicy(of_mug, backorder_limit=5),
        SetStockPolicy(of_tea, backorder_limit=5),
    )
    held = await story.one(ReserveStock((WantedLine(gift, north, 1),), HOUR, TERMS), Resolution)
    placed = await story.one(
        PlaceOrder((WantedLine(gift, north, 3), WantedLine(book, None, 1)), LATER), OrderOutcome
    )
    assert {(one.key, one.quantity, one.backordered) for one in placed.order.allocations} == {
        (of_mug, 3, 0),
        (of_tea, 9, 4),
    }
    await story.all(
        ConfirmReservation(held.reservation.reservation_id),
        AddStock(of_tea, 4, "RECEIPT"),
    )
    await story.all(FulfillOrder(placed.order.order_id))
    found = await story.check()
    assert found.orders[placed.order.order_id].state == "FULFILLED"
    assert (found.levels[of_mug].on_hand, found.levels[of_tea].on_hand) == (1, 0)


async def test_units_come_from_wherever_they_are_the_components_of_bundles_too(story: Story) -> None:
    mug, tea = await story.item("mug"), await story.item("tea")
    gift = await story.item("gift", kind="BUNDLE", counted=False, components=((mug, 1), (tea, 2)))
    first = await story.place("first", priority=1, ships_online_orders=True)
    second = await story.place("second", priority=2, ships_online_orders=True)
    shut = await story.place("shut", priority=0)
    await story.all(
        *(AddStock(LevelKey(mug, place), 2, "RECEIPT") for place in (first, second, shut)),
        *(AddStock(LevelKey(tea, place), 9, "RECEIPT") for place in (first, second, shut)),
    )
    placed = await story.one(
        PlaceOrder((WantedLine(gift, None, 3), WantedLine(tea, None, 5)), TERMS), OrderOutcome
    )
    assert {(one.key, one.quantity) for one in placed.order.allocations} == {
        (LevelKey(mug, first), 2),
        (LevelKey(mug, second), 1),
        (LevelKey(tea, first), 9),
        (LevelKey(tea, second), 2),
    }
    assert await story.each(ReserveStock((WantedLine(gift, None, 2),), HOUR, TERMS)) == ["INSUFFICIENT_STOCK"]
    await story.all(CancelOrder(placed.order.order_id))
    found = await story.check()
    assert found.orders[placed.order.order_id].state == "CANCELLED"
    assert not any(level.reserved for level in found.levels.values())


async def test_a_reservation_is_confirmed_in_parts_extended_and_given_back(story: Story) -> None:
    mug, pen, north = await story.item("mug"), await story.item("pen"), await story.place("north")
    of_mug, of_pen = LevelKey(mug, north), LevelKey(pen, north)
    await story.all(AddStock(of_mug, 5, "RECEIPT"), AddStock(of_pen, 5, "RECEIPT"))
    lines = (WantedLine(mug, north, 3), WantedLine(pen, north, 4))
    held = await story.one(ReserveStock(lines, HOUR, TERMS, "pos", "till 3"), Resolution)
    name = held.reservation.reservation_id
    await story.all(ConfirmReservation(name, (ConfirmedLine(of_mug, 2),)), ExtendReservation(name, 2 * HOUR))
    await story.check()
    await story.all(ConfirmReservation(name, (ConfirmedLine(of_pen, 1),), release_rest=True))
    found = await story.check()
    assert found.reservations[name].state == "CONFIRMED"
    assert [level[1:3] for level in found.levels.values()] == [(3, 0), (4, 0)]


async def test_what_expired_holds_keep_is_freed_by_who_needs_it(story: Story) -> None:
    mug, north = await story.item("mug"), await story.place("north")
    gift = await story.item("gift", kind="BUNDLE", counted=False, components=((mug, 2),))
    level = LevelKey(mug, north)
    await story.all(AddStock(level, 6, "RECEIPT"), SetStockPolicy(level, backorder_limit=9))
    over = timedelta(microseconds=1)
    held = [
        await story.one(ReserveStock((WantedLine(mug, north, 2),), over, TERMS), Resolution) for _ in range(2)
    ]
    placed = await story.one(PlaceOrder((WantedLine(gift, north, 2),), LATER), OrderOutcome)
    assert placed.order.waits_at(level) == 0
    found = await story.check()
    assert {found.reservations[one.reservation.reservation_id].state for one in held} == {"EXPIRED"}
    await story.all(RemoveStock(level, 2, "DAMAGE"))
    assert (await story.check()).levels[level].available == 0


async def test_commands_of_one_transaction_follow_each_other_on_the_same_rows(story: Story) -> None:
    mug, north = await story.item("mug"), await story.place("north")
    level = LevelKey(mug, north)
    await story.all(
        AddStock(level, 2, "RECEIPT"),
        SetStockPolicy(level, backorder_limit=4),
        RemoveStock(level, 1, "SALE"),
    )
    orders = await story.all(
        *(PlaceOrder((WantedLine(mug, north, 2),), LATER) for _ in range(2)), AddStock(level, 1, "RECEIPT")
    )
    first, second = (one.order.order_id for one in orders if isinstance(one, OrderOutcome))
    found = await story.check()
    assert [found.orders[one].waits_at(level) for one in (first, second)] == [0, 2]
    answers = await story.each(
        FulfillOrder(first),
        FulfillOrder(first),
        FulfillOrder(second),
        CancelOrder(second, (OrderedUnits(level, 1),)),
        AddStock(level, 3, "RECEIPT"),
        FulfillOrder(second),
        ReturnOrder(second, (ReturnedUnits(level, 1),)),
        PlaceOrder((WantedLine(mug, north, 9),), LATER),
    )
    assert [one for one in answers if isinstance(one, str)] == [
        "ORDER_CLOSED",
        "EXCEEDS_ORDER",
        "INSUFFICIENT_STOCK",
    ]
    found = await story.check()
    assert {found.orders[one].state for one in (first, second)} == {"FULFILLED"}
    assert found.levels[level][1:4] == (3, 0, 0)
