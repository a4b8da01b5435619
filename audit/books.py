"""What a process needs of the audit log, opened together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import structlog
from pydantic import SecretStr

from audit.subjects import Subjects
from audit.writer import HEALTH_NAME, AuditWriter
from serving.access_tokens import Naming
from serving.audit import Nowhere, Recorder
from serving.health import Dependency

log = structlog.get_logger()


class Books(NamedTuple):
    """Where entries go, who stands behind pseudonyms (None if nobody may know), and what health tells."""

    recorder: Recorder
    subjects: Subjects | None
    health: list[Dependency]

    @property
    def naming(self) -> Naming | None:
        """What gives pseudonyms."""
        return None if self.subjects is None else self.subjects.pseudonym


@asynccontextmanager
async def opened(database_url: SecretStr | None, connect_timeout: float = 3.0) -> AsyncIterator[Books]:
    """Yield the books of a process as the role `inventory_audit`; without a database, such as forget."""
    if database_url is None:
        log.warning("refused calls leave no entry in the audit log", remedy="set …AUDIT_DATABASE_URL")
        yield Books(Nowhere(), None, [])
        return
    url = database_url.get_secret_value()
    async with (
        AuditWriter(url, connect_timeout=connect_timeout) as writer,
        Subjects(url, connect_timeout=connect_timeout) as subjects,
    ):
        yield Books(writer, subjects, [Dependency(HEALTH_NAME, writer.check, required=False)])
