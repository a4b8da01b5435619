"""Batches: each command by itself, or all or none."""

from __future__ import annotations

from typing import Any, cast

import pytest

from inventory.command.v1 import stock_command_service_pb2 as pb
from serving import tokens
from tests.unit.command_svc.memory_store import MemoryStore
from tests.unit.command_svc.services.broken import AHEAD
from tests.unit.command_svc.services.calling import Commands, Refused, refusal
from tests.unit.command_svc.services.good import ADD, COUNT, ITEM, LINE, MOVE, REMOVE, Fields


def batched(*given: Fields) -> list[pb.StockCommand]:
    """Return commands of a batch, each the fields of a kind named by `kind`, "add" if none."""
    return [
        pb.StockCommand(**cast("Any", {fields.get("kind", "add"): _without_kind(fields)})) for fields in given
    ]


def _without_kind(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if name != "kind"}


def outcomes(answer: Any) -> list[str | None]:  # noqa: ANN401 - of any batch
    """Return which result each command has."""
    return [result.WhichOneof("result") for result in answer.results]


async def test_an_invalid_command_of_a_batch_fails_by_itself_with_the_status_of_its_own_call(
    commands: Commands, store: MemoryStore
) -> None:
    bad: list[tuple[Fields, str]] = [
        ({**ADD, "quantity": 0}, "quantity"),
        ({**ADD, "occur_time": AHEAD}, "occur_time"),
        ({**ADD, "validate_only": True}, "validate_only"),
        ({**ADD, "request_id": "a b"}, "request_id"),
        ({**MOVE, "kind": "move", "destination_location_id": "WH"}, ""),
        ({**COUNT, "kind": "adjust", "reason": 1}, "reason"),
    ]
    given = batched(ADD, *(fields for fields, _ in bad), {**REMOVE, "kind": "remove", "quantity": 2})
    answer = await commands.call("BatchStock", pb.BatchStockRequest(commands=[*given, pb.StockCommand()]))
    assert outcomes(answer) == ["added", *["error"] * len(bad), "removed", "error"]
    for result, field in zip(
        [*answer.results[1:-2], answer.results[-1]], [*(f for _, f in bad), "command"], strict=True
    ):
        refused = Refused(result.error)
        assert (refused.code, refused.reason, refused.fields) == (3, "INVALID_FIELD", {field})
    assert answer.results[-2].removed.level.on_hand == 3
    assert len(store.ledger) == 2


@pytest.mark.parametrize(
    ("broken", "field"),
    [({**ADD, "quantity": 0}, "quantity"), ({**ADD, "occur_time": AHEAD}, "occur_time"), (None, "command")],
)
async def test_an_invalid_command_fails_an_atomic_batch_which_names_it(
    commands: Commands, store: MemoryStore, broken: Fields | None, field: str
) -> None:
    bad = pb.StockCommand() if broken is None else batched(broken)[0]
    refused = await refusal(
        commands.call(
            "BatchStock", pb.BatchStockRequest(atomic=True, commands=[*batched(ADD, ADD), bad, *batched(ADD)])
        )
    )
    assert (refused.code, refused.reason, refused.fields) == (3, "INVALID_FIELD", {field})
    assert refused.metadata == {"field": field, "command_index": "2"}
    assert store.transactions == 0


async def test_a_refused_command_fails_an_atomic_batch_which_names_it(
    commands: Commands, store: MemoryStore
) -> None:
    given = batched(ADD, {**REMOVE, "kind": "remove", "quantity": 6}, ADD)
    refused = await refusal(commands.call("BatchStock", pb.BatchStockRequest(atomic=True, commands=given)))
    assert (refused.code, refused.reason) == (9, "INSUFFICIENT_STOCK")
    assert refused.metadata == {
        "sku": "MUG",
        "location_id": "WH",
        "requested": "6",
        "available": "5",
        "command_index": "1",
    }
    assert store.is_untouched


