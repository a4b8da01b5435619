"""A client that keeps stock in a dictionary: what the services promise, in a few lines."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from client import InventoryClient, error_from_status
from demo.books import Standing
from demo.events import Level
from inventory.command.v1 import stock_command_service_pb2 as pb
from inventory.query.v1.stock_query_service_pb2 import (
    BatchGetStockLevelsRequest,
    BatchGetStockLevelsResponse,
)
from inventory.type.v1.stock_pb2 import StockLevel


def refusal(reason: str) -> status_pb2.Status:
    """Return the status of a refused command."""
    packed = any_pb2.Any()
    packed.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="inventory"))
    return status_pb2.Status(code=code_pb2.FAILED_PRECONDITION, details=[packed])


class Shop(InventoryClient):
    """Stands in for the client and both services behind it.

    stock: where every level stands. batches: the requests that came. refuse: the reason for which the
    command with this reference is refused, whatever the stock.
    """

    def __init__(self, stock: dict[Level, Standing] | None = None) -> None:
        self.stock = {} if stock is None else stock
        self.batches: list[pb.BatchStockRequest] = []
        self.refuse: dict[str, str] = {}

    def change(self, changes: Iterable[tuple[Level, int]], reference: str) -> status_pb2.Status | None:
        """Apply changes of one command, or return why not."""
        changes = list(changes)
        if reference in self.refuse:
            return refusal(self.refuse[reference])
        if any(self.stock.get(level, Standing()).on_hand + delta < 0 for level, delta in changes):
            return refusal("INSUFFICIENT_STOCK")
        for level, delta in changes:
            on_hand, version = self.stock.get(level, Standing())
            self.stock[level] = Standing(on_hand + delta, version + 1)
        return None

    async def add_stock(self, request: pb.AddStockRequest, **_: object) -> pb.AddStockResponse:
        self._raise(self.change([((request.sku, request.location_id), request.quantity)], request.reference))
        return pb.AddStockResponse(request_id=request.request_id)

    async def remove_stock(self, request: pb.RemoveStockRequest, **_: object) -> pb.RemoveStockResponse:
        self._raise(self.change([((request.sku, request.location_id), -request.quantity)], request.reference))
        return pb.RemoveStockResponse(request_id=request.request_id)

    async def batch_stock(self, request: pb.BatchStockRequest, **_: object) -> pb.BatchStockResponse:
        self.batches.append(request)
        results = []
        for number, command in enumerate(request.commands):
            results.append(self._result(command, f"{request.request_id}.{number}"))
        return pb.BatchStockResponse(request_id=request.request_id, results=results)

    async def batch_get_stock_levels(
        self, request: BatchGetStockLevelsRequest, **_: object
    ) -> BatchGetStockLevelsResponse:
        return BatchGetStockLevelsResponse(
            levels=[
                StockLevel(sku=sku, location_id=place, on_hand=standing.on_hand, version=standing.version)
                for sku, place in ((name.sku, name.location_id) for name in request.names)
                if (standing := self.stock.get((sku, place)))
            ]
        )

    def _result(self, command: pb.StockCommand, request_id: str) -> pb.StockCommandResult:
        match command.WhichOneof("command"):
            case "add":
                level, delta = (command.add.sku, command.add.location_id), command.add.quantity
                error = self.change([(level, delta)], command.add.reference)
                answer = pb.StockCommandResult(added=pb.AddStockResponse(request_id=request_id))
            case "remove":
                level, delta = (command.remove.sku, command.remove.location_id), -command.remove.quantity
                error = self.change([(level, delta)], command.remove.reference)
                answer = pb.StockCommandResult(removed=pb.RemoveStockResponse(request_id=request_id))
            case "adjust":
                level = (command.adjust.sku, command.adjust.location_id)
                delta = command.adjust.counted_quantity - self.stock[level].on_hand
                assert command.adjust.expected_version == self.stock[level].version
                error = self.change([(level, delta)], command.adjust.reference)
                answer = pb.StockCommandResult(adjusted=pb.AdjustStockResponse(request_id=request_id))
            case _:
                move = command.move
                halves = [
                    ((move.sku, move.source_location_id), -move.quantity),
                    ((move.sku, move.destination_location_id), move.quantity),
                ]
                error = self.change(halves, move.reference)
                answer = pb.StockCommandResult(moved=pb.MoveStockResponse(request_id=request_id))
        return pb.StockCommandResult(error=error) if error else answer

    def _raise(self, status: status_pb2.Status | None) -> None:
        if status is not None:
            raise error_from_status(status)
