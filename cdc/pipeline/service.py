"""PipelineService."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from grpc.aio import ServicerContext

from cdc.pipeline.letters import Letters
from cdc.pipeline.rebuilding import RebuildRunner
from cdc.pipeline.reconciliation import shown
from cdc.pipeline.status import PipelineStatus
from cdc.rebuild_work import RebuildUnderWayError
from cdc.reconcile import Status
from inventory.admin.v1 import pipeline_service_pb2 as pb
from inventory.admin.v1.pipeline_service_pb2_grpc import PipelineServiceServicer
from inventory.type.v1 import error_reason_pb2
from serving.errors import CallError
from serving.identity import caller
from serving.validation import check

Context = ServicerContext[Any, Any]
T = TypeVar("T")

DEFAULT_PAGE_SIZE = 20
HEXADECIMAL = 16


class Pipeline(PipelineServiceServicer):
    """Serves the status, dead letters, rebuilds and the reconciliation.

    `call` runs what blocks, one thing after the other; `reconciled` is what the reconciliation keeps up to
    date.
    """

    def __init__(
        self,
        status: PipelineStatus,
        letters: Letters,
        call: Callable[[Callable[[], Any]], Awaitable[Any]],
        rebuilds: RebuildRunner,
        reconciled: Status,
    ) -> None:
        self._status = status
        self._letters = letters
        self._call = call
        self._rebuilds = rebuilds
        self._reconciled = reconciled

    async def GetPipelineStatus(
        self, request: pb.GetPipelineStatusRequest, _context: Context
    ) -> pb.GetPipelineStatusResponse:
        """Tell how everything stands."""
        check(request)
        return await self._status.read()

    async def ListDeadLetters(
        self, request: pb.ListDeadLettersRequest, _context: Context
    ) -> pb.ListDeadLettersResponse:
        """Return a page of the dead letters."""
        check(request)
        after = _place(request.page_token) if request.page_token else -1
        size = request.page_size or DEFAULT_PAGE_SIZE
        page = await self._call(lambda: self._letters.page(request.reader, after, size))
        token = "" if page.next_place is None else f"{page.next_place:x}"
        return pb.ListDeadLettersResponse(dead_letters=page.letters, next_page_token=token)

    async def ReplayDeadLetters(
        self, request: pb.ReplayDeadLettersRequest, _context: Context
    ) -> pb.ReplayDeadLettersResponse:
        """Write the records of dead letters once more."""
        check(request)
        who, ids = caller().subject, list(request.dead_letter_ids)
        await self._found(lambda: self._letters.replay(ids, who))
        return pb.ReplayDeadLettersResponse(replayed_count=len(ids))

    async def DiscardDeadLetters(
        self, request: pb.DiscardDeadLettersRequest, _context: Context
    ) -> pb.DiscardDeadLettersResponse:
        """Give dead letters up."""
        check(request)
        who, ids = caller().subject, list(request.dead_letter_ids)
        await self._found(lambda: self._letters.discard(ids, who, request.reason))
        return pb.DiscardDeadLettersResponse(discarded_count=len(ids))

    async def StartRebuild(
        self, request: pb.StartRebuildRequest, _context: Context
    ) -> pb.StartRebuildResponse:
        """Begin to make the view anew, or go on with what was left."""
        check(request)
        try:
            return pb.StartRebuildResponse(rebuild=await self._rebuilds.start(caller().subject))
        except RebuildUnderWayError as error:
            raise _under_way(await self._rebuilds.status() or pb.Rebuild()) from error

    async def GetReconciliation(
        self, request: pb.GetReconciliationRequest, _context: Context
    ) -> pb.GetReconciliationResponse:
        """Tell what the reconciliation has found."""
        check(request)
        return shown(self._reconciled)

    async def _found(self, deal: Callable[[], None]) -> None:
        try:
            await self._call(deal)
        except KeyError as error:
            letter_id = str(error.args[0])
            raise CallError(
                error_reason_pb2.ERROR_REASON_DEAD_LETTER_NOT_FOUND,
                f"there is no dead letter {letter_id}",
                metadata={"dead_letter_id": letter_id},
            ) from error


def _under_way(rebuild: pb.Rebuild) -> CallError:
    state = pb.RebuildState.Name(rebuild.state).removeprefix("REBUILD_STATE_")
    return CallError(
        error_reason_pb2.ERROR_REASON_REBUILD_UNDER_WAY,
        f"a rebuild is under way: {rebuild.generation}, {state}",
        metadata={"generation": rebuild.generation, "state": state, "actor": rebuild.actor},
    )


def _place(token: str) -> int:
    try:
        return int(token, HEXADECIMAL)
    except ValueError as error:
        raise CallError(
            error_reason_pb2.ERROR_REASON_INVALID_PAGE_TOKEN,
            "page_token is not one that this list has handed out: begin anew without it",
            metadata={"page_token": token},
        ) from error
