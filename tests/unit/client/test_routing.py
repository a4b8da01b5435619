"""Every command of the contracts names its item on its way, or is known to have none."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from client.routing import item_of
from inventory.command.v1 import item_command_service_pb2 as items
from inventory.command.v1 import location_command_service_pb2 as locations
from inventory.command.v1 import order_command_service_pb2 as orders
from inventory.command.v1 import reservation_command_service_pb2 as reservations
from inventory.command.v1 import stock_command_service_pb2 as stock
from inventory.command.v1 import transfer_command_service_pb2 as transfers
from tests.unit.client.test_services import RPCS

ADD = stock.StockCommand(add=stock.AddStockRequest(sku="A"))
MOVE = stock.StockCommand(move=stock.MoveStockRequest(sku="A"))
RESERVE = reservations.ReserveStockRequest(
    lines=[reservations.ReserveLine(sku="A"), reservations.ReserveLine(sku="B")]
)

OF_AN_ITEM: dict[str, Message] = {
    "CreateItem": items.CreateItemRequest(sku="A", parent_sku="B"),
    "BatchCreateItems": items.BatchCreateItemsRequest(
        commands=[items.CreateItemRequest(sku="A"), items.CreateItemRequest(sku="B")]
    ),
    "UpdateItem": items.UpdateItemRequest(sku="A"),
    "ArchiveItem": items.ArchiveItemRequest(sku="A"),
    "AddStock": stock.AddStockRequest(sku="A"),
    "RemoveStock": stock.RemoveStockRequest(sku="A"),
    "AdjustStock": stock.AdjustStockRequest(sku="A"),
    "MoveStock": stock.MoveStockRequest(sku="A"),
    "SetStockPolicy": stock.SetStockPolicyRequest(sku="A"),
    "BatchStock": stock.BatchStockRequest(commands=[MOVE, ADD]),
    "ReserveStock": RESERVE,
    "ConfirmReservation": reservations.ConfirmReservationRequest(lines=[reservations.ConfirmLine(sku="A")]),
    "BatchReserveStock": reservations.BatchReserveStockRequest(commands=[RESERVE]),
    "PlaceOrder": orders.PlaceOrderRequest(lines=[orders.PlaceLine(sku="A"), orders.PlaceLine(sku="B")]),
    "FulfillOrder": orders.FulfillOrderRequest(lines=[orders.FulfillLine(sku="A")]),
    "CancelOrder": orders.CancelOrderRequest(lines=[orders.CancelLine(sku="A")]),
    "ReturnOrder": orders.ReturnOrderRequest(lines=[orders.ReturnLine(sku="A")]),
    "DispatchTransfer": transfers.DispatchTransferRequest(lines=[transfers.DispatchLine(sku="A")]),
    "ReceiveTransfer": transfers.ReceiveTransferRequest(lines=[transfers.ReceiveLine(sku="A")]),
}
OF_NONE: dict[str, Message] = {
    "CreateLocation": locations.CreateLocationRequest(location_id="L"),
    "UpdateLocation": locations.UpdateLocationRequest(location_id="L"),
    "DeactivateLocation": locations.DeactivateLocationRequest(location_id="L"),
    "CancelReservation": reservations.CancelReservationRequest(reservation_id="R"),
    "ExtendReservation": reservations.ExtendReservationRequest(reservation_id="R"),
    "CancelTransfer": transfers.CancelTransferRequest(transfer_id="T"),
}
STREAMED = {"StreamStock"}
"""Their messages may be of many items, and come when the way has been chosen."""


def test_every_command_is_one_or_the_other() -> None:
    commands = {rpc.name: rpc for rpc in RPCS if ".command." in rpc.full_name}
    assert OF_AN_ITEM.keys() | OF_NONE.keys() | STREAMED == commands.keys()
    for name, message in (OF_AN_ITEM | OF_NONE).items():
        assert message.DESCRIPTOR is commands[name].input_type


@pytest.mark.parametrize("name", OF_AN_ITEM)
def test_a_command_is_of_its_item_or_of_the_first_of_them(name: str) -> None:
    assert item_of(OF_AN_ITEM[name]) == "A"
    assert item_of(type(OF_AN_ITEM[name])()) == ""


@pytest.mark.parametrize("name", OF_NONE)
def test_what_names_no_item_is_of_none(name: str) -> None:
    assert item_of(OF_NONE[name]) == ""


@pytest.mark.parametrize("sku", ["", "MUG 1", "Müg", "A\n", "-A", "A" * 65])
def test_what_no_sku_can_be_is_not_sent(sku: str) -> None:
    assert item_of(stock.AddStockRequest(sku=sku)) == ""


def test_a_command_that_is_empty_is_of_none() -> None:
    assert item_of(stock.BatchStockRequest(commands=[stock.StockCommand()])) == ""
