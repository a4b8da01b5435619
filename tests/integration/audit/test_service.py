"""AuditService on a real database: listed, proved, exported, and people forgotten while all proofs stand."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from client import InvalidFieldError, InvalidPageTokenError, InventoryClient, PermissionDeniedError
from command_svc.config import CommandSettings
from command_svc.server import assemble as assemble_commands
from inventory.admin.v1 import audit_service_pb2 as pb
from inventory.command.v1.stock_command_service_pb2 import AddStockRequest
from inventory.query.v1.time_range_pb2 import TimeRange
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT
from query_svc.config import QuerySettings
from query_svc.server import assemble as assemble_queries
from tests.integration.audit.world import World, refusal, today
from tests.integration.command_svc.shop import open_shop
from tests.unit.serving.issuing import ISSUER, Issuer

pytestmark = pytest.mark.stack

PERSON = "ann.lee@example.com"


@dataclass(frozen=True)
class Services:
    """A command and a query service, and clients of both."""

    world: World
    commands: Callable[..., InventoryClient]
    queries: Callable[..., InventoryClient]


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    """Give an issuer."""
    return Issuer(tmp_path_factory.mktemp("issuer") / "jwks.json")


@pytest.fixture
async def services(world: World, issuer: Issuer) -> AsyncIterator[Services]:
    """Give both services, for callers with a token."""
    common: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "drain_seconds": 0,
        "grace_seconds": 1,
        "identity_issuer": ISSUER,
        "identity_jwks": str(issuer.file),
        "audit_database_url": world.stack.postgres_url("audit"),
    }
    query = QuerySettings.model_validate(
        {
            **common,
            "database_url": world.stack.postgres_url("query"),
            "redis_url": "redis://127.0.0.1:1/0",  # nobody is there
        }
    )
    command = CommandSettings.model_validate({**common, "database_url": world.stack.postgres_url("command")})
    async with assemble_commands(command) as commands, assemble_queries(query) as queries:
        ports = [await commands.start(), await queries.start()]

        def client(port: int, subject: str, *roles: str) -> InventoryClient:
            proof: dict[str, Any] = {"auth_time": int(time.time()), "amr": ["mfa"]}
            token = issuer.token(sub=subject, roles=list(roles or ("administrator",)), **proof)

            async def source() -> str:
                return token

            return InventoryClient(f"127.0.0.1:{port}", token=source)

        yield Services(
            world,
            lambda subject=PERSON, *roles: client(ports[0], subject, *roles),
            lambda subject="admin", *roles: client(ports[1], subject, *roles),
        )
        await queries.shut_down()
        await commands.shut_down()


async def add_stock(services: Services, subject: str = PERSON) -> AddStockRequest:
    """Carry a command out as a person; return it."""
    shop = await open_shop(services.world.stack)
    request = AddStockRequest(
        request_id=f"add-{shop.sku}",
        sku=shop.sku,
        location_id=shop.north.location_id,
        quantity=3,
        reason=MOVEMENT_REASON_RECEIPT,
    )
    async with services.commands(subject) as client:
        await client.add_stock(request)
    return request


async def test_a_command_and_a_refusal_are_found_by_who_and_what(services: Services) -> None:
    request = await add_stock(services)
    async with services.commands() as client:
        with pytest.raises(InvalidFieldError):
            await client.add_stock(AddStockRequest(request_id="no", sku=request.sku))
    async with services.queries() as client:
        wanted = pb.AuditFilter(sku=request.sku, actor=PERSON)
        found: list[pb.AuditEntry] = []
        while len(found) < 2:  # the refusal is written beside its call
            answer = await client.list_audit_entries(
                pb.ListAuditEntriesRequest(filter=wanted, oldest_first=True)
            )
            found = list(answer.entries)
        assert [(entry.verdict, entry.request_id) for entry in found] == [
            ("OK", request.request_id),
            ("INVALID_FIELD", "no"),
        ]
        assert found[0].actor.startswith("person/")
        assert found[0].transaction_id
        assert {entry.method for entry in found} == {"inventory.command.v1.StockCommandService/AddStock"}


async def test_pages_hold_each_entry_once(services: Services) -> None:
    await services.world.write(*(refusal(number, method="a.B/C") for number in range(25)))
    for oldest_first in (True, False):
        request = pb.ListAuditEntriesRequest(
            filter=pb.AuditFilter(method="a.B"), page_size=10, oldest_first=oldest_first
        )
        seen: list[str] = []
        async with services.queries() as client:
            while True:
                page = await client.list_audit_entries(request)
                seen += [entry.request_id for entry in page.entries]
                if not page.next_page_token:
                    break
                request.page_token = page.next_page_token
            request.filter.verdict = "OK"
            with pytest.raises(InvalidPageTokenError):
                await client.list_audit_entries(request)
        assert sorted(seen) == sorted(f"r-{number}" for number in range(25))


async def test_an_export_goes_on_where_it_was_cut(services: Services) -> None:
    await services.world.write(*(refusal(number, method="a.B/C") for number in range(1200)))
    start, end = Timestamp(), Timestamp()
    start.FromDatetime(refusal().record_time - timedelta(hours=1))
    end.FromDatetime(refusal().record_time + timedelta(hours=1))
    wanted = pb.AuditFilter(record_time=TimeRange(start=start, end=end), method="a.B/C")
    seen: list[str] = []
    async with services.queries() as client:
        with pytest.raises(InvalidFieldError):
            await anext(client.export_audit_entries(pb.ExportAuditEntriesRequest(filter=pb.AuditFilter())))
        first = await anext(client.export_audit_entries(pb.ExportAuditEntriesRequest(filter=wanted)))
        seen += [entry.request_id for entry in first.entries]
        rest = pb.ExportAuditEntriesRequest(filter=wanted, resume_token=first.resume_token)
        async for message in client.export_audit_entries(rest):
            seen += [entry.request_id for entry in message.entries]
    assert len(seen) == len(set(seen)) == 1200


async def test_a_day_is_proved_and_its_first_broken_entry_named(services: Services) -> None:
    await services.world.write(*(refusal(number) for number in range(5)))
    await services.world.seal_all()
    day = Date(year=today().year, month=today().month, day=today().day)
    async with services.queries("op", "operator") as client:
        whole = await client.verify_audit_day(pb.VerifyAuditDayRequest(day=day))
        assert (whole.intact, whole.complete, whole.end.position) == (True, True, 5)
        services.world.tampering.execute("UPDATE audit_log SET verdict = 'OK' WHERE request_id = 'r-2'")
        broken = await client.verify_audit_day(pb.VerifyAuditDayRequest(day=day))
        assert (broken.intact, broken.broken.position) == (False, 3)
        assert broken.broken.flaw == pb.AUDIT_FLAW_ENTRY_CHANGED
        with pytest.raises(InvalidFieldError):
            await client.verify_audit_day(pb.VerifyAuditDayRequest(day=Date(year=2026, month=2, day=30)))


async def test_a_person_is_exported_and_forgotten_and_all_proofs_stand(services: Services) -> None:
    request = await add_stock(services)
    await services.world.seal_all()
    books = "SELECT sum(on_hand_delta), max(actor) FROM stock_movements WHERE sku = %s"
    before = services.world.tampering.execute(books.encode(), [request.sku]).fetchone()
    asked = pb.ExportSubjectRequest(subject=PERSON)
    async with services.queries() as client:
        parts = [part async for part in client.export_subject(asked)]
        pseudonym = parts[0].pseudonym
        assert [entry.request_id for part in parts for entry in part.entries] == [request.request_id]
        assert [one.sku for part in parts for one in part.movements] == [request.sku]
        erased = await client.erase_subject(pb.EraseSubjectRequest(subject=PERSON))
        assert erased.pseudonym == pseudonym
        assert not (await client.erase_subject(pb.EraseSubjectRequest(subject=PERSON))).pseudonym
        assert [part async for part in client.export_subject(asked)] == [pb.ExportSubjectResponse()]
    after = services.world.tampering.execute(books.encode(), [request.sku]).fetchone()
    assert before == after == (3, pseudonym)
    await services.world.seal_all()
    proof = await services.world.prove()
    assert (proof.broken, proof.is_complete) == (None, True)
    for table in ("stock_movements", "audit_log", "audit_subjects", "requests", "journal"):
        ((count,),) = services.world.tampering.execute(
            f"SELECT count(*) FROM {table} AS t WHERE position(%s IN t::text) > 0".encode(),  # noqa: S608
            [PERSON],
        ).fetchall()
        assert (table, count) == (table, 0)


async def test_who_may_not_is_refused_and_that_is_told(services: Services) -> None:
    async with services.queries("shop", "order_service") as client:
        with pytest.raises(PermissionDeniedError):
            await client.list_audit_entries(pb.ListAuditEntriesRequest())
    async with services.queries("op", "operator") as client:
        with pytest.raises(PermissionDeniedError):
            await client.erase_subject(pb.EraseSubjectRequest(subject=PERSON))
        refused = pb.AuditFilter(method="inventory.admin.v1.AuditService", verdict="PERMISSION_DENIED")
        found: list[str] = []
        while len(found) < 2:
            answer = await client.list_audit_entries(pb.ListAuditEntriesRequest(filter=refused))
            found = [entry.actor for entry in answer.entries]
    assert sorted(found) == ["op", "shop"]
