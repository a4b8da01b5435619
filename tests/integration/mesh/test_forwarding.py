"""What the edge tells a service of its caller is what it knows itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from stack.authority import spiffe_id
from stack.certificates import Certificates
from tests.integration.mesh.standing_in import StandIn, standing_in
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack

COMMAND = "/inventory.command.v1.StockCommandService/AddStock"
FORGED = f"By={spiffe_id('edge')};Hash=00;URI={spiffe_id('order-service')}"
HEADERS = (
    "x-forwarded-client-cert",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-auth-request-user",
    "x-jwt-payload",
    "x-user-id",
    "x-remote-user",
    "x-spiffe-id",
    "x-goog-authenticated-user-email",
    "x-amzn-oidc-identity",
    "x-ms-client-principal-name",
    "x-real-ip",
    "x-envoy-retry-on",
    "x-envoy-max-retries",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-external-address",
    "forwarded",
    "remote-user",
)


@pytest.fixture
async def sidecar(mesh: RunningStack) -> AsyncIterator[StandIn]:
    """Give one, in the place of the command service's."""
    async with standing_in(mesh, "command", "command") as stands:
        yield stands
    await settled(mesh)


async def call(mesh: RunningStack, identity: str, metadata: tuple[tuple[str, str], ...]) -> None:
    async with mesh.channel(identity=identity) as channel:
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(COMMAND)
        # Who may not call gets no further than the edge.
        signed = (*metadata, *mesh.metadata("mesh"))
        await method(b"", timeout=60, metadata=signed, wait_for_ready=True)


async def test_who_brings_no_certificate_cannot_claim_one(mesh: RunningStack, sidecar: StandIn) -> None:
    await settled(mesh)
    sidecar.calls.clear()
    await call(mesh, "", tuple((name, FORGED) for name in HEADERS))

    (heard,) = sidecar.calls
    assert not [name for name in heard if FORGED in heard[name]]
    assert "x-forwarded-client-cert" not in heard


async def test_who_brings_one_is_named_by_it_alone(mesh: RunningStack, sidecar: StandIn) -> None:
    Certificates(mesh.home).issue("shop")
    await settled(mesh)
    sidecar.calls.clear()
    await call(mesh, "shop", tuple((name, FORGED) for name in HEADERS))

    (heard,) = sidecar.calls
    assert not [name for name in heard if FORGED in heard[name]]
    named = dict(part.split("=", 1) for part in heard["x-forwarded-client-cert"].split(";"))
    assert named["URI"] == spiffe_id("shop")
    assert named["By"] == spiffe_id("edge")


async def test_no_caller_has_the_edge_repeat_a_command(mesh: RunningStack, sidecar: StandIn) -> None:
    await settled(mesh)
    sidecar.calls.clear()
    sidecar.answer = grpc.StatusCode.UNAVAILABLE
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call(
            mesh,
            "",
            (
                ("x-envoy-retry-on", "5xx,unavailable,reset"),
                ("x-envoy-retry-grpc-on", "unavailable"),
                ("x-envoy-max-retries", "3"),
            ),
        )

    assert failed.value.details() == "as told"
    assert len(sidecar.calls) == 1


async def settled(mesh: RunningStack) -> None:
    """Wait until the edge takes who stands behind it for healthy."""
    async with asyncio.timeout(60):
        while not await taken(mesh):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.1)


async def taken(mesh: RunningStack) -> bool:
    """Tell whether a call comes through."""
    try:
        await call(mesh, "", ())
    except grpc.aio.AioRpcError as error:
        return error.code() is not grpc.StatusCode.UNAVAILABLE
    return True
