"""A good request of every RPC of the command side, to change one field at a time."""

from __future__ import annotations

from typing import Any, cast

from google.protobuf.message import Message

from inventory.command.v1 import item_command_service_pb2 as items
from inventory.command.v1 import location_command_service_pb2 as locations
from inventory.command.v1 import order_command_service_pb2 as orders
from inventory.command.v1 import reservation_command_service_pb2 as reservations
from inventory.command.v1 import stock_command_service_pb2 as stock
from inventory.command.v1 import transfer_command_service_pb2 as transfers

Fields = dict[str, Any]

CONTRACTS = (stock, items, locations, reservations, orders, transfers)
AN_ID = "0197a6b2-0000-7000-8000-000000000001"

KEY: Fields = {"sku": "MUG", "location_id": "WH"}
ADD: Fields = {**KEY, "quantity": 5, "reason": "MOVEMENT_REASON_RECEIPT"}
REMOVE: Fields = {**KEY, "quantity": 5, "reason": "MOVEMENT_REASON_SALE"}
COUNT: Fields = {**KEY, "counted_quantity": 5, "reason": "MOVEMENT_REASON_COUNT"}
MOVE: Fields = {
    "sku": "MUG",
    "source_location_id": "WH",
    "destination_location_id": "ST",
    "quantity": 5,
    "reason": "MOVEMENT_REASON_REBALANCE",
}
LINE: Fields = {**KEY, "quantity": 2}
BACK: Fields = {**LINE, "disposition": "RETURN_DISPOSITION_RESTOCK"}
SENT: Fields = {"sku": "MUG", "quantity": 2}
ITEM: Fields = {"sku": "NEW", "name": "New"}
PLACE: Fields = {"location_id": "NEW", "name": "New", "kind": "LOCATION_KIND_STORE"}
DISPATCH: Fields = {"source_location_id": "WH", "destination_location_id": "ST", "lines": [SENT]}
HOLD: Fields = {"reservation_id": AN_ID}
ORDER: Fields = {"order_id": AN_ID}
TRANSFER: Fields = {"transfer_id": AN_ID}

GOOD: dict[str, tuple[type[Message], Fields]] = {
    "AddStock": (stock.AddStockRequest, ADD),
    "RemoveStock": (stock.RemoveStockRequest, REMOVE),
    "AdjustStock": (stock.AdjustStockRequest, COUNT),
    "MoveStock": (stock.MoveStockRequest, MOVE),
    "SetStockPolicy": (stock.SetStockPolicyRequest, {**KEY, "safety_stock": 2}),
    "BatchStock": (stock.BatchStockRequest, {"commands": [{"add": ADD}]}),
    "StreamStock": (stock.StreamStockRequest, {"commands": [{"add": ADD}]}),
    "ReserveStock": (reservations.ReserveStockRequest, {"lines": [LINE]}),
    "ConfirmReservation": (reservations.ConfirmReservationRequest, HOLD),
    "CancelReservation": (reservations.CancelReservationRequest, HOLD),
    "ExtendReservation": (
        reservations.ExtendReservationRequest,
        {**HOLD, "time_to_live": {"seconds": 60}},
    ),
    "BatchReserveStock": (reservations.BatchReserveStockRequest, {"commands": [{"lines": [LINE]}]}),
    "PlaceOrder": (orders.PlaceOrderRequest, {"lines": [LINE]}),
    "FulfillOrder": (orders.FulfillOrderRequest, ORDER),
    "CancelOrder": (orders.CancelOrderRequest, ORDER),
    "ReturnOrder": (orders.ReturnOrderRequest, {**ORDER, "lines": [BACK]}),
    "DispatchTransfer": (transfers.DispatchTransferRequest, DISPATCH),
    "ReceiveTransfer": (transfers.ReceiveTransferRequest, TRANSFER),
    "CancelTransfer": (transfers.CancelTransferRequest, TRANSFER),
    "CreateItem": (items.CreateItemRequest, ITEM),
    "BatchCreateItems": (items.BatchCreateItemsRequest, {"commands": [ITEM]}),
    "UpdateItem": (
        items.UpdateItemRequest,
        {"sku": "MUG", "item": {"name": "Mug"}, "update_mask": {"paths": ["name"]}},
    ),
    "ArchiveItem": (items.ArchiveItemRequest, {"sku": "MUG"}),
    "CreateLocation": (locations.CreateLocationRequest, PLACE),
    "UpdateLocation": (
        locations.UpdateLocationRequest,
        {"location_id": "WH", "location": {"name": "House"}, "update_mask": {"paths": ["name"]}},
    ),
    "DeactivateLocation": (locations.DeactivateLocationRequest, {"location_id": "WH"}),
}
"""Every RPC with the type and the fields of a good request."""

# The reasons that each command lists in its contract.
REASONS = {
    "AddStock": "RECEIPT RETURN PRODUCTION OPENING FOUND CORRECTION",
    "RemoveStock": "SALE DAMAGE LOSS THEFT SAMPLE INTERNAL_USE EXPIRED CORRECTION SUPPLIER_RETURN",
    "AdjustStock": "COUNT CORRECTION FOUND DAMAGE LOSS THEFT EXPIRED",
    "MoveStock": "REBALANCE RETURN CORRECTION",
}


def build(rpc: str, change: Fields | None = None) -> Message:
    """Return the RPC's good request with other values in the changed fields; None leaves a field out.

    Of a oneof, the field that is changed takes the place of the good one.
    """
    kind, good = GOOD[rpc]
    fields = {**good, **(change or {})}
    for oneof in kind.DESCRIPTOR.oneofs:
        names = [field.name for field in cast("Any", oneof).fields]
        if any(name in (change or {}) and fields[name] is not None for name in names):
            for name in names:
                if name not in (change or {}):
                    fields.pop(name, None)
    return kind(**{name: value for name, value in fields.items() if value is not None})
