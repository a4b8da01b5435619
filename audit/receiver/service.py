"""The LogsService of OpenTelemetry, to which proxies export what they have refused."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import grpc
import structlog
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as pb
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc

from audit.receiver.access_log import refusal_in
from audit.receiver.inbox import Inbox, InboxError
from serving import tasks
from serving.audit import Entry

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[pb.ExportLogsServiceRequest, pb.ExportLogsServiceResponse]

__all__ = ["MOST_BATCHES", "Receiver", "receiving"]

MOST_BATCHES = 2000
"""Batches that wait at once; a proxy keeps what there is no room for, and sends it again."""

log = structlog.get_logger()


class Waiting(NamedTuple):
    """A batch that its proxy waits for, by its digest: `kept` tells whether its entries are written."""

    digest: bytes
    entries: Sequence[Entry]
    kept: asyncio.Future[bool]


class Receiver(logs_service_pb2_grpc.LogsServiceServicer):
    """Answers a batch when its entries are written: till then its proxy keeps it, and sends it again.

    Batches of `window` seconds are written together, refusals that are alike as one entry.
    """

    def __init__(self, inbox: Inbox, *, window: float) -> None:
        self._inbox = inbox
        self._window = window
        self._waiting: list[Waiting] = []
        self._arrival = asyncio.Event()

    async def Export(  # noqa: N802 - as the contract names it
        self, request: pb.ExportLogsServiceRequest, context: Context
    ) -> pb.ExportLogsServiceResponse:
        """Take the records of a proxy; UNAVAILABLE when they cannot be written now."""
        now = datetime.now(UTC)
        records = (
            record
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        )
        entries = [entry for record in records if (entry := refusal_in(record, now)) is not None]
        if not entries:
            return pb.ExportLogsServiceResponse()
        if len(self._waiting) >= MOST_BATCHES:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "too many batches wait")
        kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        digest = hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
        self._waiting.append(Waiting(digest, entries, kept))
        self._arrival.set()
        if not await kept:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the audit log does not answer")
        return pb.ExportLogsServiceResponse()

    async def run(self) -> None:
        """Write what comes, window after window; never returns."""
        while True:
            await self._arrival.wait()
            await asyncio.sleep(self._window)
            await self.write()

    async def write(self) -> None:
        """Write what waits, and tell the proxies whether it is written."""
        self._arrival.clear()
        taken, self._waiting = self._waiting, []
        kept = False
        try:
            await self._inbox.keep({one.digest: one.entries for one in taken})
            kept = True
        except InboxError as error:
            log.error("refusals wait with their proxies", batches=len(taken), cause=str(error))  # noqa: TRY400
        finally:
            for one in taken:
                if not one.kept.done():  # the proxy may have gone away
                    one.kept.set_result(kept)


@asynccontextmanager
async def receiving(receiver: Receiver) -> AsyncIterator[None]:
    """Have a receiver write what comes; at the end, what waits."""
    try:
        async with tasks.running(receiver.run(), "refusals"):
            yield
    finally:
        await receiver.write()
