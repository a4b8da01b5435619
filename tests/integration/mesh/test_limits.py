"""Who asks too much is told so, and when to come again; nobody else notices."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import grpc
import httpx
import psycopg
import pytest
import yaml
from google.rpc import error_details_pb2, status_pb2

from client import InventoryClient, RateLimitedError, RetryPolicy
from inventory.query.v1.catalog_query_service_pb2 import ListLocationsRequest
from stack import envoy_proxy, limits
from stack.certificates import Certificates
from stack.supervisor import Supervisor
from tests.soon import soon
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack

ADD = "/inventory.command.v1.StockCommandService/AddStock"
REMOVE = "/inventory.command.v1.StockCommandService/RemoveStock"
LEVEL = "/inventory.query.v1.StockQueryService/GetStockLevel"
# By the service, to a request without fields: the call has come through.
COME_THROUGH = grpc.StatusCode.INVALID_ARGUMENT
LIMITED = grpc.StatusCode.RESOURCE_EXHAUSTED
PATIENCE = 60


@pytest.fixture(scope="module")
def strict(mesh: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Give the mesh with an edge that lets no caller call often, and one method hardly ever."""
    table = yaml.safe_load(limits.TABLE.read_text())
    table["edge"] = {**table["edge"], "caller": 10, "method": 10, "methods": {ADD[1:]: 1}}
    file = tmp_path_factory.mktemp("limits") / "limits.yaml"
    file.write_text(yaml.safe_dump(table))
    restart_edge(mesh, file)
    yield mesh
    restart_edge(mesh, limits.TABLE)


def restart_edge(mesh: RunningStack, table: Path) -> None:
    supervisor = Supervisor(mesh.home)
    supervisor.stop_program("edge")
    os.environ[envoy_proxy.LIMITS_VARIABLE] = str(table)
    try:
        envoy_proxy.prepare_edge(mesh.home)
    finally:
        del os.environ[envoy_proxy.LIMITS_VARIABLE]
    supervisor.start_program("edge")
    mesh.wait_ready("edge")


Metadata = list[tuple[str, str]]


async def calls(channel: grpc.aio.Channel, method: str, metadata: Metadata, count: int) -> list[Any]:
    """Make so many calls at once; return how they ended."""
    stub: Any = channel.unary_unary(method)
    made = [stub(b"", timeout=PATIENCE, metadata=metadata) for _ in range(count)]
    await asyncio.gather(*(call.code() for call in made))
    return made


async def flooded(channel: grpc.aio.Channel, method: str, metadata: Metadata) -> grpc.aio.Call:
    """Call until a call is refused for its caller's having called too often; return that call."""
    async with asyncio.timeout(PATIENCE):
        while True:
            for call in await calls(channel, method, metadata, 60):
                if await call.code() is LIMITED:
                    return cast("grpc.aio.Call", call)


async def test_no_limit_is_in_the_way_of_a_busy_service(mesh: RunningStack) -> None:
    """As the table stands: what one caller may ask is far more than this."""
    async with mesh.channel() as channel:
        caller = mesh.metadata()
        for _ in range(10):
            ended = Counter([await call.code() for call in await calls(channel, LEVEL, caller, 20)])
            assert ended == {COME_THROUGH: 20}


async def test_who_calls_too_often_is_told_why_and_when_to_come_again(strict: RunningStack) -> None:
    async with strict.channel() as channel:
        refused = await flooded(channel, LEVEL, strict.metadata("greedy"))
        trailers = dict(await refused.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert (info.domain, info.reason) == ("inventory", "RATE_LIMITED")
    assert retry.retry_delay.ToTimedelta().total_seconds() == 1
    assert status.code == LIMITED.value[0]
    assert status.message == await refused.details()


async def test_by_json_who_calls_too_often_is_told_so_too_and_it_is_entered(strict: RunningStack) -> None:
    context = ssl.create_default_context(cafile=strict.tls().ca)
    headers = dict(strict.metadata("page"))
    refused: list[httpx.Response] = []
    async with httpx.AsyncClient(verify=context, headers=headers, timeout=PATIENCE, trust_env=False) as web:
        while not refused:
            asked = (web.get(f"https://{strict.edge}/v1/items/NONE") for _ in range(60))
            refused = [one for one in await asyncio.gather(*asked) if one.status_code == 429]
    for answer in refused:
        assert (answer.headers["content-type"], answer.headers["retry-after"]) == ("application/json", "1")
        info, retry = answer.json()["details"]
        assert (info["domain"], info["reason"], retry["retryDelay"]) == ("inventory", "RATE_LIMITED", "1s")

    async def entered() -> int:
        with psycopg.connect(strict.postgres_url("query")) as connection:
            ((calls,),) = connection.execute(
                "SELECT coalesce(sum(calls), 0) FROM audit_log WHERE actor = 'page' AND method = %s"
                " AND verdict = 'RATE_LIMITED'",
                ["inventory.query.v1.CatalogQueryService/GetItem"],
            ).fetchall()
        return int(calls)

    assert await soon(entered, lambda calls: calls >= len(refused)) == len(refused)


async def test_each_caller_has_calls_of_its_own(strict: RunningStack) -> None:
    greedy, modest = strict.metadata("hog"), strict.metadata("modest")
    async with strict.channel() as channel:
        flood = asyncio.create_task(flooded(channel, LEVEL, greedy))
        assert [await call.code() for call in await calls(channel, LEVEL, modest, 5)] == [COME_THROUGH] * 5
        await flood


async def test_a_certificate_is_a_caller(strict: RunningStack) -> None:
    Certificates(strict.home).issue("order-service")
    async with strict.channel(identity="order-service") as known, strict.channel() as channel:
        await flooded(known, LEVEL, [])
        (call,) = await calls(channel, LEVEL, strict.metadata("first"), 1)
        assert await call.code() is COME_THROUGH


async def test_a_method_is_limited_by_itself(strict: RunningStack) -> None:
    caller = strict.metadata("buyer")
    async with strict.channel() as channel:
        (first,) = await calls(channel, ADD, caller, 1)
        assert await first.code() is COME_THROUGH
        await flooded(channel, ADD, caller)
        async with asyncio.timeout(PATIENCE):
            # Of all methods together it has had too many in that second.
            while await (await calls(channel, REMOVE, caller, 1))[0].code() is not COME_THROUGH:  # noqa: ASYNC110
                await asyncio.sleep(0.1)


async def test_the_typed_client_waits_and_is_served(strict: RunningStack) -> None:
    async with strict.client("patient", timeout=PATIENCE, retry=RetryPolicy(attempts=60)) as client:
        await asyncio.gather(*(client.list_locations(ListLocationsRequest()) for _ in range(40)))

    async with strict.client("hasty", timeout=PATIENCE, retry=RetryPolicy(attempts=1)) as client:
        with pytest.raises(RateLimitedError) as refused:
            await flood(client)
    assert refused.value.retry_after == 1


async def flood(client: InventoryClient) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            await asyncio.gather(*(client.list_locations(ListLocationsRequest()) for _ in range(60)))
