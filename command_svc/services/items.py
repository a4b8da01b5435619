"""ItemCommandService."""

from __future__ import annotations

from command_svc.batcher import Batcher
from command_svc.services.lane import Context, answer, answer_batch, newest
from inventory.command.v1 import item_command_service_pb2 as pb
from inventory.command.v1.item_command_service_pb2_grpc import ItemCommandServiceServicer
from serving.errors import CallError


class ItemCommands(ItemCommandServiceServicer):
    """Serves the item commands from one lane."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher

    async def CreateItem(self, request: pb.CreateItemRequest, _context: Context) -> pb.CreateItemResponse:
        """Create an item."""
        return pb.CreateItemResponse.FromString(await answer(self._batcher, request))

    async def UpdateItem(self, request: pb.UpdateItemRequest, _context: Context) -> pb.UpdateItemResponse:
        """Change what may be changed of an item."""
        return pb.UpdateItemResponse.FromString(await answer(self._batcher, request))

    async def ArchiveItem(self, request: pb.ArchiveItemRequest, _context: Context) -> pb.ArchiveItemResponse:
        """Let an item take no new stock or promises any more."""
        return pb.ArchiveItemResponse.FromString(await answer(self._batcher, request))

    async def BatchCreateItems(
        self, request: pb.BatchCreateItemsRequest, _context: Context
    ) -> pb.BatchCreateItemsResponse:
        """Create many items in one transaction."""
        batch_id, answers = await answer_batch(self._batcher, request, lambda command: command)
        results = [_result(answered) for answered in answers]
        return pb.BatchCreateItemsResponse(
            request_id=batch_id,
            consistency_token=newest(result.created.consistency_token for result in results),
            results=results,
        )


def _result(answered: bytes | CallError) -> pb.CreateItemResult:
    if isinstance(answered, CallError):
        return pb.CreateItemResult(error=answered.to_status())
    return pb.CreateItemResult(created=pb.CreateItemResponse.FromString(answered))
