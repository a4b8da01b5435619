"""A server that knows its issuer: every role gets exactly its own methods, and nobody else gets any."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from hypothesis import given
from hypothesis import strategies as st

from inventory.command.v1 import stock_command_service_pb2 as stock
from inventory.type.v1.access_pb2 import Role
from inventory.type.v1.stock_pb2 import MovementReason
from serving.access import ACCESS, role_name
from serving.contracts import METHODS, SERVICES
from serving.errors import CallError
from serving.identity import Caller, admit, caller
from serving.server import GrpcServer, Service
from serving.settings import ServerSettings
from tests.unit.serving.issuing import ISSUER, Issuer

SA = "spiffe://inventory.local/ns/inventory/sa"
WORKLOADS = {f"{SA}/order-service": {"roles": ["order_service"]}}
OURS = [method for method in ACCESS if method.startswith("/inventory.")]
ROLES = [role for role in Role.values() if role]
LIFE_SECONDS = 5
"""How long a token is good that is to end: longer than a busy machine takes to begin a stream."""
STOCK = "/inventory.command.v1.StockCommandService"


class Answering:
    """Answers every method of the contracts, under a token, with who has called."""

    def __init__(self, channel: grpc.aio.Channel, issuer: Issuer) -> None:
        self.channel = channel
        self.issuer = issuer

    async def call(self, method: str, request: bytes = b"", *metadata: tuple[str, str]) -> str:
        """Return who has called, as the service saw it."""
        client_streams, server_streams = _streams(method)
        channel: Any = self.channel
        if not server_streams:
            return str(await channel.unary_unary(method)(request, metadata=metadata, timeout=10), "ascii")
        if client_streams:
            answers = channel.stream_stream(method)(iter([request]), metadata=metadata, timeout=10)
        else:
            answers = channel.unary_stream(method)(request, metadata=metadata, timeout=10)
        return str(await answers.read(), "ascii")

    async def refusal(
        self, method: str, request: bytes = b"", *metadata: tuple[str, str]
    ) -> error_details_pb2.ErrorInfo:
        """Return why a call is refused, with the name of the code in its domain's place."""
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await self.call(method, request, *metadata)
        packed = dict(refused.value.trailing_metadata() or ())["grpc-status-details-bin"]
        info = error_details_pb2.ErrorInfo()
        assert isinstance(packed, bytes)
        status_pb2.Status.FromString(packed).details[0].Unpack(info)
        info.domain = refused.value.code().name
        return info

    def bearer(self, *roles: Role.ValueType, **claims: Any) -> tuple[str, str]:  # noqa: ANN401 - of any kind
        """Return the metadata with a good token for roles."""
        return ("authorization", f"Bearer {self.issuer.token(roles=[role_name(r) for r in roles], **claims)}")


def _streams(method: str) -> tuple[bool, bool]:
    return METHODS[method].client_streaming, METHODS[method].server_streaming


async def _who(_request: object, _context: object) -> bytes:
    return caller().subject.encode()


async def _who_streaming(_request: object, _context: object) -> AsyncGenerator[bytes, None]:
    yield caller().subject.encode()
    await asyncio.Event().wait()


def _services() -> list[Service]:
    """Return every service of the contracts, whose methods all say who calls."""
    found = []
    for service in SERVICES:
        handlers = {}
        for method in service.methods:
            kind: Any = {
                (False, False): grpc.unary_unary_rpc_method_handler,
                (False, True): grpc.unary_stream_rpc_method_handler,
                (True, True): grpc.stream_stream_rpc_method_handler,
            }[method.client_streaming, method.server_streaming]
            handlers[method.name] = kind(
                _who_streaming if method.server_streaming else _who,
                request_deserializer=GetMessageClass(method.input_type).FromString,
            )
        generic = grpc.method_handlers_generic_handler(service.full_name, handlers)
        found.append(
            Service(service.full_name, lambda server, one=generic: server.add_generic_rpc_handlers((one,)))  # type: ignore[misc]
        )
    return found


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    """Give an issuer."""
    return Issuer(tmp_path_factory.mktemp("issuer") / "jwks.json")


def guarded(jwks: Path, **more: object) -> ServerSettings:
    """Return the settings of a server that knows its issuer."""
    return ServerSettings.model_validate(
        {
            "listen": "127.0.0.1:0",
            "drain_seconds": 0,
            "grace_seconds": 1,
            "identity_issuer": ISSUER,
            "identity_jwks": str(jwks),
            "identity_workloads": WORKLOADS,
            "identity_proxies": [f"{SA}/edge"],
        }
        | more
    )


