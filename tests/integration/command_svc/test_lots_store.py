"""Lots and serials on the real database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.levels import LevelKey
from command_svc.domain.lot import LotChoice, LotKey, LotReceipt, Serial
from command_svc.domain.orders import CancelOrder, FulfillOrder, OrderedUnits, OrderOutcome, PlaceOrder
from command_svc.domain.promises import Allocation
from command_svc.domain.reservations import ConfirmReservation, ReserveStock, Resolution
from command_svc.domain.returns import ReturnedUnits, ReturnOrder
from command_svc.domain.sourcing import Strategy
from command_svc.domain.stock import AddStock, AdjustStock, MoveStock, RemoveStock, SetStockPolicy
from tests.integration.command_svc.story import Story
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack

TERMS = Terms(Strategy("PRIORITY"))
LATER = TERMS._replace(backorder=True)
HOUR = timedelta(hours=1)
TODAY = datetime.now(UTC).date()
SOON, LATE, GONE = (TODAY + timedelta(days=days) for days in (10, 20, -10))


async def milk(story: Story) -> tuple[LevelKey, LevelKey]:
    """Return the levels of an item whose lots are kept, at two places."""
    sku = await story.item("milk", lot_tracked=True)
    return LevelKey(sku, await story.place("north")), LevelKey(sku, await story.place("south"))


async def test_lots_leave_in_the_order_of_their_dates(story: Story) -> None:
    north, south = await milk(story)
    await story.all(
        AddStock(north, 5, "RECEIPT", lot=LotReceipt("undated")),
        AddStock(north, 5, "RECEIPT", lot=LotReceipt("late", LATE)),
        AddStock(north, 5, "RECEIPT", lot=LotReceipt("soon", SOON)),
        AddStock(north, 5, "RECEIPT", lot=LotReceipt("gone", GONE)),
    )
    await story.check()
    await story.all(
        RemoveStock(north, 7, "SALE"),
        MoveStock(north, south, 4, "REBALANCE"),
        RemoveStock(north, 6, "EXPIRED"),
        AdjustStock(north, "COUNT", counted=2, lot=LotReceipt("undated")),
        AdjustStock(south, "FOUND", delta=1, lot=LotReceipt("new", LATE)),
    )
    found = await story.check()
    assert {(key[1:], lot.on_hand) for key, lot in found.lots.items()} == {
        ((north.location_id, "soon"), 0),
        ((north.location_id, "late"), 0),
        ((north.location_id, "undated"), 2),
        ((north.location_id, "gone"), 0),
        ((south.location_id, "late"), 3),
        ((south.location_id, "undated"), 1),
        ((south.location_id, "new"), 1),
    }
    assert await story.each(
        AddStock(north, 1, "RECEIPT"),
        AddStock(north, 1, "RECEIPT", lot=LotReceipt("soon", LATE)),
        RemoveStock(north, 1, "SALE", lot=LotChoice("never")),
    ) == ["LOT_REQUIRED", "LOT_MISMATCH", "LOT_NOT_FOUND"]


async def test_a_lot_that_comes_back_to_where_it_ran_out_is_the_same_lot(story: Story) -> None:
    north, south = await milk(story)
    await story.all(AddStock(north, 4, "RECEIPT", lot=LotReceipt("one", SOON)))
    await story.all(MoveStock(north, south, 4, "REBALANCE"))
    before = (await story.check()).lots[LotKey(*north, "one")]
    # Nobody names it, and at its destination there is nothing left of it.
    await story.all(MoveStock(south, north, 3, "REBALANCE"))
    after = (await story.check()).lots[LotKey(*north, "one")]
    assert (after.on_hand, after.version) == (3, before.version + 1)
    assert after.create_time == before.create_time


async def test_promises_hold_lots_and_name_them(story: Story) -> None:
    north, _ = await milk(story)
    sku, place = north
    await story.all(
        AddStock(north, 3, "RECEIPT", lot=LotReceipt("soon", SOON)),
        AddStock(north, 3, "RECEIPT", lot=LotReceipt("late", LATE)),
        AddStock(north, 3, "RECEIPT", lot=LotReceipt("gone", GONE)),
        SetStockPolicy(north, backorder_limit=9),
    )
    held = await story.one(
        ReserveStock((WantedLine(sku, place, 1, "late"), WantedLine(sku, place, 1)), HOUR, TERMS), Resolution
    )
    assert {(line.lot_id, line.quantity) for line in held.reservation.lines} == {("late", 1), ("soon", 1)}
    placed = await story.one(PlaceOrder((WantedLine(sku, place, 7),), LATER), OrderOutcome)
    order_id = placed.order.order_id
    assert set(placed.order.allocations) == {
        Allocation(north, 2, lot_id="soon"),
        Allocation(north, 2, lot_id="late"),
        Allocation(north, 3, backordered=3),
    }
    await story.check()

    await story.all(ConfirmReservation(held.reservation.reservation_id))
    # Two arrive, of an old lot and of a new one; one has been expired for long and is nobody's.
    await story.all(
        AddStock(north, 1, "RECEIPT", lot=LotReceipt("soon")),
        AddStock(north, 1, "RECEIPT", lot=LotReceipt("gone")),
        AddStock(north, 1, "RECEIPT", lot=LotReceipt("new")),
    )
    found = await story.check()
    assert set(found.orders[order_id].allocations) == {
        Allocation(north, 3, lot_id="soon"),
        Allocation(north, 2, lot_id="late"),
        Allocation(north, 1, lot_id="new"),
        Allocation(north, 1, backordered=1),
    }
    await story.one(FulfillOrder(order_id, (OrderedUnits(north, 2, "soon"),)), OrderOutcome)
    await story.one(FulfillOrder(order_id), OrderOutcome)
    await story.one(CancelOrder(order_id), OrderOutcome)
    found = await story.check()
    assert found.orders[order_id].state == "FULFILLED"
    assert found.levels[north][1:4] == (4, 0, 0)


async def test_what_was_shipped_of_a_lot_comes_back_to_it_anywhere(story: Story) -> None:
    north, south = await milk(story)
    await story.all(
        AddStock(north, 2, "RECEIPT", lot=LotReceipt("a", SOON)),
        AddStock(north, 2, "RECEIPT", lot=LotReceipt("b", LATE)),
    )
    placed = await story.one(PlaceOrder((WantedLine(*north, 4),), TERMS), OrderOutcome)
    order_id = placed.order.order_id
    await story.one(FulfillOrder(order_id), OrderOutcome)
    assert await story.each(ReturnOrder(order_id, (ReturnedUnits(south, 3),))) == ["LOT_REQUIRED"]
    await story.one(
        ReturnOrder(
            order_id,
            (
                ReturnedUnits(south, 1, LotReceipt("a")),
                ReturnedUnits(north, 1, LotReceipt("b"), "DAMAGE"),
                ReturnedUnits(north, 1, LotReceipt("b")),
            ),
        ),
        OrderOutcome,
    )
    found = await story.check()
    assert found.lots[LotKey(*south, "a")].expiry_date == SOON
    assert found.lots[LotKey(*north, "b")].on_hand == 1


async def test_a_unit_with_a_serial_is_in_one_place(story: Story) -> None:
    north, south = await milk(story)
    sku = north.sku
    await story.all(
        AddStock(north, 3, "RECEIPT", lot=LotReceipt("one", SOON, ("s-1", "s-2", "s-3"))),
        AddStock(north, 1, "RECEIPT", lot=LotReceipt("one", SOON)),
    )
    await story.all(
        MoveStock(north, south, 1, "REBALANCE", lot=LotChoice("", ("s-1",))),
        RemoveStock(north, 1, "SALE", lot=LotChoice("one", ("s-2",))),
    )
    found = await story.check()
    assert dict(found.serials) == {
        (sku, "s-1"): Serial(sku, "s-1", south.location_id, "one"),
        (sku, "s-2"): Serial(sku, "s-2", north.location_id, "one", present=False),
        (sku, "s-3"): Serial(sku, "s-3", north.location_id, "one"),
    }
    assert await story.each(
        AddStock(north, 1, "RECEIPT", lot=LotReceipt("other", LATE, ("s-1",))),
        RemoveStock(north, 1, "SALE", lot=LotChoice("", ("s-1",))),
        RemoveStock(north, 2, "SALE"),
    ) == ["SERIAL_ALREADY_PRESENT", "SERIAL_NOT_FOUND", "SERIALS_REQUIRED"]
    # What has left may come again, anywhere, in another lot; it is the same unit.
    placed = await story.one(PlaceOrder((WantedLine(sku, north.location_id, 1),), TERMS), OrderOutcome)
    await story.one(
        FulfillOrder(placed.order.order_id, (OrderedUnits(north, 1, serials=("s-3",)),)), OrderOutcome
    )
    await story.one(
        ReturnOrder(placed.order.order_id, (ReturnedUnits(south, 1, LotReceipt("one", None, ("s-3",))),)),
        OrderOutcome,
    )
    await story.all(AddStock(south, 1, "RECEIPT", lot=LotReceipt("other", LATE, ("s-2",))))
    found = await story.check()
    assert {serial[2:] for serial in found.serials.values()} == {
        (south.location_id, "one", True),
        (south.location_id, "other", True),
    }


async def test_a_serial_that_arrives_at_two_places_at_once_is_taken_at_one(
    database: RunningStack, story: Story
) -> None:
    """No level is shared, so that no lock stands between the two."""
    north, south = await milk(story)
    await story.all(*(AddStock(key, 1, "RECEIPT", lot=LotReceipt("one")) for key in (north, south)))
    async with Story(database) as other:
        for number in range(20):
            arrival = LotReceipt("one", None, (f"s-{number}",))
            answers = await asyncio.gather(
                story.each(AddStock(north, 1, "RECEIPT", lot=arrival)),
                other.each(AddStock(south, 1, "RECEIPT", lot=arrival)),
            )
            assert [answer for (answer,) in answers if isinstance(answer, str)] == ["SERIAL_ALREADY_PRESENT"]
    story.check_sums()
