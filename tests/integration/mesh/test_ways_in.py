"""JSON over HTTP and gRPC-Web come through the same door as gRPC: the same rules, the same refusals."""

from __future__ import annotations

import asyncio
import json
import ssl
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from inventory.type.v1.access_pb2 import Role
from serving.access import ACCESS, role_name
from serving.contracts import ROUTES
from tests.installed import installed
from tests.integration.mesh.conftest import ORIGIN
from tests.refusals import reason
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack
BODY_LIMIT = 1024 * 1024
ROLES = [role for role in Role.values() if role != Role.ROLE_UNSPECIFIED]
LIST_ITEMS = "/inventory.query.v1.CatalogQueryService/ListItems"
CREATE_ITEM = "/inventory.command.v1.ItemCommandService/CreateItem"
# There is no change data capture here.
FRESH = {"consistency.fully_consistent": "true"}


@pytest.fixture
async def web(mesh: RunningStack) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of the edge by HTTP/1.1, without a token."""
    context = ssl.create_default_context(cafile=mesh.tls().ca)
    async with httpx.AsyncClient(base_url=f"https://{mesh.edge}", verify=context, timeout=60) as client:
        yield client


def signed(mesh: RunningStack, *roles: str) -> dict[str, str]:
    return dict(mesh.metadata("web", *roles))


async def test_a_command_and_a_query_by_json(mesh: RunningStack, web: httpx.AsyncClient) -> None:
    web.headers.update(signed(mesh))
    item = {"requestId": "json-1", "sku": "JSON/1", "name": "Mug"}
    created = await web.post("/v1/items", json=item)
    assert created.status_code == 200, created.text
    assert created.json()["item"]["version"] == "1"
    assert (await web.post("/v1/items", json=item)).json() == created.json()
    place = {"location_id": "JSON-1", "name": "Berlin", "kind": "LOCATION_KIND_STORE"}
    assert (await web.post("/v1/locations", json=place)).status_code == 200
    receipt = {"sku": "JSON/1", "locationId": "JSON-1", "quantity": "12", "reason": "MOVEMENT_REASON_RECEIPT"}
    added = await web.post("/v1/stock:add", json=receipt)
    assert added.json()["level"]["onHand"] == "12"

    # A slash in an id is a part of it.
    level = await web.get("/v1/items/JSON%2F1/stock/JSON-1", params=FRESH)
    assert level.json()["level"] == added.json()["level"]
    then = await web.get(
        "/v1/items/JSON%2F1/stock/JSON-1:asOf", params={"time": "2030-01-01T00:00:00Z", **FRESH}
    )
    assert then.json()["onHand"] == "12"
    listed = await web.get(
        "/v1/items", params={"filter.states": "ITEM_STATE_ACTIVE", "page_size": 1000, **FRESH}
    )
    assert "JSON/1" in [one["sku"] for one in listed.json()["items"]]

    sale = {"sku": "JSON/1", "locationId": "JSON-1", "quantity": 20, "reason": "MOVEMENT_REASON_SALE"}
    refused = await web.post("/v1/stock:remove", json=sale)
    assert refused.status_code == 400
    assert reason(refused) == "INSUFFICIENT_STOCK"
    assert refused.json()["details"][0]["metadata"]["available"] == "12"


async def test_what_is_no_call_is_refused_as_json(mesh: RunningStack, web: httpx.AsyncClient) -> None:
    web.headers.update(signed(mesh))
    invalid = await web.post("/v1/items", json={"sku": "", "name": "x"})
    assert (invalid.status_code, reason(invalid)) == (400, "INVALID_FIELD")
    broken = await web.post("/v1/items", content=b'{"sku": ')
    assert (broken.status_code, reason(broken)) == (400, "INVALID_FIELD")
    wrong = await web.get("/v1/items", params={"colour": "red"})
    assert (wrong.status_code, reason(wrong)) == (400, "INVALID_FIELD")
    torn = await web.post("/v1/items/A:archive", json={"sku": "B"})
    assert (torn.status_code, reason(torn)) == (400, "INVALID_FIELD")
    missing = await web.get("/v1/items/NONE", params=FRESH)
    assert (missing.status_code, reason(missing)) == (404, "ITEM_NOT_FOUND")
    nowhere = await web.get("/v1/nowhere")
    assert (nowhere.status_code, reason(nowhere)) == (404, "ADDRESS_NOT_FOUND")
    # The name of a method is no address for JSON.
    assert (await web.post(LIST_ITEMS, json={})).status_code == 404


async def test_a_body_that_is_too_large_is_refused(mesh: RunningStack, web: httpx.AsyncClient) -> None:
    web.headers.update(signed(mesh))
    large = json.dumps({"sku": "LARGE", "name": "x" * BODY_LIMIT}).encode()

    async def chunks() -> AsyncIterator[bytes]:
        yield large

    for content in (large, chunks()):
        answer = await web.post("/v1/items", content=content)
        assert (answer.status_code, reason(answer)) == (413, "REQUEST_TOO_LARGE")


async def test_a_role_gets_its_own_methods_by_json_too(mesh: RunningStack, web: httpx.AsyncClient) -> None:
    for verb, address, method in ROUTES:
        nobody = await web.request(verb, address)
        assert (nobody.status_code, reason(nobody)) == (401, "UNAUTHENTICATED"), method
        for role in set(ROLES) - ACCESS[method].roles:
            other = await web.request(verb, address, headers=signed(mesh, role_name(role)))
            assert (other.status_code, reason(other)) == (403, "PERMISSION_DENIED"), (method, role)
    forged = await web.get("/v1/items", headers={"authorization": "Bearer x.y.z"})
    assert (forged.status_code, reason(forged)) == (401, "UNAUTHENTICATED")


async def test_nobody_claims_to_be_another_by_a_header(web: httpx.AsyncClient) -> None:
    uri = "URI=spiffe://inventory.local/ns/inventory/sa/order-service"
    for headers in (
        {"x-forwarded-client-cert": uri},
        {"x-envoy-original-path": CREATE_ITEM},
        {"x-http-method-override": "GET"},
    ):
        answer = await web.post("/v1/orders", json={}, headers=headers)
        assert (answer.status_code, reason(answer)) == (401, "UNAUTHENTICATED")


async def test_one_request_is_not_read_as_two(mesh: RunningStack) -> None:
    context = ssl.create_default_context(cafile=mesh.tls().ca)
    hidden = b"GET /v1/items HTTP/1.1\r\nHost: x\r\n\r\n"
    begun = b"POST /v1/items HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % (len(hidden) + 5)
    for heads in (
        begun + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
        begun + b"Content-Length: 0\r\n\r\n" + hidden,
        b"POST /v1/items HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"
        + hidden,
    ):
        answered = await _raw(mesh, context, heads)
        assert answered.split(b" ")[1] in {b"400", b"501"}, answered
        assert answered.count(b"HTTP/1.1 ") == 1, answered


async def _raw(mesh: RunningStack, context: ssl.SSLContext, sent: bytes) -> bytes:
    port = mesh.home.ports["edge"]
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="127.0.0.1"
    )
    writer.write(sent)
    try:
        async with asyncio.timeout(60):
            return await reader.read()
    finally:
        writer.transport.abort()


async def test_pages_of_allowed_origins_alone_are_answered(web: httpx.AsyncClient) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    for address in ("/v1/items", LIST_ITEMS):
        ours = await web.options(address, headers={"origin": ORIGIN, **asked})
        assert ours.status_code == 200
        assert ours.headers["access-control-allow-origin"] == ORIGIN
        assert "access-control-allow-credentials" not in ours.headers
        for origin in ("http://shop.invalid", f"{ORIGIN}.invalid", "null", ORIGIN.replace("http", "https")):
            theirs = await web.options(address, headers={"origin": origin, **asked})
            assert "access-control-allow-origin" not in theirs.headers, origin
    # Who is refused may know why.
    refused = await web.get("/v1/items", headers={"origin": ORIGIN})
    assert refused.headers["access-control-allow-origin"] == ORIGIN
    exposed = refused.headers["access-control-expose-headers"]
    assert {"grpc-status", "grpc-message", "grpc-status-details-bin"} <= set(exposed.split(", "))


async def test_grpc_web_is_refused_and_answered_as_grpc_is(
    mesh: RunningStack, web: httpx.AsyncClient
) -> None:
    web.headers.update({"content-type": "application/grpc-web+proto", "x-grpc-web": "1"})
    frame = struct.pack(">BI", 0, 0)
    for headers, method, code in (
        ({}, LIST_ITEMS, grpc.StatusCode.UNAUTHENTICATED),
        (signed(mesh, "viewer"), CREATE_ITEM, grpc.StatusCode.PERMISSION_DENIED),
        (signed(mesh, "planner"), CREATE_ITEM, grpc.StatusCode.INVALID_ARGUMENT),
    ):
        answer = await web.post(method, content=frame, headers=headers)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/grpc-web+proto"
        assert answer.headers["grpc-status"] == str(code.value[0])
        assert answer.headers["grpc-status-details-bin"]
    answer = await web.post(LIST_ITEMS, content=frame, headers=signed(mesh, "viewer"))
    # The last frame holds the trailers.
    assert b"grpc-status:0" in answer.content.split(b"\x80")[-1]


@pytest.mark.parametrize("protocol", ["grpc", "grpcweb"])
def test_buf_curl_calls_in_each_protocol(mesh: RunningStack, protocol: str) -> None:
    def call(
        data: dict[str, Any], method: str, roles: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        token = signed(mesh, *roles)["authorization"]
        command = [
            str(Path(sys.executable).parent / "buf"),
            *("curl", "--protocol", protocol, "--cacert", str(mesh.tls().ca)),
            *("--reflect-header", "*", "-H", f"authorization: {token}", "-d", json.dumps(data)),
            f"https://{mesh.edge}{method}",
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)  # noqa: S603

    created = call({"sku": f"BUF-{protocol}", "name": "Mug"}, CREATE_ITEM)
    assert json.loads(created.stdout)["item"]["sku"] == f"BUF-{protocol}", created.stderr
    found = call({"consistency": {"fully_consistent": True}}, LIST_ITEMS)
    assert f"BUF-{protocol}" in found.stdout, found.stderr
    # Without the role of an operator there is no reflection.
    assert "failed to find service" in call({}, LIST_ITEMS, ("viewer",)).stderr


def test_curl_calls_by_either_version_of_http(mesh: RunningStack) -> None:
    curl = installed("curl")
    for version, flag in (("2", "--http2"), ("1.1", "--http1.1")):
        for headers, code in ((signed(mesh, "viewer"), "200"), ({}, "401")):
            given = [text for key, value in headers.items() for text in ("-H", f"{key}: {value}")]
            command = [curl, "-sS", "--cacert", str(mesh.tls().ca), flag, *given]
            asked = f"https://{mesh.edge}/v1/items?consistency.fully_consistent=true"
            written = subprocess.run(  # noqa: S603
                [*command, "-w", "\n%{http_version} %{http_code}", asked],
                capture_output=True,
                text=True,
                check=True,
                timeout=100,
            ).stdout
            body, _, told = written.rpartition("\n")
            assert told == f"{version} {code}"
            json.loads(body)
