"""Through the door and straight at the services: every role gets its own methods, and nobody else gets in."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from joserfc import jwt
from joserfc.jwk import ECKey

from client import (
    InventoryClient,
    LocationNotAllowedError,
    PermissionDeniedError,
    StepUpRequiredError,
    UnauthenticatedError,
)
from inventory.command.v1.item_command_service_pb2 import CreateItemRequest
from inventory.command.v1.location_command_service_pb2 import CreateLocationRequest
from inventory.command.v1.stock_command_service_pb2 import AddStockRequest, AdjustStockRequest
from inventory.query.v1.stock_query_service_pb2 import GetStockHistoryRequest, GetStockLevelRequest
from inventory.type.v1.access_pb2 import Role
from inventory.type.v1.location_pb2 import LOCATION_KIND_STORE
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_COUNT, MOVEMENT_REASON_RECEIPT
from serving.access import ACCESS, role_name
from serving.contracts import METHODS
from stack import credentials, tokens
from stack.authority import spiffe_id
from stack.certificates import Certificates
from tests.soon import soon
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack
# What an empty request is answered with by a service that lets its caller in, some of its parts away.
LET_IN = {
    *("OK", "INVALID_ARGUMENT", "NOT_FOUND"),
    *("FAILED_PRECONDITION", "UNAVAILABLE", "DEADLINE_EXCEEDED"),
}
ROLES = [role for role in Role.values() if role != Role.ROLE_UNSPECIFIED]


def doors(method: str) -> dict[str, str]:
    """Return the ways to a method, and as whom: the edge, the sidecar behind it, the service behind that."""
    service = {"command": "command", "query": "query", "admin": "pipeline"}[method.split(".")[1]]
    if ".AuditService/" in method:
        service = "query"
    return {"edge": "", f"{service}_sidecar": "edge", service: service}


class Calls:
    """Calls any method by any door, over one channel each."""

    def __init__(self, mesh: RunningStack) -> None:
        self._mesh = mesh
        self._channels: dict[tuple[str, str], grpc.aio.Channel] = {}

    async def __call__(self, door: tuple[str, str], method: str, *metadata: tuple[str, str]) -> str:
        """Return the code that a call with an empty request ends with, "in" for one that was let in."""
        if door not in self._channels:
            self._channels[door] = self._mesh.channel(to=door[0], identity=door[1])
        channel: Any = self._channels[door]
        descriptor = METHODS[method]
        request = GetMessageClass(descriptor.input_type)().SerializeToString()
        # There is no broker here, for which what is let in there may wait long.
        patience = 3 if ".admin." in method else 20
        if not descriptor.server_streaming:
            call = channel.unary_unary(method)(request, metadata=metadata, timeout=patience)
        elif descriptor.client_streaming:
            # It sends nothing: a message on its way may meet the end of a stream that is refused.
            call = channel.stream_stream(method)(metadata=metadata, timeout=patience)
            with suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
                await call.done_writing()
        else:
            call = channel.unary_stream(method)(request, metadata=metadata, timeout=patience)
        if descriptor.server_streaming:
            with suppress(grpc.aio.AioRpcError):
                # A stream that is let in may be silent, or end in peace.
                if await call.read() is not grpc.aio.EOF:
                    call.cancel()
                    return "in"
        name = (await call.code()).name
        assert name != "UNIMPLEMENTED", (door, method)
        return "in" if name in LET_IN else name

    async def close(self) -> None:
        """Close the channels."""
        for channel in self._channels.values():
            await channel.close()


@pytest.fixture
async def outcome(mesh: RunningStack) -> AsyncIterator[Calls]:
    """Give a way to call."""
    calls = Calls(mesh)
    yield calls
    await calls.close()


@pytest.mark.parametrize("role", ROLES, ids=role_name)
async def test_a_role_gets_exactly_its_own_methods_by_every_door(
    mesh: RunningStack, outcome: Calls, role: Role.ValueType
) -> None:
    metadata = mesh.metadata("matrix", role_name(role))
    for method in METHODS:
        expected = "in" if role in ACCESS[method].roles else "PERMISSION_DENIED"
        for door in doors(method).items():
            assert await outcome(door, method, *metadata) == expected, (door, method)


async def test_nobody_gets_in_by_any_door(outcome: Calls) -> None:
    for method in METHODS:
        for door in doors(method).items():
            assert await outcome(door, method) == "UNAUTHENTICATED", (door, method)
            named = ("x-inventory-actor", "administrator")
            assert await outcome(door, method, named) == "UNAUTHENTICATED", (door, method)


def encoded(part: object) -> str:
    """Return a part of a token."""
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def bad_tokens(mesh: RunningStack) -> dict[str, str]:
    """Return a token for every way in which one can be wrong."""
    good = mesh.metadata("mallory", "viewer")[0][1].removeprefix("Bearer ")
    header, payload, signature = good.split(".")

    told = json.loads(base64.urlsafe_b64decode(payload + "=="))
    key_id = json.loads(base64.urlsafe_b64decode(header + "=="))["kid"]
    thief = ECKey.generate_key("P-256", {"kid": key_id})
    published = httpx.get(f"{mesh.issuer}/jwks", trust_env=False).json()["keys"][0]
    stolen = jwt.encode({"alg": "ES256", "kid": key_id}, told | {"roles": ["administrator"]}, thief)
    issuers_file = json.loads((mesh.home.config / "issuer-keys.json").read_text())
    keys = {key["kid"]: ECKey.import_key(key) for key in issuers_file["keys"]}

    def signed(**claims: object) -> str:
        """Return what the issuer itself would never sign."""
        return jwt.encode({"alg": "ES256", "kid": key_id}, told | claims, keys[key_id])

    return {
        "no token at all": "nonsense",
        "changed": f"{header}.{encoded(told | {'roles': ['administrator']})}.{signature}",
        "unsigned": f"{encoded({'alg': 'none', 'kid': key_id})}.{payload}.",
        "another's key": stolen,
        "the public key as a secret": hs256(published, key_id, told),
        "expired": signed(exp=int(time.time()) - 120),
        "not yet": signed(nbf=int(time.time()) + 3600),
        "for others": signed(aud="billing"),
        "of another issuer": signed(iss="https://issuer.example"),
    }


def hs256(published: dict[str, str], key_id: str, told: dict[str, Any]) -> str:
    """Return a token signed with what everybody knows of the issuer's key."""
    text = f"{encoded({'alg': 'HS256', 'kid': key_id})}.{encoded(told)}"
    secret = ECKey.import_key(published).as_pem(private=False)  # type: ignore[arg-type]
    mac = hmac.digest(secret, text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


async def test_a_token_that_is_no_good_opens_no_door(mesh: RunningStack, outcome: Calls) -> None:
    method = "/inventory.query.v1.StockQueryService/ListLots"
    for door in doors(method).items():
        assert await outcome(door, method, *mesh.metadata("victor", "viewer")) == "in"
        for why, token in bad_tokens(mesh).items():
            bearer = ("authorization", f"Bearer {token}")
            assert await outcome(door, method, bearer) == "UNAUTHENTICATED", (door, why)


async def test_keys_rotate_while_callers_go_on(mesh: RunningStack, outcome: Calls) -> None:
    method = "/inventory.query.v1.StockQueryService/ListLots"
    password = credentials.load(mesh.home)["INVENTORY_ISSUER_PASSWORD"]
    for _ in range(2):
        before = mesh.metadata("rita", "viewer")
        async with httpx.AsyncClient(trust_env=False) as http:
            (await http.post(f"{mesh.issuer}/rotate", data={"client_secret": password})).raise_for_status()
        after = mesh.metadata("rita", "viewer")
        for door in doors(method).items():
            for metadata in (before, after):

                async def ask(door: tuple[str, str] = door, metadata: Any = metadata) -> str:  # noqa: ANN401
                    return await outcome(door, method, *metadata)

                assert await soon(ask, lambda answer: answer == "in") == "in"


async def test_a_workload_is_known_by_its_certificate_and_by_nothing_else(
    mesh: RunningStack, outcome: Calls
) -> None:
    for name in ("order-service", "stranger"):
        Certificates(mesh.home).issue(name)
    for method in METHODS:
        expected = "in" if Role.ROLE_ORDER_SERVICE in ACCESS[method].roles else "PERMISSION_DENIED"
        assert await outcome(("edge", "order-service"), method) == expected, method
    order = "/inventory.command.v1.OrderCommandService/PlaceOrder"
    assert await outcome(("edge", "stranger"), order) == "UNAUTHENTICATED"
    forged = ("x-forwarded-client-cert", f"URI={spiffe_id('order-service')}")
    for identity in ("", "stranger"):
        assert await outcome(("edge", identity), order, forged) == "UNAUTHENTICATED"


async def test_a_clerk_acts_at_own_locations_and_steps_up_for_what_is_sensitive(mesh: RunningStack) -> None:
    name = f"{time.time_ns():x}"
    sku, here, there = f"MUG-{name}", f"here-{name}", f"there-{name}"
    async with mesh.client("ada") as admin:
        await admin.create_item(CreateItemRequest(sku=sku, name="Mug"))
        for place in (here, there):
            await admin.create_location(
                CreateLocationRequest(location_id=place, name="Place", kind=LOCATION_KIND_STORE)
            )

    def clerk(*, step_up: bool = False) -> InventoryClient:
        source = tokens.source(mesh, f"clerk-{name}", ["clerk"], locations=[here], step_up=step_up)
        return InventoryClient(mesh.edge, tls=mesh.tls(), token=source)

    def add(place: str) -> AddStockRequest:
        return AddStockRequest(sku=sku, location_id=place, quantity=5, reason=MOVEMENT_REASON_RECEIPT)

    count = AdjustStockRequest(sku=sku, location_id=here, counted_quantity=4, reason=MOVEMENT_REASON_COUNT)
    async with clerk() as plain, clerk(step_up=True) as careful:
        await plain.add_stock(add(here))
        with pytest.raises(LocationNotAllowedError) as foreign:
            await plain.add_stock(add(there))
        assert foreign.value.metadata == {"location_id": there}
        with pytest.raises(StepUpRequiredError) as sensitive:
            await plain.adjust_stock(count)
        assert sensitive.value.metadata["max_age_seconds"] == "300"
        await careful.adjust_stock(count)
        with pytest.raises(PermissionDeniedError):
            await plain.create_item(CreateItemRequest(sku=f"{sku}-2", name="Mug"))
        level = await careful.get_stock_level(GetStockLevelRequest(sku=sku, location_id=here))
        assert level.level.on_hand == 4
        history = await careful.get_stock_history(GetStockHistoryRequest(sku=sku, location_id=here))
        assert {entry.actor for entry in history.movements} == {f"clerk-{name}"}
    async with InventoryClient(mesh.edge, tls=mesh.tls(), actor="ada") as unknown:
        with pytest.raises(UnauthenticatedError):
            await unknown.add_stock(add(here))


async def test_a_refusal_says_why_in_its_details(mesh: RunningStack) -> None:
    method = "/inventory.command.v1.ItemCommandService/CreateItem"
    for door in doors(method).items():
        async with mesh.channel(to=door[0], identity=door[1]) as channel:
            call: Any = channel.unary_unary(method)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call(b"", metadata=mesh.metadata("eve", "viewer"), timeout=10)
        packed = dict(refused.value.trailing_metadata() or ())["grpc-status-details-bin"]
        info = error_details_pb2.ErrorInfo()
        assert isinstance(packed, bytes)
        assert status_pb2.Status.FromString(packed).details[0].Unpack(info)
        assert (info.reason, info.domain) == ("PERMISSION_DENIED", "inventory")


@pytest.mark.parametrize("role", ["operator", "viewer"])
async def test_a_tool_of_others_gets_in_with_a_token(mesh: RunningStack, role: str) -> None:
    ca = mesh.tls().ca
    header = f"authorization: {mesh.metadata('tool', role)[0][1]}"
    tool = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).parent / "buf"), "curl", "--protocol", "grpc", "--cacert", str(ca)),
        *("--reflect-header", "*", "-H", header, "--list-services", f"https://{mesh.edge}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await tool.communicate()
    if role == "operator":
        assert b"inventory.command.v1.StockCommandService" in said
    else:
        assert b"permission_denied" in said
