"""Commands one by one: ids, replays, validation alone, levels in the answer."""

from __future__ import annotations

import pytest

from inventory.command.v1 import stock_command_service_pb2 as pb
from tests.unit.command_svc.memory_store import MemoryStore
from tests.unit.command_svc.services.calling import Commands, Refused, refusal
from tests.unit.command_svc.services.good import build


async def test_of_two_adjustments_the_last_counts(commands: Commands, store: MemoryStore) -> None:
    """A oneof cannot hold both: what the wire says last is what the caller asks."""
    by_delta = build("AdjustStock", {"delta": 3})
    counted = pb.AdjustStockRequest(counted_quantity=5)
    both = pb.AdjustStockRequest.FromString(by_delta.SerializeToString() + counted.SerializeToString())
    answer = await commands.call("AdjustStock", both)
    assert answer.level.on_hand == 5
    assert len(store.ledger) == 1


async def test_a_generated_request_id_comes_back_and_is_new_each_time(
    commands: Commands, store: MemoryStore
) -> None:
    first = await commands.do("AddStock")
    second = await commands.do("AddStock")
    assert first.request_id != second.request_id
    assert store.records.keys() == {first.request_id, second.request_id}
    assert second.level.on_hand == 10


@pytest.mark.parametrize("rpc", ["AddStock", "AdjustStock", "BatchStock", "CreateItem", "CreateLocation"])
async def test_a_replay_is_answered_alike_and_another_callers_is_refused(
    commands: Commands, store: MemoryStore, rpc: str
) -> None:
    request = build(rpc, {"request_id": "r"})
    first = await commands.call(rpc, request, actor="ann")
    kept = dict(store.records)
    assert await commands.call(rpc, request, actor="ann") == first
    assert store.records == kept

    if rpc == "BatchStock":
        again = await commands.call(rpc, request, actor="bob")
        reused = Refused(again.results[0].error)
    else:
        reused = await refusal(commands.call(rpc, request, actor="bob"))
    assert (reused.code, reused.reason) == (10, "REQUEST_ID_REUSED")
    assert store.records == kept


@pytest.mark.parametrize("rpc", ["AddStock", "AdjustStock", "BatchStock", "CreateItem", "CreateLocation"])
async def test_validating_alone_answers_as_usual_and_changes_nothing(
    commands: Commands, store: MemoryStore, rpc: str
) -> None:
    answer = await commands.call(rpc, build(rpc, {"validate_only": True, "request_id": "r"}))
    assert (answer.request_id, answer.consistency_token) == ("r", "")
    assert store.is_untouched
    assert (await commands.call(rpc, build(rpc, {"request_id": "r"}))).consistency_token


async def test_a_policy_holds_back_what_it_says(commands: Commands) -> None:
    await commands.do("AddStock")
    answer = await commands.do("SetStockPolicy", reorder_point=9)
    assert (answer.level.safety_stock, answer.level.sellable, answer.level.low) == (2, 3, True)
    refused = await refusal(commands.do("SetStockPolicy", expected_version=1))
    assert (refused.code, refused.reason) == (10, "VERSION_MISMATCH")
