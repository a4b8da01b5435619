"""The receiver, put together: its gRPC server from the settings to a graceful end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import structlog
from grpc_health.v1 import health_pb2_grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc

from audit.receiver.config import ReceiverSettings
from audit.receiver.inbox import Inbox
from audit.receiver.service import MOST_BATCHES, Receiver, receiving
from serving.health import Dependency, HealthMonitor
from serving.server import bind
from serving.tls import PeerInterceptor

__all__ = ["ReceiverServer", "assemble"]

NAME = "opentelemetry.proto.collector.logs.v1.LogsService"

_log = structlog.get_logger()


class ReceiverServer:
    """Serves a receiver, and health, to the proxies alone. To be made inside a running event loop."""

    def __init__(self, settings: ReceiverSettings, receiver: Receiver, inbox: Inbox) -> None:
        self._settings = settings
        peers = (settings.tls_peer, *settings.proxies)
        self._server = grpc.aio.server(
            interceptors=[PeerInterceptor(peers)] if settings.serves_tls else [],
            options=[("grpc.so_reuseport", 0), ("grpc.max_concurrent_streams", 2 * MOST_BATCHES)],
        )
        # Proxies keep what cannot be written: the receiver is there, so that they find it.
        database = Dependency("database", inbox.check, required=False)
        self._health = HealthMonitor([NAME], [database])
        logs_service_pb2_grpc.add_LogsServiceServicer_to_server(receiver, self._server)  # type: ignore[no-untyped-call]
        health_pb2_grpc.add_HealthServicer_to_server(self._health.servicer, self._server)

    async def start(self) -> int:
        """Listen and serve; return the port. Raises ListenError as GrpcServer does."""
        address = self._settings.listen
        port = bind(self._server, address, self._settings)
        await self._health.start()
        await self._server.start()
        _log.info("listening", address=address, port=port)
        return port

    async def shut_down(self) -> None:
        """Report NOT_SERVING, take no more, let what waits be written."""
        await self._health.shut_down()
        await self._server.stop(self._settings.grace_seconds)
        _log.info("stopped")


@asynccontextmanager
async def assemble(settings: ReceiverSettings) -> AsyncIterator[ReceiverServer]:
    """Yield the server, not yet listening; close what it stands on afterwards."""
    names_all = settings.pseudonyms == "all"
    async with Inbox(settings.database_url.get_secret_value(), names_all=names_all) as inbox:
        receiver = Receiver(inbox, window=settings.window_seconds)
        async with receiving(receiver):
            yield ReceiverServer(settings, receiver, inbox)
