"""AuditService."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, date, datetime
from typing import Any, Protocol, cast

import structlog
from google.protobuf.timestamp_pb2 import Timestamp
from grpc.aio import ServicerContext

from audit.chain import Flaw, Seal, Stored
from inventory.admin.v1 import audit_service_pb2 as pb
from inventory.admin.v1.audit_service_pb2_grpc import AuditServiceServicer
from query_svc import page_tokens
from query_svc.audit_log import AuditLog, DayArchivedError, Place, Proof, Wanted
from query_svc.ledger import Ledger
from serving.audit import Entry, entry_of
from serving.errors import invalid_field, unavailable
from serving.identity import caller
from serving.interceptor import remaining
from serving.validation import check

Context = ServicerContext[Any, Any]

NAME = "inventory.admin.v1.AuditService"
AUDITED = (f"/{NAME}/ExportAuditEntries", f"/{NAME}/ExportSubject")
"""Methods that leave an entry when they are answered; EraseSubject writes its own."""
DEFAULT_PAGE_SIZE = 100
EXPORTED_AT_ONCE = 500
STEP_SECONDS = 20.0
"""How long one step of an export may take."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 12, 31, tzinfo=UTC)

log = structlog.get_logger()


class People(Protocol):
    """Who stands behind pseudonyms; see `audit.subjects.Subjects`."""

    async def find(self, subject: str) -> str | None:
        """Return the pseudonym of a subject."""

    async def erase(self, subject: str, entry: Entry) -> str | None:
        """Forget a subject."""


class Audit(AuditServiceServicer):
    """Serves the audit log; `people` is None where no role is set that may know them."""

    def __init__(self, audit_log: AuditLog, ledger: Ledger, people: People | None) -> None:
        self._log = audit_log
        self._ledger = ledger
        self._people = people

    async def ListAuditEntries(
        self, request: pb.ListAuditEntriesRequest, _context: Context
    ) -> pb.ListAuditEntriesResponse:
        """Return a page of the entries."""
        check(request)
        page = await self._log.page(
            await self._wanted(request.filter),
            newest_first=not request.oldest_first,
            after=_place(request.page_token, request),
            limit=request.page_size or DEFAULT_PAGE_SIZE,
            seconds=remaining(),
        )
        token = page_tokens.encode(_position(page.next_place), request) if page.next_place else ""
        return pb.ListAuditEntriesResponse(entries=map(_entry, page.entries), next_page_token=token)

    async def ExportAuditEntries(
        self, request: pb.ExportAuditEntriesRequest, _context: Context
    ) -> AsyncGenerator[pb.ExportAuditEntriesResponse, None]:
        """Yield all entries of a stretch of time."""
        check(request)
        times = request.filter.record_time
        if not (times.HasField("start") and times.HasField("end")):
            raise invalid_field("filter.record_time", "must have a start and an end")
        wanted = await self._wanted(request.filter)
        question = pb.ExportAuditEntriesRequest(filter=request.filter)
        place = _place(request.resume_token, question)
        while True:
            page = await self._log.page(
                wanted, newest_first=False, after=place, limit=EXPORTED_AT_ONCE, seconds=STEP_SECONDS
            )
            place = page.next_place
            token = page_tokens.encode(_position(place), question) if place else ""
            yield pb.ExportAuditEntriesResponse(entries=map(_entry, page.entries), resume_token=token)
            if place is None:
                return

    async def VerifyAuditDay(
        self, request: pb.VerifyAuditDayRequest, _context: Context
    ) -> pb.VerifyAuditDayResponse:
        """Prove a day."""
        check(request)
        try:
            day = date(request.day.year, request.day.month, request.day.day)
        except ValueError as error:
            raise invalid_field("day", "must be a day of the calendar") from error
        after = Seal(request.after.position, 0, 0, request.after.seal) if request.HasField("after") else None
        try:
            return _proof(await self._log.prove(day, after, remaining()))
        except DayArchivedError as error:
            raise invalid_field("day", f"has been archived, its proof with it: {error}") from error

    async def ExportSubject(
        self, request: pb.ExportSubjectRequest, _context: Context
    ) -> AsyncGenerator[pb.ExportSubjectResponse, None]:
        """Yield all that is known of a caller."""
        check(request)
        names = await self._names(request.subject)
        yield pb.ExportSubjectResponse(pseudonym=names[1] if len(names) > 1 else "")
        place: Place | None = None
        while True:
            page = await self._log.page(
                Wanted(actors=names),
                newest_first=False,
                after=place,
                limit=EXPORTED_AT_ONCE,
                seconds=STEP_SECONDS,
            )
            committed = [
                (sku, entry.record_time)
                for entry in page.entries
                if entry.transaction_id is not None
                for sku in entry.skus
            ]
            movements = await self._ledger.of_actors(names, committed, STEP_SECONDS) if committed else []
            if page.entries:
                yield pb.ExportSubjectResponse(entries=map(_entry, page.entries), movements=movements)
            place = page.next_place
            if place is None:
                return

    async def EraseSubject(
        self, request: pb.EraseSubjectRequest, _context: Context
    ) -> pb.EraseSubjectResponse:
        """Forget who stands behind a pseudonym."""
        check(request)
        if self._people is None:
            raise unavailable("audit log")
        entry = entry_of(f"/{NAME}/EraseSubject", None)
        pseudonym = await self._people.erase(request.subject, entry)
        log.warning("subject erased", pseudonym=pseudonym, actor=caller().subject)
        return pb.EraseSubjectResponse(pseudonym=pseudonym or "")

    async def _names(self, subject: str) -> list[str]:
        """Return the subject, and the pseudonym that stands for it, if there is one."""
        pseudonym = await self._people.find(subject) if self._people is not None else None
        return [subject] if pseudonym is None else [subject, pseudonym]

    async def _wanted(self, given: pb.AuditFilter) -> Wanted:
        times = given.record_time
        return Wanted(
            start=_instant(times.start) if times.HasField("start") else None,
            end=_instant(times.end) if times.HasField("end") else None,
            actors=await self._names(given.actor) if given.actor else (),
            methods=given.method,
            sku=given.sku,
            location_id=given.location_id,
            verdict=given.verdict,
            request_id=given.request_id,
        )


