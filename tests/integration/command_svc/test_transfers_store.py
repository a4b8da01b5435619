"""Stock on its way, on the real database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.levels import LevelKey
from command_svc.domain.lot import LotChoice, LotKey, LotReceipt
from command_svc.domain.orders import OrderOutcome, PlaceOrder
from command_svc.domain.sourcing import Strategy
from command_svc.domain.stock import AddStock, RemoveStock, SetStockPolicy
from command_svc.domain.transfer import TransferLine
from command_svc.domain.transfers import (
    ArrivedLine,
    CancelTransfer,
    DispatchedLine,
    DispatchTransfer,
    ReceiveTransfer,
    TransferOutcome,
)
from tests.integration.command_svc.story import Story

pytestmark = pytest.mark.stack

NOON = datetime(2030, 1, 2, 12, tzinfo=UTC)
TODAY = datetime.now(UTC).date()
SOON, LATE = (TODAY + timedelta(days=days) for days in (10, 20))
LATER = Terms(Strategy("PRIORITY"), backorder=True)


async def test_a_transfer_arrives_in_parts_and_the_rest_is_written_off(story: Story) -> None:
    mug, pen = await story.item("mug"), await story.item("pen")
    north, south = await story.place("north"), await story.place("south")
    await story.all(
        AddStock(LevelKey(mug, north), 10, "RECEIPT"), AddStock(LevelKey(pen, north), 10, "RECEIPT")
    )
    sent = await story.one(
        DispatchTransfer(north, "", south, (DispatchedLine(mug, 6), DispatchedLine(pen, 4)), NOON, "truck 7"),
        TransferOutcome,
    )
    transfer_id = sent.transfer.transfer_id
    found = await story.check()
    assert found.levels[LevelKey(mug, south)][1:5] == (0, 0, 0, 6)
    assert found.transfers[transfer_id].expected_arrival_time == NOON

    await story.one(ReceiveTransfer(transfer_id, (ArrivedLine(mug, 2),)), TransferOutcome)
    assert (await story.check()).transfers[transfer_id].state == "IN_TRANSIT"
    assert await story.each(ReceiveTransfer(transfer_id, (ArrivedLine(mug, 5),))) == ["EXCEEDS_TRANSFER"]
    await story.one(ReceiveTransfer(transfer_id, (ArrivedLine(pen, 4),), "LOSS"), TransferOutcome)
    found = await story.check()
    assert found.transfers[transfer_id].state == "RECEIVED"
    assert found.transfers[transfer_id].lines == (TransferLine(mug, 6, 2, 4), TransferLine(pen, 4, 4))
    assert story.history(mug, south) == [
        ("EXPECT", "TRANSFER", 0, 0, 0, 6, ""),
        ("RECEIVE", "TRANSFER", 2, 0, 0, -2, ""),
        ("WRITE_OFF", "LOSS", 0, 0, 0, -4, ""),
    ]
    assert await story.each(CancelTransfer(transfer_id)) == ["TRANSFER_RESOLVED"]


async def test_a_cancelled_transfer_goes_back_to_where_it_came_from(story: Story) -> None:
    mug, north, south = await story.item("mug"), await story.place("north"), await story.place("south")
    level = LevelKey(mug, north)
    await story.all(AddStock(level, 5, "RECEIPT"), SetStockPolicy(level, backorder_limit=5))
    sent = await story.one(DispatchTransfer(north, "", south, (DispatchedLine(mug, 5),)), TransferOutcome)
    transfer_id = sent.transfer.transfer_id
    order = await story.one(PlaceOrder((WantedLine(mug, north, 2),), LATER), OrderOutcome)
    await story.one(ReceiveTransfer(transfer_id, (ArrivedLine(mug, 1),)), TransferOutcome)
    await story.one(CancelTransfer(transfer_id), TransferOutcome)
    found = await story.check()
    assert found.transfers[transfer_id].state == "CANCELLED"
    assert found.orders[order.order.order_id].waits_at(level) == 0
    assert found.levels[level][1:5] == (4, 2, 0, 0)
    assert found.levels[LevelKey(mug, south)][1:5] == (1, 0, 0, 0)


async def test_a_delivery_is_expected_received_and_given_to_who_waits(story: Story) -> None:
    mug, north = await story.item("mug"), await story.place("north")
    level = LevelKey(mug, north)
    await story.all(SetStockPolicy(level, backorder_limit=9))
    order = await story.one(PlaceOrder((WantedLine(mug, north, 7),), LATER), OrderOutcome)
    sent = await story.all(
        DispatchTransfer("", "ACME", north, (DispatchedLine(mug, 5),)),
        DispatchTransfer("", "ACME", north, (DispatchedLine(mug, 3),)),
    )
    first, second = (one.transfer.transfer_id for one in sent if isinstance(one, TransferOutcome))
    assert (await story.check()).levels[level].in_transit == 8
    await story.all(ReceiveTransfer(first), ReceiveTransfer(second, (ArrivedLine(mug, 1),)))
    await story.one(CancelTransfer(second), TransferOutcome)
    found = await story.check()
    assert found.orders[order.order.order_id].waits_at(level) == 1
    assert found.levels[level][1:5] == (6, 6, 1, 0)
    assert {row["supplier"] for row in story.ask("SELECT supplier FROM transfers")} >= {"ACME"}
    entries = story.ask("SELECT kind, supplier FROM stock_movements WHERE sku = %s", mug)
    assert {(one["kind"], one["supplier"]) for one in entries} >= {("EXPECT", "ACME"), ("RECEIVE", "ACME")}


async def test_lots_and_serials_travel_with_their_units(story: Story) -> None:
    milk = await story.item("milk", lot_tracked=True)
    north, south = await story.place("north"), await story.place("south")
    here, there = LevelKey(milk, north), LevelKey(milk, south)
    await story.all(
        AddStock(here, 2, "RECEIPT", lot=LotReceipt("late", LATE, ("s-1", "s-2"))),
        AddStock(here, 3, "RECEIPT", lot=LotReceipt("soon", SOON)),
    )
    sent = await story.one(
        DispatchTransfer(
            north,
            "",
            south,
            (DispatchedLine(milk, 3), DispatchedLine(milk, 2, LotChoice("late", ("s-1", "s-2")))),
        ),
        TransferOutcome,
    )
    transfer_id = sent.transfer.transfer_id
    assert set(sent.transfer.lines) == {
        TransferLine(milk, 3, lot_id="soon"),
        TransferLine(milk, 2, lot_id="late", serials=("s-1", "s-2")),
    }
    found = await story.check()
    assert not any(serial.present for serial in found.serials.values())

    arrived = ArrivedLine(milk, 1, LotReceipt("late", None, ("s-2",)))
    await story.one(ReceiveTransfer(transfer_id, (arrived,)), TransferOutcome)
    found = await story.check()
    assert {one.serials for one in found.transfers[transfer_id].lines} == {(), ("s-1",)}
    assert found.lots[LotKey(*there, "late")][1:5] == (LATE, 1, 0, 1)

    await story.one(
        ReceiveTransfer(transfer_id, (ArrivedLine(milk, 2, LotReceipt("soon")),)), TransferOutcome
    )
    await story.one(CancelTransfer(transfer_id), TransferOutcome)
    found = await story.check()
    assert found.lots[LotKey(*there, "soon")][1:3] == (SOON, 2)
    assert found.lots[LotKey(*here, "soon")].on_hand == 1
    assert found.lots[LotKey(*here, "late")].serials == 1
    assert {(one.number, one.location_id) for one in found.serials.values() if one.present} == {
        ("s-1", north),
        ("s-2", south),
    }


async def test_a_delivery_names_its_lots_when_it_arrives(story: Story) -> None:
    milk, north = await story.item("milk", lot_tracked=True), await story.place("north")
    sent = await story.one(DispatchTransfer("", "Dairy", north, (DispatchedLine(milk, 5),)), TransferOutcome)
    transfer_id = sent.transfer.transfer_id
    assert await story.each(ReceiveTransfer(transfer_id)) == ["LOT_REQUIRED"]
    arrived = (
        ArrivedLine(milk, 2, LotReceipt("a", SOON, ("s-1", "s-2"))),
        ArrivedLine(milk, 2, LotReceipt("b", LATE)),
    )
    await story.one(ReceiveTransfer(transfer_id, arrived, "DAMAGE"), TransferOutcome)
    found = await story.check()
    assert found.levels[LevelKey(milk, north)][1:5] == (4, 0, 0, 0)
    assert story.history(milk, north)[-1] == ("WRITE_OFF", "DAMAGE", 0, 0, 0, -1, "")


async def test_transfers_of_one_transaction_follow_each_other_on_the_same_rows(story: Story) -> None:
    mug, north, south = await story.item("mug"), await story.place("north"), await story.place("south")
    here, there = LevelKey(mug, north), LevelKey(mug, south)
    await story.all(AddStock(here, 6, "RECEIPT"))
    sent = [
        await story.one(DispatchTransfer(*ends, (DispatchedLine(mug, 3),)), TransferOutcome)
        for ends in ((north, "", south), (north, "", south))
    ]
    first, second = (one.transfer.transfer_id for one in sent)
    answers = await story.each(
        ReceiveTransfer(first, (ArrivedLine(mug, 1),)),
        ReceiveTransfer(first, (ArrivedLine(mug, 1),)),
        RemoveStock(there, 3, "SALE"),
        CancelTransfer(second),
        ReceiveTransfer(second),
        ReceiveTransfer(first, (ArrivedLine(mug, 1),), "LOSS"),
        DispatchTransfer(south, "", north, (DispatchedLine(mug, 3),)),
    )
    assert [one for one in answers if isinstance(one, str)] == ["INSUFFICIENT_STOCK", "TRANSFER_RESOLVED"]
    found = await story.check()
    assert [found.transfers[one].state for one in (first, second)] == ["RECEIVED", "CANCELLED"]
    assert (found.levels[here][1:5], found.levels[there][1:5]) == ((3, 0, 0, 3), (0, 0, 0, 0))