@pytest.fixture
async def service(issuer: Issuer) -> AsyncIterator[Answering]:
    """Give a server of all methods, to be called over a channel."""
    server = GrpcServer(guarded(issuer.file), _services(), dependencies=[], unavailable={})
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Answering(channel, issuer)
        await server.shut_down()


@pytest.mark.parametrize("role", ROLES, ids=role_name)
async def test_a_role_gets_exactly_its_own_methods(service: Answering, role: Role.ValueType) -> None:
    bearer = service.bearer(role, auth_time=int(time.time()), amr=["mfa"])
    for method in OURS:
        if role in ACCESS[method].roles:
            assert await service.call(method, b"", bearer) == "user-1"
        else:
            info = await service.refusal(method, b"", bearer)
            assert (info.domain, info.reason) == ("PERMISSION_DENIED", "PERMISSION_DENIED")
            assert info.metadata["method"] == method[1:]
            assert info.metadata["roles"].split() == [role_name(r) for r in sorted(ACCESS[method].roles)]


async def test_nobody_gets_any_method(service: Answering) -> None:
    for method in OURS:
        info = await service.refusal(method)
        assert (info.domain, info.reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
        assert info.metadata["cause"] == "missing"
        named = await service.refusal(method, b"", ("x-inventory-actor", "administrator"))
        assert named.reason == "UNAUTHENTICATED"


async def test_a_token_without_a_role_of_ours_gets_none(service: Answering) -> None:
    for claims in ({"roles": None}, {"roles": ["king", "ADMINISTRATOR"]}, {"roles": {"viewer": True}}):
        bearer = ("authorization", f"Bearer {service.issuer.token(**claims)}")
        assert (await service.refusal(OURS[0], b"", bearer)).reason == "PERMISSION_DENIED"


@given(roles=st.sets(st.sampled_from(ROLES)), method=st.sampled_from([*ACCESS]))
def test_of_several_roles_any_is_enough(roles: set[Role.ValueType], method: str) -> None:
    who = Caller("user-1", frozenset(roles))
    if roles & ACCESS[method].roles:
        assert admit(who, method) is ACCESS[method]
    else:
        with pytest.raises(CallError) as refused:
            admit(who, method)
        assert refused.value.reason_name == "PERMISSION_DENIED"


@given(st.text())
def test_what_is_not_in_the_table_is_for_nobody(method: str) -> None:
    with pytest.raises(CallError):
        admit(Caller("user-1", frozenset(ROLES)), method)


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "token", "Bearer a.b.c", "Bearer a b"],
)
async def test_what_is_no_token_is_refused(service: Answering, value: str) -> None:
    info = await service.refusal(OURS[0], b"", ("authorization", value))
    assert (info.reason, info.metadata["cause"]) == ("UNAUTHENTICATED", "malformed")


async def test_two_tokens_are_none(service: Answering) -> None:
    bearer = service.bearer(Role.ROLE_VIEWER)
    method = "/inventory.query.v1.StockQueryService/ListLots"
    assert await service.call(method, b"", bearer) == "user-1"
    info = await service.refusal(method, b"", bearer, bearer)
    assert info.metadata["cause"] == "malformed"


async def test_the_word_bearer_is_written_as_one_likes(service: Answering) -> None:
    key, value = service.bearer(Role.ROLE_VIEWER)
    method = "/inventory.query.v1.StockQueryService/ListLots"
    assert await service.call(method, b"", (key, value.replace("Bearer", "bEARER "))) == "user-1"


async def test_a_name_that_the_caller_gives_itself_counts_for_nothing(service: Answering) -> None:
    bearer = service.bearer(Role.ROLE_VIEWER, sub="alice")
    method = "/inventory.query.v1.StockQueryService/ListLots"
    assert await service.call(method, b"", bearer, ("x-inventory-actor", "bob")) == "alice"
    assert await service.call(method, b"", bearer, ("x-inventory-actor", "not a name")) == "alice"