def _entry(stored: Stored) -> pb.AuditEntry:
    made = pb.AuditEntry(
        entry_id=stored.entry_id,
        method=stored.method,
        verdict=stored.verdict,
        actor=stored.actor,
        proof=stored.proof,
        source=stored.source,
        request_id=stored.request_id,
        trace_id=stored.trace_id,
        skus=stored.skus,
        location_ids=stored.location_ids,
        transaction_id=str(stored.transaction_id or ""),
        call_count=stored.calls,
    )
    made.record_time.FromDatetime(stored.record_time)
    return made


def _proof(proof: Proof) -> pb.VerifyAuditDayResponse:
    answer = pb.VerifyAuditDayResponse(
        intact=proof.broken is None,
        complete=proof.is_complete,
        end=pb.AuditSeal(position=proof.end.position, seal=proof.end.seal),
        unsealed_count=proof.waiting,
    )
    if proof.broken is not None:
        answer.broken.CopyFrom(
            pb.BrokenAuditSeal(
                flaw=_FLAWS[proof.broken.flaw],
                position=proof.broken.position,
                entry_id=proof.broken.entry_id,
            )
        )
    return answer


_FLAWS = {flaw: pb.AuditFlaw.Value(f"AUDIT_FLAW_{flaw.name}") for flaw in Flaw}


def _position(place: Place) -> Sequence[str | int]:
    return place.day.isoformat(), place.transaction_number, place.entry_id


def _place(token: str, question: Any) -> Place | None:  # noqa: ANN401 - a request
    if not token:
        return None
    day, number, entry_id = page_tokens.decode(token, question, (str, int, int))
    try:
        place = Place(date.fromisoformat(cast("str", day)), cast("int", number), cast("int", entry_id))
    except ValueError as error:
        raise page_tokens.invalid(token) from error
    if place.transaction_number < 0:
        raise page_tokens.invalid(token)
    return place


def _instant(time: Timestamp) -> datetime:
    """Return an instant, or the nearest at which an entry could have been recorded."""
    seconds = min(max(time.seconds, 0), int((_LAST - _EPOCH).total_seconds()))
    return Timestamp(seconds=seconds, nanos=time.nanos).ToDatetime(UTC)