async def test_a_batch_gives_ids_to_the_commands_that_bring_none(
    commands: Commands, store: MemoryStore
) -> None:
    given = batched(ADD, {**ADD, "request_id": "mine"}, {**REMOVE, "kind": "remove", "quantity": 1})
    answer = await commands.call("BatchStock", pb.BatchStockRequest(request_id="batch", commands=given))
    assert answer.request_id == "batch"
    assert [one.added.request_id for one in answer.results[:2]] == ["batch.0", "mine"]
    assert answer.results[2].removed.request_id == "batch.2"
    assert store.records.keys() == {"batch.0", "mine", "batch.2"}
    assert [entry.why.cause.request_id for entry in store.ledger] == ["batch.0", "mine", "batch.2"]


async def test_a_batchs_token_is_that_of_what_it_committed_and_empty_when_nothing_was(
    commands: Commands,
) -> None:
    answer = await commands.call(
        "BatchStock",
        pb.BatchStockRequest(commands=batched({**REMOVE, "kind": "remove"}, ADD, {**ADD, "sku": "NO"})),
    )
    assert outcomes(answer) == ["error", "added", "error"]
    assert answer.consistency_token == answer.results[1].added.consistency_token
    assert tokens.decode(answer.consistency_token)
    nothing = await commands.call(
        "BatchStock", pb.BatchStockRequest(commands=batched({**ADD, "sku": "NO"}, {**ADD, "quantity": 0}))
    )
    assert outcomes(nothing) == ["error", "error"]
    assert nothing.consistency_token == ""


async def test_a_whole_batch_is_validated_by_its_own_field(commands: Commands, store: MemoryStore) -> None:
    given = batched(ADD, {**REMOVE, "kind": "remove", "quantity": 6})
    answer = await commands.call("BatchStock", pb.BatchStockRequest(validate_only=True, commands=given))
    assert outcomes(answer) == ["added", "error"]
    assert answer.results[0].added.level.on_hand == 5
    assert answer.consistency_token == answer.results[0].added.consistency_token == ""
    assert store.is_untouched


async def test_the_largest_batch_of_the_longest_commands_is_carried_out(
    commands: Commands, store: MemoryStore
) -> None:
    longest = {**ADD, "reference": "r" * 128, "occur_time": {"seconds": 1_700_000_000}}
    answer = await commands.call(
        "BatchStock", pb.BatchStockRequest(request_id="b" * 128, commands=batched(*[longest] * 1000))
    )
    assert set(outcomes(answer)) == {"added"}
    assert answer.results[-1].added.level.version == len(store.ledger) == 1000


async def test_each_reservation_of_a_batch_has_its_own_result(commands: Commands, store: MemoryStore) -> None:
    await commands.do("AddStock")
    one = {"lines": [LINE]}
    answer = await commands.do(
        "BatchReserveStock", commands=[one, {}, {**one, "validate_only": True}, one, one]
    )
    assert outcomes(answer) == ["reserved", "error", "error", "reserved", "error"]
    assert Refused(answer.results[4].error).reason == "INSUFFICIENT_STOCK"
    assert len(store.reservations) == 2
    refused = await refusal(commands.do("BatchReserveStock", atomic=True, commands=[one, one]))
    assert (refused.reason, refused.metadata["command_index"]) == ("INSUFFICIENT_STOCK", "0")
    assert len(store.reservations) == 2


async def test_each_item_of_a_batch_has_its_own_result(commands: Commands, store: MemoryStore) -> None:
    variant = {"sku": "NEW-L", "name": "New, large", "parent_sku": "NEW", "option_values": {"size": "L"}}
    answer = await commands.do("BatchCreateItems", commands=[ITEM, ITEM, {"sku": "a b"}, variant])
    assert outcomes(answer) == ["created", "error", "error", "created"]
    assert Refused(answer.results[1].error).reason == "ITEM_ALREADY_EXISTS"
    assert answer.results[3].created.item.parent_sku == "NEW"
    assert answer.consistency_token
    assert store.items.keys() >= {"NEW", "NEW-L"}


async def test_a_thousand_items_are_created_at_once(commands: Commands) -> None:
    many = [{"sku": f"SKU-{number}", "name": "One of many"} for number in range(1000)]
    answer = await commands.do("BatchCreateItems", atomic=True, commands=many)
    assert set(outcomes(answer)) == {"created"}
