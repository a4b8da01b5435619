"""Lots and serials in the answers of the commands."""

from __future__ import annotations

import pytest

from tests.unit.command_svc.memory_store import MemoryStore
from tests.unit.command_svc.services.calling import Commands, refusal

MILK = {"sku": "MILK", "location_id": "WH"}


def until(year: int) -> dict[str, int]:
    """Return the last day of a year."""
    return {"year": year, "month": 12, "day": 31}


@pytest.fixture(autouse=True)
async def milk(commands: Commands) -> None:
    """Create an item that is kept by lots."""
    await commands.do("CreateItem", sku="MILK", name="Milk", lot_tracked=True)


async def test_units_leave_by_their_dates_and_expired_ones_are_not_sold(
    commands: Commands, store: MemoryStore
) -> None:
    for lot_id, year in (("LATE", 2090), ("SOON", 2080), ("GONE", 2020)):
        lot = {"lot_id": lot_id, "expiry_date": until(year)}
        await commands.do("AddStock", **MILK, quantity=4, lot=lot)
    answer = await commands.do("ReserveStock", lines=[{**MILK, "quantity": 5}])
    assert [(one.lot_id, one.quantity) for one in answer.reservation.lines] == [("LATE", 1), ("SOON", 4)]
    refused = await refusal(commands.do("RemoveStock", **MILK, quantity=4))
    assert (refused.reason, refused.metadata["available"]) == ("INSUFFICIENT_STOCK", "3")
    await commands.do("RemoveStock", **MILK, quantity=4, reason="MOVEMENT_REASON_EXPIRED")
    assert store.ledger[-1].lot_id == "GONE"


async def test_a_lot_must_be_named_and_keeps_its_date(commands: Commands) -> None:
    unnamed = await refusal(commands.do("AddStock", **MILK))
    assert (unnamed.code, unnamed.reason) == (9, "LOT_REQUIRED")
    await commands.do("AddStock", **MILK, lot={"lot_id": "A", "expiry_date": until(2080)})
    other = await refusal(commands.do("AddStock", **MILK, lot={"lot_id": "A", "expiry_date": until(2081)}))
    assert (other.code, other.reason) == (9, "LOT_MISMATCH")
    untracked = await refusal(commands.do("AddStock", lot={"lot_id": "A"}))
    assert (untracked.code, untracked.reason) == (9, "LOT_NOT_TRACKED")


async def test_a_serial_is_at_one_place(commands: Commands) -> None:
    lot = {"lot_id": "A", "serials": ["S1", "S2"]}
    await commands.do("AddStock", **MILK, quantity=2, lot=lot)
    twice = await refusal(commands.do("AddStock", **MILK, quantity=1, lot={"lot_id": "B", "serials": ["S2"]}))
    assert twice.reason == "SERIAL_ALREADY_PRESENT"
    unnamed = await refusal(commands.do("RemoveStock", **MILK, quantity=1))
    assert unnamed.reason == "SERIALS_REQUIRED"
    await commands.do("RemoveStock", **MILK, quantity=1, lot={"serials": ["S2"]})
    gone = await refusal(commands.do("RemoveStock", **MILK, quantity=1, lot={"serials": ["S2"]}))
    assert gone.reason == "SERIAL_NOT_FOUND"
    again = await commands.do("AddStock", **MILK, quantity=1, lot={"lot_id": "B", "serials": ["S2"]})
    assert again.level.on_hand == 2
