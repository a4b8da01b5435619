"""JSON and gRPC-Web come in at the gateway as at the edge of the local stack: the same rules and refusals."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from copy import deepcopy
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from serving.access import ACCESS
from serving.contracts import ROUTES
from tests import bodies
from tests.browser import served, shown
from tests.deploy.manifests import Manifest, of_kind
from tests.installed import installed
from tests.mesh.processes import wait_for
from tests.mesh.world import INGRESS, PUBLIC, World
from tests.refusals import reason, web_reason

BODY_LIMIT = 1024 * 1024
FRESH = {"consistency.fully_consistent": "true"}
CREATE_ITEM = "/inventory.command.v1.ItemCommandService/CreateItem"
LIST_ITEMS = "/inventory.query.v1.CatalogQueryService/ListItems"
LIST_DEAD_LETTERS = "/inventory.admin.v1.PipelineService/ListDeadLetters"
WEB = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
NOTHING = struct.pack(">BI", 0, 0)
ORIGIN = "http://localhost:9998"
ASKED = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
# What proxies, and Envoy itself, say of callers: each of them a lie here.
FORGED = {
    "x-forwarded-client-cert": "URI=spiffe://cluster.local/ns/inventory/sa/order-service",
    "x-forwarded-for": "192.0.2.77",
    "x-forwarded-host": "lie.example",
    "forwarded": "for=192.0.2.77",
    "x-real-ip": "192.0.2.77",
    "x-envoy-original-path": CREATE_ITEM,
    "x-envoy-peer-metadata": "bGll",
    "x-envoy-upstream-rq-timeout-ms": "1",
    "x-auth-request-user": "lie",
    "x-jwt-payload": "lie",
    "x-jwt-claim-roles": "administrator",
    "x-user": "lie",
    "x-remote-user": "lie",
    "remote-user": "lie",
    "x-spiffe-id": "lie",
    "x-goog-authenticated-user-email": "lie",
    "x-amzn-oidc-identity": "lie",
    "x-ms-client-principal": "lie",
    # Where the gateway keeps a deadline on its way through.
    "x-inventory-timeout": "1n",
}


def signed(world: World, *roles: str, **claims: object) -> dict[str, str]:
    return {"authorization": f"Bearer {world.token(roles=list(roles), **claims)}"}


def told(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, reason(answer)


def test_a_command_and_a_query_by_json(world: World, web: httpx.Client) -> None:
    ours = signed(world, "planner", "clerk", "viewer", sub="json")
    item = {"requestId": "json-1", "sku": "JSON/1", "name": "Mug"}
    created = web.post("/v1/items", json=item, headers=ours)
    assert created.status_code == 200, created.text
    assert created.json()["item"]["version"] == "1"
    assert web.post("/v1/items", json=item, headers=ours).json() == created.json()
    # A slash in an id is a part of it.
    found = web.get("/v1/items/JSON%2F1", params=FRESH, headers=ours)
    assert found.json()["item"] == created.json()["item"]
    missing = web.get("/v1/items/NONE", params=FRESH, headers=ours)
    assert told(missing) == (404, "ITEM_NOT_FOUND")
    assert missing.json()["details"][0]["metadata"] == {"sku": "NONE"}


def test_curl_calls_by_either_version_of_http(world: World) -> None:
    curl = installed("curl")
    (authorization,) = signed(world, "viewer").values()
    for version, flag in (("2", "--http2"), ("1.1", "--http1.1")):
        for headers, code in (([f"authorization: {authorization}"], "200"), ([], "401")):
            written = subprocess.run(  # noqa: S603
                [
                    *(curl, "-sS", "--noproxy", "*", "--cacert", str(world.authority), flag),
                    *("--resolve", f"{PUBLIC}:8443:{world.gateway.address}"),
                    *(text for header in headers for text in ("-H", header)),
                    *("-w", "\n%{http_version} %{http_code}"),
                    f"https://{PUBLIC}:8443/v1/items?consistency.fully_consistent=true",
                ],
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            ).stdout
            body, _, ended = written.rpartition("\n")
            assert ended == f"{version} {code}"
            json.loads(body)


def test_each_address_is_refused_as_its_method_is(world: World, web: httpx.Client) -> None:
    for verb, address, method in ROUTES:
        assert told(web.request(verb, address)) == (401, "UNAUTHENTICATED"), method
        # A role that exists nowhere: the sidecar of the service says no.
        other = web.request(verb, address, headers=signed(world, "passer_by"))
        assert told(other) == (403, "PERMISSION_DENIED"), method
        assert f"/{other.json()['details'][0]['metadata']['method']}" == method
        assert method in ACCESS


@pytest.mark.parametrize(
    "claims",
    [{"exp": int(time.time()) - 3600}, {"aud": "somebody-else"}, {"iss": "https://id.example.com/other"}],
    ids=["expired", "for others", "of another issuer"],
)
def test_a_token_that_is_no_good_is_refused(
    world: World, web: httpx.Client, claims: dict[str, object]
) -> None:
    refused = web.get("/v1/items", headers=signed(world, "administrator", **claims))
    assert told(refused) == (401, "UNAUTHENTICATED")
    broken = web.get("/v1/items", headers={"authorization": "Bearer x.y.z"})
    assert told(broken) == (401, "UNAUTHENTICATED")


def test_what_is_no_call_is_refused_as_json(world: World, web: httpx.Client) -> None:
    ours = signed(world, "planner", "viewer")
    assert told(web.post("/v1/items", json={"sku": "", "name": "x"}, headers=ours)) == (400, "INVALID_FIELD")
    assert told(web.post("/v1/items", content=b'{"sku": ', headers=ours)) == (400, "INVALID_FIELD")
    assert told(web.get("/v1/items", params={"colour": "red"}, headers=ours)) == (400, "INVALID_FIELD")
    assert told(web.post("/v1/items/A:archive", json={"sku": "B"}, headers=ours)) == (400, "INVALID_FIELD")
    for nowhere in (
        web.get("/v1/nowhere", headers=ours),
        web.get("/nowhere", headers=ours),
        # The name of a method is no address for JSON.
        web.post(LIST_ITEMS, json={}, headers=ours),
    ):
        assert told(nowhere) == (404, "ADDRESS_NOT_FOUND")


def test_a_body_that_is_too_large_is_refused(world: World, web: httpx.Client) -> None:
    large = json.dumps({"sku": "LARGE", "name": "x" * BODY_LIMIT}).encode()
    refused = web.post("/v1/items", content=large, headers=signed(world, "planner"))
    assert told(refused) == (413, "REQUEST_TOO_LARGE")


def test_a_body_is_held_for_those_alone_who_are_known(world: World) -> None:
    trust = ssl.create_default_context(cafile=str(world.authority))

    def connection() -> HTTPSConnection:
        made = HTTPSConnection(PUBLIC, timeout=30)
        raw = socket.create_connection((world.gateway.address, 8443), timeout=30)
        made.sock = trust.wrap_socket(raw, server_hostname=PUBLIC)
        return made

    for said in ("", "Bearer x.y.z", "Basic bm9ib2R5Om5vdGhpbmc="):
        assert bodies.refused(connection(), said) == (401, "UNAUTHENTICATED"), said
    (known,) = signed(world, "viewer").values()
    assert bodies.awaited(connection(), known) == (403, "PERMISSION_DENIED")


def test_headers_have_caps(world: World, web: httpx.Client) -> None:
    ours = signed(world, "viewer")
    for too_much in ({f"x-{number}": "1" for number in range(64)}, {"x-large": "x" * 16 * 1024}):
        assert told(web.get("/v1/items", headers={**ours, **too_much})) == (431, "REQUEST_TOO_LARGE")
    underscore = web.get("/v1/items", headers={**ours, "with_underscore": "1"})
    assert told(underscore) == (400, "INVALID_FIELD")


def test_grpc_web_is_refused_and_answered_as_grpc_is(world: World, web: httpx.Client) -> None:
    for headers, method, code, why in (
        ({}, LIST_ITEMS, "16", "UNAUTHENTICATED"),
        ({"authorization": "Bearer x.y.z"}, LIST_ITEMS, "16", "UNAUTHENTICATED"),
        (signed(world, "viewer"), CREATE_ITEM, "7", "PERMISSION_DENIED"),
        (signed(world, "planner"), CREATE_ITEM, "3", "INVALID_FIELD"),
    ):
        answer = web.post(method, content=NOTHING, headers={**WEB, **headers})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/grpc-web+proto"
        assert answer.headers["grpc-status"] == code
        assert web_reason(answer.headers) == why
    answer = web.post(LIST_ITEMS, content=NOTHING, headers={**WEB, **signed(world, "viewer")})
    # The last frame holds the trailers.
    assert b"grpc-status:0" in answer.content.split(b"\x80")[-1]


@pytest.fixture
def origins(world: World, web: httpx.Client) -> Iterator[Manifest]:
    """Have the pages of an origin allowed to call, as an overlay does it; give what there was before."""
    (own,) = (
        found
        for found in of_kind(world.manifests, "EnvoyFilter")
        if (found["metadata"]["namespace"], found["metadata"]["name"]) == (INGRESS, "origins")
    )
    changed = deepcopy(own)
    (policy,) = changed["spec"]["configPatches"][0]["patch"]["value"]["typed_per_filter_config"].values()
    assert policy["allow_origin_string_match"] == []
    assert "access-control-allow-origin" not in asked(web, ORIGIN, "/v1/items").headers
    policy["allow_origin_string_match"] = [{"exact": ORIGIN}]
    world.control.apply([changed])
    try:
        wait_for("the origin", lambda: asked(web, ORIGIN, "/v1/items").status_code == 200)
        yield own
    finally:
        world.control.apply([own])
        wait_for("its end", lambda: asked(web, ORIGIN, "/v1/items").status_code != 200)


def asked(web: httpx.Client, origin: str, address: str) -> httpx.Response:
    return web.options(address, headers={"origin": origin, **ASKED})


@pytest.mark.usefixtures("origins")
def test_pages_of_allowed_origins_alone_are_answered(web: httpx.Client) -> None:
    for address in ("/v1/items", LIST_ITEMS):
        ours = asked(web, ORIGIN, address)
        assert ours.status_code == 200
        assert ours.headers["access-control-allow-origin"] == ORIGIN
        assert "access-control-allow-credentials" not in ours.headers
        for origin in ("https://other.example", f"{ORIGIN}.invalid", "null", ORIGIN.replace("http", "https")):
            assert "access-control-allow-origin" not in asked(web, origin, address).headers, origin
    # Who is refused may know why.
    refused = web.get("/v1/items", headers={"origin": ORIGIN})
    assert told(refused) == (401, "UNAUTHENTICATED")
    assert refused.headers["access-control-allow-origin"] == ORIGIN
    exposed = refused.headers["access-control-expose-headers"]
    assert {"grpc-status", "grpc-message", "grpc-status-details-bin"} <= set(exposed.split(", "))


@pytest.mark.usefixtures("origins")
def test_a_page_in_a_browser_calls_from_an_allowed_origin_alone(world: World, tmp_path: Path) -> None:
    found = f"--host-resolver-rules=MAP {PUBLIC} {world.gateway.address}"
    (token,) = signed(world, "viewer").values()
    with served(urlsplit(ORIGIN).port or 80) as page:
        page.calls(f"{PUBLIC}:8443", token)
        assert "grpc-status:0" in shown(ORIGIN, tmp_path, found)["body"]
        page.calls(f"{PUBLIC}:8443", "Bearer x")
        assert shown(ORIGIN, tmp_path, found)["status"] == "16"
        page.calls(f"{PUBLIC}:8443", token)
        assert shown(ORIGIN.replace("localhost", "127.0.0.1"), tmp_path, found) == {"error": "TypeError"}


@pytest.fixture
def echo(world: World) -> Iterator[None]:
    """Have the pipeline's pod tell what comes to it."""
    listen = "127.0.0.1:50051"
    token = world.token(roles=["operator"])
    world.pods.run(world.pipeline, [sys.executable, "-m", "tests.mesh.echo", listen], {})
    assert world.pipeline.app is not None
    try:
        wait_for("the echo", lambda: world.call(LIST_DEAD_LETTERS, token).status == "OK")
        yield
    finally:
        world.pipeline.app.kill()
        world.pipeline.app.wait()


