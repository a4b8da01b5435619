"""A server that stands where a sidecar stands, with its identity, and answers as it is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc

from stack.certificates import Certificates
from stack.envoy_proxy import sidecar
from stack.supervisor import Supervisor
from tests.stack_fixture import RunningStack

HEALTHY = b"\x08\x01"


class StandIn:
    """Healthy by its own word, whatever it answers; keeps the metadata of every call."""

    def __init__(self) -> None:
        self.calls: list[dict[str, str]] = []
        self.answer = grpc.StatusCode.OK
        # Not set: calls are kept waiting.
        self.answers = asyncio.Event()
        self.answers.set()

    async def take(self, _request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        """Answer a call."""
        metadata = [(key, str(value)) for key, value in context.invocation_metadata() or ()]
        assert len(metadata) == len(dict(metadata)), "no key comes twice"
        self.calls.append(dict(metadata))
        await self.answers.wait()
        if self.answer is not grpc.StatusCode.OK:
            await context.abort(self.answer, "as told")
        return b""


@contextlib.asynccontextmanager
async def standing_in(mesh: RunningStack, service: str, *replicas: str) -> AsyncIterator[StandIn]:
    """Have the sidecars of some replicas of a service stopped, and a server stand in for all of them."""
    supervisor = Supervisor(mesh.home)
    stands = StandIn()

    class Everything(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
            if "Health" in details.method:
                return grpc.unary_unary_rpc_method_handler(_healthy)
            return grpc.unary_unary_rpc_method_handler(stands.take)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Everything(),))
    tls = mesh.tls(service)
    assert tls.ca
    pem = Certificates(mesh.home).identity(service).read_bytes()
    credentials = grpc.ssl_server_credentials([(pem, pem)], tls.ca.read_bytes(), require_client_auth=True)
    proxies = [sidecar(replica) for replica in replicas]
    for proxy in proxies:
        supervisor.stop_program(proxy)
        server.add_secure_port(mesh.home.ports.address(proxy), credentials)
    await server.start()
    try:
        yield stands
    finally:
        stands.answers.set()
        await server.stop(0)
        for proxy in proxies:
            supervisor.start_program(proxy)
        for proxy in proxies:
            await asyncio.to_thread(mesh.wait_ready, proxy)


async def _healthy(_request: bytes, _context: object) -> bytes:
    return HEALTHY
