"""Transfers in the answers of their commands."""

from __future__ import annotations

from inventory.type.v1.transfer_pb2 import TransferState
from tests.unit.command_svc.services.calling import Commands, refusal
from tests.unit.command_svc.services.good import AN_ID


async def test_a_transfer_is_received_in_parts_and_the_difference_written_off(commands: Commands) -> None:
    await commands.do("AddStock")
    sent = await commands.do("DispatchTransfer", lines=[{"sku": "MUG", "quantity": 4}], reference="truck-1")
    transfer_id = sent.transfer.transfer_id
    levels = {one.location_id: (one.on_hand, one.in_transit) for one in sent.levels}
    assert levels == {"WH": (1, 0), "ST": (0, 4)}

    some = await commands.do(
        "ReceiveTransfer", transfer_id=transfer_id, lines=[{"sku": "MUG", "quantity": 3}]
    )
    assert [(one.on_hand, one.in_transit) for one in some.levels] == [(3, 1)]
    more = await refusal(
        commands.do("ReceiveTransfer", transfer_id=transfer_id, lines=[{"sku": "MUG", "quantity": 2}])
    )
    assert (more.code, more.reason) == (9, "EXCEEDS_TRANSFER")

    lines = [{"sku": "MUG", "quantity": 1}]
    closed = await commands.do("ReceiveTransfer", transfer_id=transfer_id, lines=lines)
    assert TransferState.Name(closed.transfer.state) == "TRANSFER_STATE_RECEIVED"
    for rpc in ("ReceiveTransfer", "CancelTransfer"):
        refused = await refusal(commands.do(rpc, transfer_id=transfer_id))
        assert (refused.code, refused.reason) == (9, "TRANSFER_RESOLVED")


async def test_what_never_arrives_is_written_off_for_a_reason(commands: Commands) -> None:
    await commands.do("AddStock")
    sent = await commands.do("DispatchTransfer", lines=[{"sku": "MUG", "quantity": 4}])
    closed = await commands.do(
        "ReceiveTransfer",
        transfer_id=sent.transfer.transfer_id,
        lines=[{"sku": "MUG", "quantity": 1}],
        close=True,
        write_off_reason="MOVEMENT_REASON_LOSS",
    )
    (line,) = closed.transfer.lines
    assert (line.quantity, line.received, line.written_off) == (4, 1, 3)
    assert [(one.on_hand, one.in_transit) for one in closed.levels] == [(1, 0)]


async def test_a_cancelled_transfer_comes_back_and_a_cancelled_delivery_is_expected_no_more(
    commands: Commands,
) -> None:
    await commands.do("AddStock")
    sent = await commands.do("DispatchTransfer", lines=[{"sku": "MUG", "quantity": 4}])
    back = await commands.do("CancelTransfer", transfer_id=sent.transfer.transfer_id)
    levels = {one.location_id: (one.on_hand, one.in_transit) for one in back.levels}
    assert levels == {"WH": (5, 0), "ST": (0, 0)}

    expected = await commands.do(
        "DispatchTransfer", supplier="ACME", expected_arrival_time={"seconds": 10**9}
    )
    assert expected.transfer.supplier == "ACME"
    assert [one.in_transit for one in expected.levels] == [2]
    off = await commands.do("CancelTransfer", transfer_id=expected.transfer.transfer_id)
    assert [(one.on_hand, one.in_transit) for one in off.levels] == [(0, 0)]


async def test_an_unknown_transfer_is_not_found(commands: Commands) -> None:
    for rpc in ("ReceiveTransfer", "CancelTransfer"):
        refused = await refusal(commands.do(rpc))
        assert (refused.code, refused.reason) == (5, "TRANSFER_NOT_FOUND")
        assert refused.metadata == {"transfer_id": AN_ID}
