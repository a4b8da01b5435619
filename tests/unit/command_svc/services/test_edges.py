"""What lies just inside the rules is accepted."""

from __future__ import annotations

import time

import pytest

from tests.unit.command_svc.services.broken import MOST
from tests.unit.command_svc.services.calling import Commands
from tests.unit.command_svc.services.good import GOOD, REASONS, Fields, build

# Those that are refused, or refuse their commands, while nothing is there.
TAKERS = {
    *("RemoveStock", "MoveStock", "ReserveStock", "BatchReserveStock"),
    *("ConfirmReservation", "CancelReservation", "ExtendReservation"),
    *("PlaceOrder", "FulfillOrder", "CancelOrder", "ReturnOrder"),
    *("DispatchTransfer", "ReceiveTransfer", "CancelTransfer"),
}


@pytest.mark.parametrize(
    ("rpc", "change"),
    [
        *((rpc, {}) for rpc in GOOD if rpc not in TAKERS),
        *(("AddStock", {"quantity": one}) for one in (1, MOST)),
        *(("AddStock", {"reason": f"MOVEMENT_REASON_{one}"}) for one in REASONS["AddStock"].split()),
        *(("AdjustStock", {"reason": f"MOVEMENT_REASON_{one}"}) for one in REASONS["AdjustStock"].split()),
        ("AdjustStock", {"counted_quantity": 0, "expected_version": 0}),
        ("AdjustStock", {"delta": MOST}),
        ("AddStock", {"request_id": "r" * 128, "reference": "ü" * 128, "supplier": "S" * 64}),
        ("AddStock", {"occur_time": {"seconds": int(time.time()) + 200}}),
        ("AddStock", {"occur_time": {"seconds": -62_135_596_800}}),
        ("CreateItem", {"sku": "S" * 64, "name": "ж" * 200, "description": "x\n" * 2000}),
        ("CreateItem", {"kind": "ITEM_KIND_DIGITAL", "unit_of_measure": "g", "counted": True}),
        ("CreateItem", {"barcodes": ["96385074", "036000291452", "4006381333931", "10614141000415"]}),
        ("CreateItem", {"lot_tracked": True, "weight_grams": 10**9}),
        ("CreateItem", {"parent_sku": "MUG", "option_values": {f"k{n}": "v" * 100 for n in range(10)}}),
        ("CreateItem", {"kind": "ITEM_KIND_BUNDLE", "components": [{"sku": "MUG", "quantity": 2}]}),
        (
            "CreateItem",
            {
                "categories": [f"{n}" for n in range(20)],
                "tags": [f"{n}" for n in range(50)],
                "metadata": {f"k{n}": "v" * 500 for n in range(50)},
            },
        ),
        ("CreateLocation", {"coordinates": {"latitude": -90, "longitude": 180}, "priority": 10_000}),
        ("CreateLocation", {"time_zone": "Europe/Berlin", "address": {"lines": ["x" * 200] * 5}}),
        ("DispatchTransfer", {"supplier": "ACME", "expected_arrival_time": {"seconds": 4_000_000_000}}),
    ],
)
async def test_what_lies_on_the_edge_is_accepted(commands: Commands, rpc: str, change: Fields) -> None:
    answer = await commands.call(rpc, build(rpc, change), actor="a" * 128)
    assert answer.request_id
    assert answer.consistency_token


@pytest.mark.parametrize(
    ("rpc", "reason"),
    [(rpc, reason) for rpc in ("RemoveStock", "MoveStock") for reason in REASONS[rpc].split()],
)
async def test_every_reason_to_take_is_accepted(commands: Commands, rpc: str, reason: str) -> None:
    await commands.do("AddStock")
    await commands.do(rpc, reason=f"MOVEMENT_REASON_{reason}")
