"""The messages of OrderCommandService."""

from __future__ import annotations

from uuid import UUID

from google.protobuf.message import Message

from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.orders import CancelOrder, FulfillOrder, OrderedUnits, OrderOutcome, PlaceOrder
from command_svc.domain.returns import ReturnedUnits, ReturnOrder
from command_svc.mapping.fields import given, level_key, levels, lot_receipt, reason, sourcing, strategy
from command_svc.mapping.requests import Mapping, encoder
from command_svc.messages import order_message
from inventory.command.v1 import order_command_service_pb2 as pb
from inventory.type.v1.order_pb2 import Order as OrderMessage


def _place(message: pb.PlaceOrderRequest) -> PlaceOrder:
    return PlaceOrder(
        tuple(WantedLine(line.sku, line.location_id or None, line.quantity) for line in message.lines),
        Terms(
            strategy(message.strategy, given(message, "destination")),
            use_safety_stock=message.use_safety_stock,
            backorder=message.allow_backorder,
        ),
        channel=message.channel,
        reference=message.reference,
    )


def _fulfill(message: pb.FulfillOrderRequest) -> FulfillOrder:
    lines = tuple(
        OrderedUnits(level_key(line), line.quantity, line.lot_id, tuple(line.serials))
        for line in message.lines
    )
    return FulfillOrder(UUID(message.order_id), lines)


def _cancel(message: pb.CancelOrderRequest) -> CancelOrder:
    lines = tuple(OrderedUnits(level_key(line), line.quantity) for line in message.lines)
    return CancelOrder(UUID(message.order_id), lines)


def _return(message: pb.ReturnOrderRequest) -> ReturnOrder:
    lines = tuple(
        ReturnedUnits(level_key(line), line.quantity, lot_receipt(line), reason(line.write_off_reason))
        for line in message.lines
    )
    return ReturnOrder(UUID(message.order_id), lines)


def _order(outcome: OrderOutcome) -> OrderMessage:
    return order_message(outcome.order)


MAPPINGS: dict[type[Message], Mapping] = {
    pb.PlaceOrderRequest: Mapping(
        _place, encoder(pb.PlaceOrderResponse, order=_order, levels=levels, sourcing=sourcing)
    ),
    pb.FulfillOrderRequest: Mapping(_fulfill, encoder(pb.FulfillOrderResponse, order=_order, levels=levels)),
    pb.CancelOrderRequest: Mapping(_cancel, encoder(pb.CancelOrderResponse, order=_order, levels=levels)),
    pb.ReturnOrderRequest: Mapping(_return, encoder(pb.ReturnOrderResponse, order=_order, levels=levels)),
}
