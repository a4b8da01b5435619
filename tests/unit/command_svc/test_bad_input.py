"""Bad input for each command: refused with the path of the field, before the store is asked anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from command_svc.batcher import Batcher
from command_svc.domain.batch import Scope
from command_svc.domain.transaction import Transaction
from command_svc.services.catalog import ItemCommands, LocationCommands
from command_svc.services.stock import StockCommands
from inventory.command.v1 import item_command_service_pb2 as item_pb
from inventory.command.v1 import location_command_service_pb2 as location_pb
from inventory.command.v1 import stock_command_service_pb2 as pb
from inventory.type.v1 import error_reason_pb2
from serving.errors import CallError
from tests.unit.command_svc.making import transaction


class Store:
    """A store that counts what it is asked and knows the items and places of `making.transaction`."""

    def __init__(self) -> None:
        self.transactions = 0

    async def transact(self, _scope: Scope, decide: Callable[[Transaction], None]) -> None:
        """Decide on an empty stock."""
        self.transactions += 1
        decide(transaction())


class Context:
    """A call without metadata."""

    def invocation_metadata(self) -> tuple[()]:
        """Return none."""
        return ()


ADD: dict[str, object] = {"sku": "MUG", "location_id": "WH", "quantity": 1, "reason": 1}
REMOVE: dict[str, object] = {**ADD, "reason": 6}
COUNT: dict[str, object] = {"sku": "MUG", "location_id": "WH", "counted_quantity": 1, "reason": 13}
MOVE: dict[str, object] = {
    "sku": "MUG",
    "source_location_id": "WH",
    "destination_location_id": "ST",
    "quantity": 1,
    "reason": 15,
}
ITEM: dict[str, object] = {"sku": "NEW", "name": "New"}
PLACE: dict[str, object] = {"location_id": "NEW", "name": "New", "kind": 1}
AGES_AHEAD = {"seconds": 4_000_000_000}
NO_TIME = {"seconds": 10**15}

REQUESTS: dict[str, tuple[type[Any], dict[str, object], list[tuple[dict[str, object], str]]]] = {
    "AddStock": (
        pb.AddStockRequest,
        ADD,
        [
            ({"sku": ""}, "sku"),
            ({"sku": "a b"}, "sku"),
            ({"sku": "x" * 65}, "sku"),
            ({"location_id": ""}, "location_id"),
            ({"quantity": 0}, "quantity"),
            ({"quantity": -1}, "quantity"),
            ({"quantity": 10**12 + 1}, "quantity"),
            ({"reason": 0}, "reason"),
            ({"reason": 6}, "reason"),
            ({"reference": "x" * 129}, "reference"),
            ({"reference": "a\nb"}, "reference"),
            ({"request_id": "x" * 129}, "request_id"),
            ({"request_id": "a b"}, "request_id"),
            ({"occur_time": AGES_AHEAD}, "occur_time"),
            ({"occur_time": NO_TIME}, "occur_time"),
        ],
    ),
    "RemoveStock": (
        pb.RemoveStockRequest,
        REMOVE,
        [
            ({"sku": "-x"}, "sku"),
            ({"location_id": "x" * 65}, "location_id"),
            ({"quantity": 0}, "quantity"),
            ({"reason": 1}, "reason"),
            ({"reference": "\0"}, "reference"),
            ({"occur_time": AGES_AHEAD}, "occur_time"),
        ],
    ),
    "AdjustStock": (
        pb.AdjustStockRequest,
        COUNT,
        [
            ({"counted_quantity": -1}, "counted_quantity"),
            ({"counted_quantity": 10**12 + 1}, "counted_quantity"),
            ({"delta": 0}, "delta"),
            ({"delta": -(10**12) - 1}, "delta"),
            ({"reason": 6}, "reason"),
            ({"expected_version": -1}, "expected_version"),
            ({"occur_time": NO_TIME}, "occur_time"),
        ],
    ),
    "MoveStock": (
        pb.MoveStockRequest,
        MOVE,
        [
            ({"source_location_id": ""}, "source_location_id"),
            ({"destination_location_id": "a b"}, "destination_location_id"),
            ({"destination_location_id": "WH"}, ""),
            ({"quantity": 0}, "quantity"),
            ({"reason": 1}, "reason"),
        ],
    ),
    "BatchStock": (
        pb.BatchStockRequest,
        {"commands": [{"add": ADD}]},
        [
            ({"commands": []}, "commands"),
            ({"commands": [{"add": ADD}] * 1001}, "commands"),
            ({"request_id": "\t"}, "request_id"),
            ({"atomic": True, "commands": [{"add": {**ADD, "quantity": 0}}]}, "quantity"),
            ({"atomic": True, "commands": [{}]}, "command"),
            ({"atomic": True, "commands": [{"add": {**ADD, "validate_only": True}}]}, "validate_only"),
        ],
    ),
    "CreateItem": (
        item_pb.CreateItemRequest,
        ITEM,
        [
            ({"sku": ""}, "sku"),
            ({"name": ""}, "name"),
            ({"name": "x" * 201}, "name"),
            ({"name": "a\0b"}, "name"),
            ({"description": "x" * 4001}, "description"),
            ({"description": "\0"}, "description"),
            ({"kind": 99}, "kind"),
            ({"unit_of_measure": "x" * 33}, "unit_of_measure"),
            ({"categories": [""]}, "categories[0]"),
            ({"tags": ["a", "a"]}, "tags"),
            ({"tags": [str(number) for number in range(51)]}, "tags"),
            ({"barcodes": ["123"]}, "barcodes[0]"),
            ({"barcodes": ["4006381333931", "4006381333932"]}, "barcodes[1]"),
            ({"metadata": {"a b": "c"}}, 'metadata["a b"]'),
            ({"metadata": {"a": "x" * 501}}, 'metadata["a"]'),
        ],
    ),
    "CreateLocation": (
        location_pb.CreateLocationRequest,
        PLACE,
        [
            ({"location_id": "a b"}, "location_id"),
            ({"name": ""}, "name"),
            ({"kind": 0}, "kind"),
            ({"kind": 99}, "kind"),
            ({"time_zone": "Mars/Olympus"}, "time_zone"),
            ({"coordinates": {"latitude": 91.0}}, "coordinates"),
            ({"coordinates": {"longitude": -181.0}}, "coordinates"),
            ({"address": {"region_code": "gb"}}, "address.region_code"),
            ({"address": {"lines": ["x"] * 6}}, "address.lines"),
            ({"priority": -1}, "priority"),
        ],
    ),
}
CASES = [(rpc, change, field) for rpc, (_, _, bad) in REQUESTS.items() for change, field in bad]


@pytest.fixture
def store() -> Store:
    """Give a store."""
    return Store()


@pytest.fixture
async def call(store: Store) -> AsyncIterator[Callable[[str, dict[str, object]], Awaitable[Any]]]:
    """Give a way to call an RPC with the fields of its request."""
    async with Batcher(store) as batcher:
        services = [StockCommands(batcher), ItemCommands(batcher), LocationCommands(batcher)]

        async def call(rpc: str, fields: dict[str, object]) -> object:
            (service,) = (service for service in services if rpc in vars(type(service)))
            return await getattr(service, rpc)(REQUESTS[rpc][0](**fields), Context())

        yield call


Call = Callable[[str, dict[str, object]], Awaitable[Any]]


@pytest.mark.parametrize(("rpc", "change", "field"), CASES)
async def test_a_broken_rule_names_its_field(
    call: Call, store: Store, rpc: str, change: dict[str, object], field: str
) -> None:
    fields = {**REQUESTS[rpc][1], **change}
    if "delta" in change:
        del fields["counted_quantity"]
    with pytest.raises(CallError) as refused:
        await call(rpc, fields)
    assert refused.value.reason == error_reason_pb2.ERROR_REASON_INVALID_FIELD
    assert field in {violation.field for violation in refused.value.violations}
    assert store.transactions == 0


@pytest.mark.parametrize("rpc", list(REQUESTS))
async def test_the_request_that_the_bad_ones_are_made_from_is_good(call: Call, rpc: str) -> None:
    fields = dict(REQUESTS[rpc][1])
    if rpc in {"RemoveStock", "MoveStock"}:
        with pytest.raises(CallError) as refused:
            await call(rpc, fields)
        assert refused.value.reason_name == "INSUFFICIENT_STOCK"
    else:
        assert (await call(rpc, fields)).request_id


async def test_an_invalid_command_of_a_batch_is_refused_by_itself(call: Call) -> None:
    commands = [{"add": ADD}, {"add": {**ADD, "quantity": 0}}, {}, {"remove": {**REMOVE, "quantity": 5}}]
    answer = await call("BatchStock", {"request_id": "batch", "commands": commands})
    assert [result.WhichOneof("result") for result in answer.results] == ["added", "error", "error", "error"]
    assert answer.results[0].added.request_id == "batch.0"
    assert answer.consistency_token == answer.results[0].added.consistency_token
    assert "5 were requested" in answer.results[3].error.message


async def test_an_atomic_batch_names_the_command_that_was_refused(call: Call) -> None:
    commands = [{"add": ADD}, {"remove": {**REMOVE, "quantity": 5}}]
    with pytest.raises(CallError) as refused:
        await call("BatchStock", {"atomic": True, "commands": commands})
    assert refused.value.reason_name == "INSUFFICIENT_STOCK"
    assert refused.value.metadata["command_index"] == "1"
