"""What breaks in a way that nobody expects: no entry is lost without a word, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

import pytest
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as pb
from structlog.testing import capture_logs

from audit import writer as writer_module
from audit.receiver import service
from audit.receiver.inbox import Inbox
from audit.receiver.service import Receiver, receiving
from audit.writer import LATE_ATTEMPTS, AuditUnavailableError, AuditWriter
from serving.audit import Entry
from tests.signals import terminations

PATIENCE = 5.0
NOBODY = "postgresql://127.0.0.1:1/"
ENTRY = Entry(datetime(2026, 1, 1, tzinfo=UTC), "some/Method", "PERMISSION_DENIED")


async def test_entries_wait_for_a_fault_to_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "MAX_BACKOFF_SECONDS", 0.001)
    attempts: list[list[Entry]] = []
    failing, late, done = True, asyncio.Event(), asyncio.Event()

    async def write(_: AuditWriter, batch: Sequence[Entry]) -> None:
        attempts.append(list(batch))
        if len(attempts) > LATE_ATTEMPTS:
            late.set()
        if failing:
            raise LookupError("nobody expects this")
        done.set()

    monkeypatch.setattr(AuditWriter, "_write", write)
    with capture_logs() as logged:
        async with AuditWriter(NOBODY, connect_timeout=1.0) as writer:
            writer.record(ENTRY)
            await asyncio.wait_for(late.wait(), PATIENCE)
            with pytest.raises(AuditUnavailableError, match=r"1 entries wait: .*nobody expects this"):
                await writer.check()
            failing = False
            await asyncio.wait_for(done.wait(), PATIENCE)
    assert attempts[-1] == [ENTRY]
    (entry,) = logged
    assert (entry["event"], entry["log_level"]) == ("audit entries wait", "error")
    assert isinstance(entry["exc_info"], LookupError)


class BrokenInbox:
    """An inbox that breaks in a way that nobody expects."""

    async def keep(self, _: object) -> None:
        """Break."""
        raise LookupError("nobody expects this")


class Proxy:
    """The context of a call, which tells what it is ended with."""

    async def abort(self, code: object, details: str) -> None:
        """End the call."""
        raise ConnectionError(f"{code}: {details}")


async def test_a_receiver_that_breaks_keeps_no_proxy_waiting_and_ends_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "refusal_in", lambda _record, _now: ENTRY)
    request = pb.ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add()
    receiver = Receiver(cast("Inbox", BrokenInbox()), window=0.001)

    async def send_meanwhile() -> None:
        async with receiving(receiver):
            with pytest.raises(ConnectionError, match="UNAVAILABLE: the audit log does not answer"):
                await asyncio.wait_for(receiver.Export(request, cast("service.Context", Proxy())), PATIENCE)

    with terminations() as terminated:
        with pytest.raises(LookupError):
            await send_meanwhile()
        await asyncio.wait_for(terminated.wait(), PATIENCE)
