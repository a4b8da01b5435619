"""Orders in the answers of their commands."""

from __future__ import annotations

from typing import Any

from inventory.type.v1.order_pb2 import OrderState
from tests.unit.command_svc.services.calling import Commands, refusal
from tests.unit.command_svc.services.good import KEY


async def placed(commands: Commands, quantity: int, **fields: object) -> Any:  # noqa: ANN401
    """Order units of five that are there; return the answer."""
    await commands.do("AddStock")
    return await commands.do("PlaceOrder", lines=[{**KEY, "quantity": quantity}], **fields)


def parts(answer: Any) -> list[tuple[int, int, int, int, int]]:  # noqa: ANN401
    """Return quantity, backordered, shipped, cancelled and returned of each allocation."""
    return [
        (one.quantity, one.backordered, one.shipped, one.cancelled, one.returned)
        for one in answer.order.allocations
    ]


async def test_an_order_is_shipped_in_parts_cancelled_for_the_rest_and_returned(commands: Commands) -> None:
    answer = await placed(commands, 5, reference="web-1", channel="web")
    order_id = answer.order.order_id
    assert (answer.order.reference, answer.order.channel) == ("web-1", "web")
    assert parts(answer) == [(5, 0, 0, 0, 0)]
    assert [(one.on_hand, one.reserved) for one in answer.levels] == [(5, 5)]

    lines = [{**KEY, "quantity": 3}]
    shipped = await commands.do("FulfillOrder", order_id=order_id, lines=lines)
    assert parts(shipped) == [(5, 0, 3, 0, 0)]
    assert [(one.on_hand, one.reserved) for one in shipped.levels] == [(2, 2)]

    rest = await commands.do("CancelOrder", order_id=order_id)
    assert parts(rest) == [(5, 0, 3, 2, 0)]
    assert OrderState.Name(rest.order.state) == "ORDER_STATE_FULFILLED"

    back = [{**KEY, "quantity": 1, "disposition": "RETURN_DISPOSITION_RESTOCK"}]
    returned = await commands.do("ReturnOrder", order_id=order_id, lines=back)
    assert parts(returned) == [(5, 0, 3, 2, 1)]
    assert [(one.on_hand, one.reserved) for one in returned.levels] == [(3, 0)]
    broken = {"disposition": "RETURN_DISPOSITION_WRITE_OFF", "write_off_reason": "MOVEMENT_REASON_DAMAGE"}
    written_off = await commands.do(
        "ReturnOrder", order_id=order_id, lines=[{**KEY, "quantity": 2, **broken}]
    )
    assert [one.on_hand for one in written_off.levels] == [3]

    for rpc in ("FulfillOrder", "CancelOrder"):
        closed = await refusal(commands.do(rpc, order_id=order_id))
        assert (closed.code, closed.reason) == (9, "ORDER_CLOSED")
    more = await refusal(commands.do("ReturnOrder", order_id=order_id, lines=back))
    assert (more.code, more.reason) == (9, "EXCEEDS_ORDER")


async def test_what_is_not_there_waits_where_the_level_allows_it_and_comes_first_when_it_arrives(
    commands: Commands,
) -> None:
    await commands.do("SetStockPolicy", backorder_limit=4, safety_stock=0)
    short = await refusal(placed(commands, 7))
    assert (short.reason, short.metadata["available"]) == ("INSUFFICIENT_STOCK", "5")
    answer = await commands.do("PlaceOrder", lines=[{**KEY, "quantity": 7}], allow_backorder=True)
    assert parts(answer) == [(7, 2, 0, 0, 0)]
    arrived = await commands.do("AddStock", quantity=3)
    assert (arrived.level.reserved, arrived.level.backordered, arrived.level.sellable) == (7, 0, 1)
    shipped = await commands.do("FulfillOrder", order_id=answer.order.order_id)
    assert parts(shipped) == [(7, 0, 7, 0, 0)]


async def test_a_bundle_takes_its_components_and_a_download_takes_nothing(commands: Commands) -> None:
    parts_of = [{"sku": "MUG", "quantity": 2}, {"sku": "PEN", "quantity": 1}]
    await commands.do("CreateItem", sku="SET", kind="ITEM_KIND_BUNDLE", components=parts_of)
    await commands.do("AddStock")
    await commands.do("AddStock", sku="PEN")
    lines = [{"sku": "SET", "quantity": 2}, {"sku": "SONG", "quantity": 1}]
    answer = await commands.do("PlaceOrder", lines=lines)
    assert [(one.sku, one.quantity) for one in answer.order.lines] == [("SET", 2), ("SONG", 1)]
    assert [(one.sku, one.quantity) for one in answer.order.allocations] == [("MUG", 4), ("PEN", 2)]
    refused = await refusal(commands.do("PlaceOrder", lines=lines))
    assert (refused.reason, refused.metadata["sku"]) == ("INSUFFICIENT_STOCK", "SET")


async def test_an_unknown_order_is_not_found(commands: Commands) -> None:
    for rpc in ("FulfillOrder", "CancelOrder", "ReturnOrder"):
        refused = await refusal(commands.do(rpc))
        assert (refused.code, refused.reason) == (5, "ORDER_NOT_FOUND")
