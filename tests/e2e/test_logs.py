"""No log of the stack holds a token, a password, or who somebody is."""

from __future__ import annotations

import json
from uuid import uuid4

import grpc
import pytest

from inventory.admin.v1 import audit_service_pb2 as pb
from inventory.command.v1.item_command_service_pb2 import CreateItemRequest
from inventory.command.v1.stock_command_service_pb2 import AddStockRequest
from inventory.query.v1.stock_query_service_pb2 import GetStockLevelRequest
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT
from stack import credentials
from tests.soon import soon
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack

PATIENCE = 60.0
QUERY = "/inventory.query.v1.StockQueryService/GetStockLevel"


async def test_what_callers_bring_along_is_in_no_log(stack: RunningStack) -> None:
    name = f"planted{uuid4().hex[:8]}"
    person = f"{name}@example.com"
    ((key, bearer),) = stack.metadata(person, "viewer")
    forged = bearer[:-12] + "AAAAAAAAAAAA"
    mark = f"mark-{name.removeprefix('planted')}"
    async with stack.client(person, timeout=PATIENCE) as client, stack.channel() as channel:
        await client.create_item(CreateItemRequest(sku=mark, name="Mug"))
        with pytest.raises(Exception, match="NOWHERE"):
            await client.add_stock(
                AddStockRequest(
                    sku=mark,
                    location_id="NOWHERE",
                    quantity=1,
                    reason=MOVEMENT_REASON_RECEIPT,
                    reference=person,
                )
            )
        body = GetStockLevelRequest(sku=mark, location_id="NOWHERE").SerializeToString()
        for method, metadata in (
            (QUERY, [(key, bearer)]),
            (QUERY, [(key, forged)]),
            (QUERY, [(key, person)]),
            (QUERY, [(key, bearer), (key, bearer)]),
            (QUERY, [("user-agent", person), ("cookie", person), ("x-forwarded-for", person)]),
            (QUERY, [("x-request-id", person), ("traceparent", person), ("x-inventory-actor", person)]),
            (f"/{person}/Method?access_token={bearer[-20:]}", [(key, bearer)]),
        ):
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
            with pytest.raises(grpc.aio.AioRpcError):
                await call(body, metadata=metadata, timeout=PATIENCE)
        # All has come to its end: the last is in the audit log, where that person has a pseudonym.
        wanted = pb.ListAuditEntriesRequest(
            filter=pb.AuditFilter(method=QUERY[1:], verdict="UNAUTHENTICATED")
        )
        listed = await soon(
            lambda: client.list_audit_entries(wanted),
            lambda answer: sum(entry.call_count for entry in answer.entries) >= 4,
        )
        entries = await client.list_audit_entries(pb.ListAuditEntriesRequest(filter=pb.AuditFilter(sku=mark)))
    assert name not in str(listed) + str(entries)
    assert all(entry.actor.startswith("person/") for entry in entries.entries)

    async def read() -> dict[str, str]:
        folder = stack.home.log("edge").parent
        return {file.name: file.read_text(errors="replace") for file in folder.iterdir()}

    # The edge writes its log every ten seconds.
    told = await soon(read, lambda logs: logs["edge-access.log"].count(QUERY) >= 6)
    assert {"edge-access.log", "command.log", "connect.log", "audit.log", "postgres.log"} <= told.keys()
    secrets = [value for value in credentials.load(stack.home).values() if value]
    hidden = [name, bearer.rpartition(".")[2], bearer[-20:], forged.rpartition(".")[2], *secrets]
    assert [(file, one[:12]) for file, text in told.items() for one in hidden if one in text] == []
    # But for the last line, of which a part may be written.
    for line in told["edge-access.log"].split("\n")[:-1]:
        assert json.loads(line)["peer"] in {"127.0.0.0/24", None}
