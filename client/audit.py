"""The audit log: read, proved, exported; people, exported and erased."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import cached_property
from typing import TYPE_CHECKING

from inventory.admin.v1 import audit_service_pb2 as pb
from inventory.admin.v1.audit_service_pb2_grpc import AuditServiceStub

from .connection import Connection

if TYPE_CHECKING:
    from inventory.admin.v1.audit_service_pb2_grpc import AuditServiceAsyncStub


class AuditAdmin(Connection):
    """The calls of AuditService."""

    @cached_property
    def _audit(self) -> AuditServiceAsyncStub:
        return AuditServiceStub(self._channel)

    async def list_audit_entries(
        self, request: pb.ListAuditEntriesRequest, *, timeout: float | None = None
    ) -> pb.ListAuditEntriesResponse:
        """Read a page of the audit log, which may be empty and not the last. Raises InvalidPageTokenError."""
        return await self._call(self._audit.ListAuditEntries, request, timeout)

    async def verify_audit_day(
        self, request: pb.VerifyAuditDayRequest, *, timeout: float | None = None
    ) -> pb.VerifyAuditDayResponse:
        """Prove a day of the audit log; until it is `complete`, go on after its `end`."""
        return await self._call(self._audit.VerifyAuditDay, request, timeout)

    def export_audit_entries(
        self, request: pb.ExportAuditEntriesRequest, *, timeout: float | None = None
    ) -> AsyncGenerator[pb.ExportAuditEntriesResponse, None]:
        """Yield the entries of a stretch of time; without a timeout it takes as long as it takes.

        Is not tried again: go on with the resume_token of the last message. Raises InvalidPageTokenError.
        """
        return self._answers(self._audit.ExportAuditEntries, request, timeout)

    def export_subject(
        self, request: pb.ExportSubjectRequest, *, timeout: float | None = None
    ) -> AsyncGenerator[pb.ExportSubjectResponse, None]:
        """Yield all that is known of a caller; without a timeout it takes as long as it takes.

        Is not tried again: begin anew.
        """
        return self._answers(self._audit.ExportSubject, request, timeout)

    async def erase_subject(
        self, request: pb.EraseSubjectRequest, *, timeout: float | None = None
    ) -> pb.EraseSubjectResponse:
        """Forget who stands behind a pseudonym.

        An attempt whose answer was lost makes the next one find nothing: then it is forgotten.
        """
        return await self._call(self._audit.EraseSubject, request, timeout)
