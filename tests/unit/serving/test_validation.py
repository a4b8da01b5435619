"""The contracts' rules are kept, and every broken one is named by its path."""

from __future__ import annotations

import pytest

from inventory.command.v1 import item_command_service_pb2 as items
from inventory.command.v1 import stock_command_service_pb2 as stock
from inventory.query.v1 import stock_query_service_pb2 as queries
from inventory.type.v1 import error_reason_pb2, stock_pb2
from serving.errors import CallError
from serving.validation import check, warm


def test_a_good_message_passes() -> None:
    check(queries.GetStockLevelRequest(sku="MUG-1", location_id="WH-1"))


def test_every_violation_is_named_by_its_path() -> None:
    names = [stock_pb2.LevelName(sku="MUG-1", location_id="WH-1"), stock_pb2.LevelName(sku="a b")]
    with pytest.raises(CallError) as refused:
        check(queries.BatchGetStockLevelsRequest(names=names))
    error = refused.value
    assert error.reason == error_reason_pb2.ERROR_REASON_INVALID_FIELD
    assert [violation.field for violation in error.violations] == ["names[1].sku", "names[1].location_id"]
    assert all(violation.description for violation in error.violations)
    assert error.metadata == {"field": "names[1].sku"}
    assert error.message.startswith("names[1].sku: ")


def test_a_map_is_named_by_its_key() -> None:
    with pytest.raises(CallError) as refused:
        check(items.CreateItemRequest(sku="MUG-1", name="Mug", metadata={"colour": "x" * 501}))
    assert refused.value.metadata == {"field": 'metadata["colour"]'}


def test_a_oneof_is_named_by_itself() -> None:
    reason = stock_pb2.MOVEMENT_REASON_COUNT
    with pytest.raises(CallError) as refused:
        check(stock.AdjustStockRequest(sku="MUG-1", location_id="WH-1", reason=reason))
    assert refused.value.metadata == {"field": "adjustment"}


def test_a_rule_over_the_whole_message_speaks_for_itself() -> None:
    with pytest.raises(CallError) as refused:
        check(
            stock.MoveStockRequest(
                sku="MUG-1",
                source_location_id="WH-1",
                destination_location_id="WH-1",
                quantity=1,
                reason=stock_pb2.MOVEMENT_REASON_REBALANCE,
            )
        )
    assert "must differ" in refused.value.message
    assert refused.value.metadata == {"field": ""}


def test_warming_refuses_nothing() -> None:
    warm(stock.DESCRIPTOR.services_by_name["StockCommandService"])