async def test_a_workload_gets_its_roles_and_a_token_counts_for_more(service: Answering) -> None:
    forwarded = (
        "x-forwarded-client-cert",
        f"By={SA}/edge;URI={SA}/order-service,By={SA}/command;URI={SA}/edge",
    )
    order = "/inventory.command.v1.OrderCommandService/PlaceOrder"
    assert await service.call(order, b"", forwarded) == f"{SA}/order-service"
    assert (await service.refusal(f"{STOCK}/AddStock", b"", forwarded)).reason == "PERMISSION_DENIED"
    bearer = service.bearer(Role.ROLE_VIEWER)
    assert (await service.refusal(order, b"", forwarded, bearer)).reason == "PERMISSION_DENIED"
    # A token that is no good is not passed over.
    stale = service.bearer(Role.ROLE_VIEWER, exp=1_000_000_000)
    assert (await service.refusal(order, b"", forwarded, stale)).metadata["cause"] == "expired"
    for unknown in (f"URI={SA}/edge", f"URI={SA}/other", "URI="):
        info = await service.refusal(order, b"", ("x-forwarded-client-cert", unknown))
        assert info.metadata["cause"] == "missing"


async def test_a_sensitive_call_asks_for_a_step_up(service: Answering) -> None:
    loss = stock.RemoveStockRequest(reason=MovementReason.MOVEMENT_REASON_LOSS).SerializeToString()
    sale = stock.RemoveStockRequest(reason=MovementReason.MOVEMENT_REASON_SALE).SerializeToString()
    plain = service.bearer(Role.ROLE_CLERK)
    stale = service.bearer(Role.ROLE_CLERK, auth_time=int(time.time()) - 400, amr=["mfa"])
    fresh = service.bearer(Role.ROLE_CLERK, auth_time=int(time.time()), amr=["mfa"])
    assert await service.call(f"{STOCK}/RemoveStock", sale, plain)
    for method, request in ((f"{STOCK}/RemoveStock", loss), (f"{STOCK}/AdjustStock", b"")):
        for bearer in (plain, stale):
            info = await service.refusal(method, request, bearer)
            assert (info.domain, info.reason) == ("PERMISSION_DENIED", "STEP_UP_REQUIRED")
            assert dict(info.metadata) == {
                "method": method[1:],
                "max_age_seconds": "300",
                "acr_values": "",
                "amr_values": "mfa",
            }
        assert await service.call(method, request, fresh)


async def test_a_stream_ends_with_its_token(service: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.access_tokens.LEEWAY_SECONDS", 0)
    expires = int(time.time()) + LIFE_SECONDS
    bearer = service.bearer(Role.ROLE_CLERK, exp=expires)

    async def ends(method: str) -> float:
        watch: Any = service.channel.stream_stream(method)(metadata=[bearer], timeout=4 * LIFE_SECONDS)
        await watch.write(b"")
        assert await watch.read() == b"user-1"
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await watch.read()
        assert ended.value.code() is grpc.StatusCode.UNAUTHENTICATED
        return time.time()

    streams = ("/inventory.query.v1.StockQueryService/WatchStock", f"{STOCK}/StreamStock")
    assert min(await asyncio.gather(*map(ends, streams))) >= expires


async def test_health_is_for_probes_and_reflection_for_operators(service: Answering) -> None:
    health: Any = service.channel.unary_unary(
        "/grpc.health.v1.Health/Check", response_deserializer=health_pb2.HealthCheckResponse.FromString
    )
    assert (await health(b"", timeout=5)).status

    async def listed(version: str, *roles: Role.ValueType) -> Any:  # noqa: ANN401 - of another library
        reflect: Any = service.channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        call = reflect(iter([request]), metadata=[service.bearer(*roles)] if roles else [], timeout=5)
        return await call.read()

    for version in ("v1", "v1alpha"):
        assert (await listed(version, Role.ROLE_OPERATOR)).list_services_response.service
        for roles in ([], [Role.ROLE_ADMINISTRATOR]):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await listed(version, *roles)
            assert refused.value.code().name == ("PERMISSION_DENIED" if roles else "UNAUTHENTICATED")


async def test_an_issuer_that_is_away_is_no_fault_of_the_caller(tmp_path: Path, issuer: Issuer) -> None:
    server = GrpcServer(guarded(tmp_path / "nothing"), _services(), dependencies=[], unavailable={})
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        away = Answering(channel, issuer)
        info = await away.refusal(OURS[0], b"", away.bearer(Role.ROLE_VIEWER))
        assert (info.domain, info.reason) == ("UNAVAILABLE", "DEPENDENCY_UNAVAILABLE")
        assert info.metadata["dependency"] == "token issuer"
        await server.shut_down()
