"""OrderCommandService."""

from __future__ import annotations

from command_svc.batcher import Batcher
from command_svc.services.lane import Context, answer
from inventory.command.v1 import order_command_service_pb2 as pb
from inventory.command.v1.order_command_service_pb2_grpc import OrderCommandServiceServicer


class OrderCommands(OrderCommandServiceServicer):
    """Serves the order commands from one lane."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher

    async def PlaceOrder(self, request: pb.PlaceOrderRequest, _context: Context) -> pb.PlaceOrderResponse:
        """Promise units to an order, those that are there and, if it may wait, those to come."""
        return pb.PlaceOrderResponse.FromString(await answer(self._batcher, request))

    async def FulfillOrder(
        self, request: pb.FulfillOrderRequest, _context: Context
    ) -> pb.FulfillOrderResponse:
        """Ship units that lie ready for an order."""
        return pb.FulfillOrderResponse.FromString(await answer(self._batcher, request))

    async def CancelOrder(self, request: pb.CancelOrderRequest, _context: Context) -> pb.CancelOrderResponse:
        """Give up what has not been shipped."""
        return pb.CancelOrderResponse.FromString(await answer(self._batcher, request))

    async def ReturnOrder(self, request: pb.ReturnOrderRequest, _context: Context) -> pb.ReturnOrderResponse:
        """Take shipped units back, into stock or written off."""
        return pb.ReturnOrderResponse.FromString(await answer(self._batcher, request))
