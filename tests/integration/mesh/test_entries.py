"""What the proxies refuse leaves one entry in the audit log, whatever becomes of its receiver."""

from __future__ import annotations

import os
import signal
import ssl
import uuid
from collections.abc import Sequence
from http import HTTPStatus
from typing import NamedTuple

import grpc
import httpx
import psycopg
import pytest

from tests.soon import soon
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack

QUERY = "/inventory.query.v1.StockQueryService/"
SOURCE = "127.0.0.1"


class Found(NamedTuple):
    """What an entry says."""

    method: str
    verdict: str
    actor: str
    proof: str
    source: str
    calls: int


async def refused(
    mesh: RunningStack,
    method: str,
    metadata: Sequence[tuple[str, str]] = (),
    *,
    to: str = "edge",
    identity: str = "",
) -> tuple[str, grpc.StatusCode]:
    """Make a call that is refused; return the id by which it is found, and the status."""
    name = f"call-{uuid.uuid4()}"
    async with mesh.channel(to=to, identity=identity) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await call(b"", metadata=[*metadata, ("x-request-id", name)], timeout=20)
    return name, refusal.value.code()


def entries(mesh: RunningStack, name: str) -> list[Found]:
    """Return the entries that name a call."""
    with psycopg.connect(mesh.postgres_url("query")) as connection:
        rows = connection.execute(
            "SELECT method, verdict, actor, proof, source, calls FROM audit_log WHERE trace_id = %s", [name]
        ).fetchall()
    return [Found(*row) for row in rows]


async def one_entry(mesh: RunningStack, name: str) -> Found:
    """Return the entry of a call, which has one."""

    async def read() -> list[Found]:
        return entries(mesh, name)

    (found,) = await soon(read, bool)
    return found


async def test_each_kind_of_refusal_at_the_edge_is_an_entry(mesh: RunningStack) -> None:
    ann = mesh.metadata("ann", "viewer")
    ((_, token),) = ann
    forged = [("authorization", token[:-8] + "AAAAAAAA")]
    kinds = [
        await refused(mesh, f"{QUERY}GetStockLevel"),
        await refused(mesh, f"{QUERY}ListLots", forged),
        await refused(mesh, f"{QUERY}WatchStock", [("authorization", "Bearer me@example.com")]),
        await refused(mesh, "/inventory.command.v1.StockCommandService/AdjustStock", ann),
        await refused(mesh, "/inventory.some.v1.SomeService/me@example.com?token=1", ann),
    ]
    missing, bad, no_token, role, nowhere = [name for name, _ in kinds]

    assert await one_entry(mesh, missing) == Found(
        f"{QUERY}GetStockLevel"[1:], "UNAUTHENTICATED", "", "none", SOURCE, 1
    )
    for name in (bad, no_token):
        assert (await one_entry(mesh, name))[1:] == ("UNAUTHENTICATED", "", "none", SOURCE, 1)
    assert await one_entry(mesh, role) == Found(
        "inventory.command.v1.StockCommandService/AdjustStock", "PERMISSION_DENIED", "ann", "token", SOURCE, 1
    )
    assert (await one_entry(mesh, nowhere))[:3] == ("", "PERMISSION_DENIED", "ann")


async def test_what_is_no_call_is_an_entry_too(mesh: RunningStack) -> None:
    async def malformed() -> int:
        with psycopg.connect(mesh.postgres_url("query")) as connection:
            ((calls,),) = connection.execute(
                "SELECT coalesce(sum(calls), 0) FROM audit_log"
                " WHERE method = '' AND verdict = 'INVALID_ARGUMENT'"
            ).fetchall()
        return int(calls)

    before = await malformed()
    for _ in range(3):
        await refused(mesh, f"{QUERY}GetAvailability", [("with_underscores", "1")])

    assert await soon(malformed, lambda calls: calls >= before + 3) == before + 3


async def test_what_a_service_refuses_is_entered_once(mesh: RunningStack) -> None:
    ann = mesh.metadata("ann", "viewer")
    name, status = await refused(mesh, f"{QUERY}GetStockLevel", ann)
    after, _ = await refused(mesh, f"{QUERY}ListStockLevels")  # both proxies have told what they know
    await one_entry(mesh, after)

    assert status == grpc.StatusCode.INVALID_ARGUMENT
    assert (await one_entry(mesh, name))[:4] == (f"{QUERY}GetStockLevel"[1:], "INVALID_FIELD", "ann", "token")


async def test_who_comes_past_the_proxies_is_entered_by_its_certificate(mesh: RunningStack) -> None:
    name, _ = await refused(
        mesh, f"{QUERY}GetStockLevel", [("x-forwarded-for", "8.8.8.8")], to="query", identity="edge"
    )

    found = await one_entry(mesh, name)

    assert (found.verdict, found.proof, found.source) == ("UNAUTHENTICATED", "certificate", SOURCE)
    assert found.actor.endswith("/sa/edge")


async def test_nothing_is_lost_while_the_receiver_is_away(mesh: RunningStack) -> None:
    before, _ = await refused(mesh, f"{QUERY}ListStockLevels")
    await one_entry(mesh, before)
    os.kill(mesh.pid("audit"), signal.SIGSTOP)
    names = [(await refused(mesh, f"{QUERY}GetStockHistory"))[0] for _ in range(5)]
    mesh.kill("audit")
    names += [(await refused(mesh, f"{QUERY}GetStockLevelAsOf"))[0] for _ in range(5)]
    mesh.wait_ready("audit")

    async def calls() -> int:
        return sum(one.calls for name in names for one in entries(mesh, name))

    await soon(calls, lambda told: told >= len(names))
    last, _ = await refused(mesh, f"{QUERY}ListStockLevels")
    await one_entry(mesh, last)
    assert await calls() == len(names)


async def test_the_sidecar_tells_that_its_service_is_away(mesh: RunningStack) -> None:
    method = "/inventory.admin.v1.PipelineService/GetPipelineStatus"
    operator = mesh.metadata("op", "operator")
    mesh.kill("pipeline")

    name, _ = await refused(mesh, method, operator, to="pipeline_sidecar", identity="edge")

    found = await one_entry(mesh, name)
    assert (found.method, found.verdict) == (method[1:], "DEPENDENCY_UNAVAILABLE")
    mesh.wait_ready("pipeline")


async def test_what_is_refused_over_http_is_an_entry_too(mesh: RunningStack) -> None:
    name = f"call-{uuid.uuid4()}"
    context = ssl.create_default_context(cafile=str(mesh.tls().ca))
    async with httpx.AsyncClient(verify=context, trust_env=False) as client:
        answer = await client.get(
            f"https://{mesh.edge}/v1/items/MUG-1", headers={"x-request-id": name}, timeout=20
        )

    assert answer.status_code == HTTPStatus.UNAUTHORIZED
    found = await one_entry(mesh, name)
    assert (found.method, found.verdict, found.calls) == (
        "inventory.query.v1.CatalogQueryService/GetItem",
        "UNAUTHENTICATED",
        1,
    )
