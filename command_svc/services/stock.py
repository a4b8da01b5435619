"""StockCommandService."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from command_svc.batcher import Batcher
from command_svc.mapping.stock import message_in, result, token_of
from command_svc.services import stream
from command_svc.services.lane import Context, answer, answer_batch, newest
from inventory.command.v1 import stock_command_service_pb2 as pb
from inventory.command.v1.stock_command_service_pb2_grpc import StockCommandServiceServicer
from serving.identity import caller


class StockCommands(StockCommandServiceServicer):
    """Serves the stock commands from one lane."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher

    async def AddStock(self, request: pb.AddStockRequest, _context: Context) -> pb.AddStockResponse:
        """Add units that have arrived."""
        return pb.AddStockResponse.FromString(await answer(self._batcher, request))

    async def RemoveStock(self, request: pb.RemoveStockRequest, _context: Context) -> pb.RemoveStockResponse:
        """Remove units that are gone."""
        return pb.RemoveStockResponse.FromString(await answer(self._batcher, request))

    async def AdjustStock(self, request: pb.AdjustStockRequest, _context: Context) -> pb.AdjustStockResponse:
        """Correct a level to a counted quantity, or by a delta."""
        return pb.AdjustStockResponse.FromString(await answer(self._batcher, request))

    async def MoveStock(self, request: pb.MoveStockRequest, _context: Context) -> pb.MoveStockResponse:
        """Move units from one location to another at once."""
        return pb.MoveStockResponse.FromString(await answer(self._batcher, request))

    async def SetStockPolicy(
        self, request: pb.SetStockPolicyRequest, _context: Context
    ) -> pb.SetStockPolicyResponse:
        """Set how a level is kept."""
        return pb.SetStockPolicyResponse.FromString(await answer(self._batcher, request))

    async def BatchStock(self, request: pb.BatchStockRequest, _context: Context) -> pb.BatchStockResponse:
        """Carry out many commands in one transaction."""
        batch_id, answers = await answer_batch(self._batcher, request, message_in)
        results = [result(command, done) for command, done in zip(request.commands, answers, strict=True)]
        return pb.BatchStockResponse(
            request_id=batch_id, consistency_token=newest(map(token_of, results)), results=results
        )

    async def StreamStock(
        self, request_iterator: AsyncIterator[pb.StreamStockRequest], _context: Context
    ) -> AsyncGenerator[pb.StreamStockResponse, None]:
        """Carry out the commands of many messages, in their order."""
        async with aclosing(stream.answers(self._batcher, request_iterator, caller())) as answers:
            async for response in answers:
                yield response