@pytest.mark.usefixtures("echo")
def test_what_a_caller_says_of_itself_does_not_reach_a_service(world: World, web: httpx.Client) -> None:
    ours = signed(world, "operator", sub="ann")
    token = ours["authorization"].removeprefix("Bearer ")
    sent = {**ours, **FORGED}

    def seen(name: str) -> dict[str, str]:
        (line,) = (line for line in world.pods.log(world.pipeline).splitlines() if f'"{name}"' in line)
        found: dict[str, str] = json.loads(line)
        return found

    assert world.call(LIST_DEAD_LETTERS, token, b"", **FORGED, x_request_id="by-grpc").status == "OK"
    came = [seen("by-grpc")]
    by_json = web.get("/v1/pipeline/deadLetters", headers={**sent, "x-request-id": "by-json"})
    assert by_json.status_code == 200, by_json.text
    came.append(seen("by-json"))
    sent |= {**WEB, "x-request-id": "by-web"}
    assert web.post(LIST_DEAD_LETTERS, content=NOTHING, headers=sent).status_code == 200
    came.append(seen("by-web"))

    for one in came:
        assert one["authorization"] == ours["authorization"]
        for header, lie in FORGED.items():
            assert lie not in one.get(header, ""), (header, one)
        assert "x-inventory-timeout" not in one
        # The gateway, and nobody before it, has been proved by a certificate.
        assert one["x-forwarded-client-cert"].count("URI=") == 1
        assert "URI=spiffe://cluster.local/ns/istio-ingress/sa/gateway" in one["x-forwarded-client-cert"]


def test_nobody_is_another_by_a_header(world: World, web: httpx.Client) -> None:
    assert told(web.post("/v1/items", json={}, headers=FORGED)) == (401, "UNAUTHENTICATED")
    refused = web.post("/v1/items", json={}, headers={**FORGED, **signed(world, "viewer")})
    assert told(refused) == (403, "PERMISSION_DENIED")
