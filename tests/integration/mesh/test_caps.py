"""No more streams on a connection and no more connections than a proxy can bear; those within go on."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TypeAlias

import grpc
import httpx
import pytest
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest

from stack.certificates import Certificates
from stack.envoy_proxy import sidecar
from stack.supervisor import Supervisor
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack

STREAMS = 1000
AT_ONCE = 40
CONNECTIONS = 20
# Of the edge to the sidecar: one for each of its threads, and one to ask for health.
EDGES_OWN = 8
CAP = "max_active_downstream_connections: "
EDGE, SIDECAR = "edge", sidecar("query")
CAPS = {EDGE: 10000, SIDECAR: 1000}
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
LIST_SERVICES = ServerReflectionRequest(list_services="*").SerializeToString()
LEVEL = "/inventory.query.v1.StockQueryService/GetStockLevel"
# By the service, to a request without fields: the call has come through.
COME_THROUGH = grpc.StatusCode.INVALID_ARGUMENT
PATIENCE = 60
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
Stream: TypeAlias = "grpc.aio.StreamStreamCall[bytes, bytes]"


def identity_for(proxy: str) -> str:
    """Return who is let in: anybody at the edge, the edge alone at a sidecar."""
    return "" if proxy == EDGE else EDGE


def gauge(mesh: RunningStack, proxy: str, name: str) -> int:
    """Return a figure that a proxy tells of itself."""
    url = f"http://{mesh.home.ports.address(f'{proxy}-admin')}/stats?format=json&filter=^{name}$"
    (found,) = httpx.get(url, trust_env=False).json()["stats"]
    return int(found["value"])


async def come_through(channel: grpc.aio.Channel, mesh: RunningStack) -> bool:
    """Tell whether a query is answered by the service."""
    stub: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(LEVEL)
    return await stub(b"", timeout=PATIENCE, metadata=mesh.metadata("caps")).code() is COME_THROUGH


@pytest.mark.parametrize("proxy", [EDGE, SIDECAR])
async def test_the_stream_above_the_cap_waits_for_one_to_end(mesh: RunningStack, proxy: str) -> None:
    streams = "http.grpc.downstream_rq_active"
    async with (
        mesh.channel(OWN_CONNECTION, to=proxy, identity=identity_for(proxy)) as full,
        mesh.channel(OWN_CONNECTION, to=proxy, identity=identity_for(proxy)) as other,
    ):
        metadata = mesh.metadata("caps")
        reflect: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = full.stream_stream(REFLECTION)

        async def begun() -> Stream:
            """Begin what is answered, and does not end by itself."""
            call = reflect(metadata=metadata)
            await call.write(LIST_SERVICES)
            assert await call.read()
            return call

        async with asyncio.timeout(PATIENCE):
            # Not all at once, for each four are a new connection to the service.
            within = [
                call
                for _ in range(STREAMS // AT_ONCE)
                for call in await asyncio.gather(*(begun() for _ in range(AT_ONCE)))
            ]
        assert gauge(mesh, proxy, streams) == STREAMS

        above = asyncio.create_task(begun())
        # Another connection is none the fuller.
        assert await come_through(other, mesh)
        # Those within are served on.
        await within[0].write(LIST_SERVICES)
        assert await within[0].read()
        assert gauge(mesh, proxy, streams) == STREAMS
        assert not above.done()

        within[0].cancel()
        async with asyncio.timeout(PATIENCE):
            await above
        assert not any(call.done() for call in within[1:])


@contextmanager
def altered(mesh: RunningStack, proxy: str, was: str, is_now: str) -> Iterator[None]:
    """Have a proxy with something else in its configuration."""
    config = mesh.home.config / f"{proxy}.yaml"
    before = config.read_text()
    assert was in before

    def restart_with(text: str) -> None:
        Supervisor(mesh.home).stop_program(proxy)
        config.write_text(text)
        Supervisor(mesh.home).start_program(proxy)
        mesh.wait_ready(proxy)
        mesh.wait_ready(EDGE)

    restart_with(before.replace(was, is_now))
    try:
        yield
    finally:
        restart_with(before)


@pytest.fixture
def narrow(mesh: RunningStack, request: pytest.FixtureRequest) -> Iterator[str]:
    """Give a proxy that takes a few connections only."""
    proxy: str = request.param
    with altered(mesh, proxy, f"{CAP}{CAPS[proxy]}", f"{CAP}{CONNECTIONS}"):
        yield proxy


@pytest.mark.parametrize("narrow", [EDGE, SIDECAR], indirect=True)
async def test_the_connection_above_the_cap_is_closed_at_once(mesh: RunningStack, narrow: str) -> None:
    context = mesh_context(mesh, identity_for(narrow))
    async with mesh.channel(OWN_CONNECTION, to=narrow, identity=identity_for(narrow)) as good:
        assert await come_through(good, mesh)
        async with AsyncExitStack() as held:
            count = 0
            while await held.enter_async_context(connected(mesh, narrow, context)):
                count += 1
                assert count < CONNECTIONS
            # The good one is within, and at a sidecar the edge's own.
            assert count >= CONNECTIONS - 1 - EDGES_OWN
            for _ in range(5):
                assert not await held.enter_async_context(connected(mesh, narrow, context))
                assert await come_through(good, mesh)
        # Who has left makes room.
        async with asyncio.timeout(PATIENCE):
            while True:
                async with connected(mesh, narrow, context) as let_in:
                    if let_in:
                        break
        assert await come_through(good, mesh)


async def test_a_call_that_is_never_answered_is_ended(mesh: RunningStack) -> None:
    """Its caller sets no deadline, and its service hangs, so that it cannot keep its own."""
    with altered(mesh, EDGE, "max_stream_duration: 60s", "max_stream_duration: 2s"):
        async with mesh.channel(OWN_CONNECTION) as channel:
            stub: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(LEVEL)
            assert await come_through(channel, mesh)
            pid = mesh.pid("query")
            os.kill(pid, signal.SIGSTOP)
            try:
                async with asyncio.timeout(PATIENCE):
                    ended = await stub(b"", metadata=mesh.metadata("caps")).code()
            finally:
                os.kill(pid, signal.SIGCONT)
            assert ended is grpc.StatusCode.DEADLINE_EXCEEDED
    async with mesh.channel(OWN_CONNECTION) as channel:
        assert await come_through(channel, mesh)


@asynccontextmanager
async def connected(mesh: RunningStack, proxy: str, context: ssl.SSLContext) -> AsyncIterator[bool]:
    """Connect, and tell whether one is let in."""
    try:
        async with asyncio.timeout(PATIENCE):
            _, writer = await asyncio.open_connection(
                "127.0.0.1", mesh.home.ports[proxy], ssl=context, server_hostname="127.0.0.1"
            )
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        writer.transport.abort()


def mesh_context(mesh: RunningStack, identity: str) -> ssl.SSLContext:
    """Return what an identity, or nobody, connects with."""
    context = ssl.create_default_context(cafile=mesh.tls().ca)
    context.set_alpn_protocols(["h2"])
    # The certificate of a sidecar names an identity, no host.
    context.check_hostname = False
    if identity:
        context.load_cert_chain(Certificates(mesh.home).identity(identity))
    return context
