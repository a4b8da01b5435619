"""The pipeline from the database to the view and to the public topics: looked at, and kept going."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from inventory.admin.v1 import pipeline_service_pb2 as pb
from inventory.admin.v1.pipeline_service_pb2_grpc import PipelineServiceStub

from .connection import Connection

if TYPE_CHECKING:
    from inventory.admin.v1.pipeline_service_pb2_grpc import PipelineServiceAsyncStub


class PipelineAdmin(Connection):
    """The calls of PipelineService."""

    @cached_property
    def _pipeline(self) -> PipelineServiceAsyncStub:
        return PipelineServiceStub(self._channel)

    async def get_pipeline_status(
        self, request: pb.GetPipelineStatusRequest, *, timeout: float | None = None
    ) -> pb.GetPipelineStatusResponse:
        """Read how everything stands; parts that do not answer are named in the answer."""
        return await self._call(self._pipeline.GetPipelineStatus, request, timeout)

    async def list_dead_letters(
        self, request: pb.ListDeadLettersRequest, *, timeout: float | None = None
    ) -> pb.ListDeadLettersResponse:
        """Read a page of the dead letters. Raises InvalidPageTokenError."""
        return await self._call(self._pipeline.ListDeadLetters, request, timeout)

    async def replay_dead_letters(
        self, request: pb.ReplayDeadLettersRequest, *, timeout: float | None = None
    ) -> pb.ReplayDeadLettersResponse:
        """Write the records of dead letters once more, all or none. Raises DeadLetterNotFoundError.

        An attempt whose answer was lost makes the next one find nothing: then they have been replayed.
        """
        return await self._call(self._pipeline.ReplayDeadLetters, request, timeout)

    async def discard_dead_letters(
        self, request: pb.DiscardDeadLettersRequest, *, timeout: float | None = None
    ) -> pb.DiscardDeadLettersResponse:
        """Give dead letters up for a reason, all or none. Raises DeadLetterNotFoundError.

        An attempt whose answer was lost makes the next one find nothing: then they have been given up.
        """
        return await self._call(self._pipeline.DiscardDeadLetters, request, timeout)

    async def start_rebuild(
        self, request: pb.StartRebuildRequest, *, timeout: float | None = None
    ) -> pb.StartRebuildResponse:
        """Begin to make the view anew, or go on with a rebuild that was left; it goes on without the caller.

        Raises RebuildUnderWayError, also where an attempt whose answer was lost has begun it.
        """
        return await self._call(self._pipeline.StartRebuild, request, timeout)

    async def get_reconciliation(
        self, request: pb.GetReconciliationRequest, *, timeout: float | None = None
    ) -> pb.GetReconciliationResponse:
        """Read what the reconciliation has compared, found and put right."""
        return await self._call(self._pipeline.GetReconciliation, request, timeout)
