"""The gRPC server of a service: from its settings to a graceful end."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import grpc
import structlog
import uvloop
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2_grpc

from serving.audit import Nowhere
from serving.guard import guard_of
from serving.health import HealthMonitor
from serving.interceptor import CallInterceptor, CallLimits
from serving.metrics import MetricsPage
from serving.reflection import add_reflection_to_server
from serving.settings import split_address
from serving.tls import CertificateError, PeerInterceptor, server_credentials
from serving.validation import warm

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from serving.access_tokens import Naming
    from serving.audit import Recorder
    from serving.health import Dependency, Role
    from serving.metrics import Collector
    from serving.settings import ServerSettings
    from serving.tls_settings import TlsSettings

__all__ = ["GrpcServer", "ListenError", "Server", "Service", "bind", "run"]

MESSAGE_BYTES = 4 * 1024 * 1024
STREAMS_PER_CONNECTION = 1000
PENDING_CALLS = 10_000

_log = structlog.get_logger()


class ListenError(Exception):
    """The address cannot be listened on."""


@dataclass(frozen=True)
class Service:
    """A gRPC service: its full name, and what adds it to a server."""

    full_name: str
    add_to_server: Callable[[grpc.aio.Server], None]


class GrpcServer:
    """A gRPC server with the given services, health and reflection.

    `dependencies` and `roles` decide its health (see HealthMonitor). An exception that a handler lets out is
    answered as its kind says in `unavailable`, which names the part that failed, and otherwise as a
    fault of ours (see CallInterceptor). Refused calls leave an entry with the `recorder`, those of the
    methods `audited` also when they are answered. `naming` gives pseudonyms to people. `collectors` tell what
    the page of metrics shows beside the process's own figures. To be made inside a running event loop.
    """

    def __init__(  # noqa: PLR0913 - each is named by whoever calls
        self,
        settings: ServerSettings,
        services: Sequence[Service],
        *,
        dependencies: Sequence[Dependency],
        unavailable: Mapping[type[Exception], str],
        recorder: Recorder | None = None,
        audited: Collection[str] = (),
        roles: Sequence[Role] = (),
        collectors: Sequence[Collector] = (),
        naming: Naming | None = None,
    ) -> None:
        self._settings = settings
        self._collectors = collectors
        self._metrics: MetricsPage | None = None
        limits = CallLimits(
            settings.default_deadline_seconds, settings.max_deadline_seconds, settings.max_concurrent_calls
        )
        recorder = Nowhere() if recorder is None else recorder
        self._calls = CallInterceptor(limits, unavailable, guard_of(settings, naming), recorder, audited)
        interceptors: list[grpc.aio.ServerInterceptor] = [self._calls]
        if settings.serves_tls:
            interceptors.insert(0, PeerInterceptor([settings.tls_peer], recorder))
        self._server = grpc.aio.server(interceptors=interceptors, options=_options(settings))
        self._health = HealthMonitor([service.full_name for service in services], dependencies, roles)
        contracts = descriptor_pool.Default()
        for service in services:
            warm(contracts.FindServiceByName(service.full_name))
            service.add_to_server(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health.servicer, self._server)
        add_reflection_to_server(self._server)

    async def start(self) -> int:
        """Listen and serve; return the port. NOT_SERVING until the dependencies answer.

        Raises ListenError when the address is taken or not ours, or there is no certificate to serve with.
        """
        port = bind(self._server, self._settings.listen, self._settings)
        if self._settings.metrics_listen is not None:
            self._metrics = _metrics_page(self._settings.metrics_listen, self._collectors)
        await self._health.start()
        await self._server.start()
        _log.info("listening", host=split_address(self._settings.listen)[0], port=port)
        return port

    async def shut_down(self) -> None:
        """Report NOT_SERVING, let clients notice, take no new call, let running ones finish, end streams."""
        await self._health.shut_down()
        _log.info("draining", seconds=self._settings.drain_seconds)
        await asyncio.sleep(self._settings.drain_seconds)
        self._calls.end_streams()
        await self._server.stop(self._settings.grace_seconds)
        if self._metrics is not None:
            await self._metrics.close()
        _log.info("stopped")


def bind(server: grpc.aio.Server, address: str, tls: TlsSettings) -> int:
    """Have a server listen on host:port, by TLS where the settings say so; return the port.

    Raises ListenError when the address is taken or not ours, or there is no certificate to serve with.
    """
    try:
        if tls.serves_tls:
            return server.add_secure_port(address, server_credentials(tls))
        return server.add_insecure_port(address)
    except CertificateError as error:
        raise ListenError(str(error)) from error
    except RuntimeError as error:
        raise ListenError(f"cannot listen on {address}: is another process on this port?") from error


def _metrics_page(address: str, collectors: Sequence[Collector]) -> MetricsPage:
    try:
        return MetricsPage(*split_address(address), collectors)
    except OSError as error:
        raise ListenError(f"cannot listen on {address} for metrics: {error.strerror}") from error


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    return [
        # A single process keeps its port to itself, so that a second one cannot take half its calls.
        ("grpc.so_reuseport", int(settings.workers > 1)),
        ("grpc.max_receive_message_length", MESSAGE_BYTES),
        ("grpc.max_send_message_length", MESSAGE_BYTES),
        ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION),
        # Beyond 1,000 calls that have arrived and not begun, gRPC would cancel some without a word: each is
        # to be refused by the interceptor, with its reason and when to come again.
        ("grpc.server.max_pending_requests", PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", PENDING_CALLS),
        # gRPC adds a jitter of 10 % to the age, so that clients do not all come back at once.
        ("grpc.max_connection_age_ms", int(settings.max_connection_age_seconds * 1000)),
        ("grpc.max_connection_age_grace_ms", int(settings.max_deadline_seconds * 1000)),
        # Find dead clients; let live ones ping as often as proxies do, also between calls.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 500),
    ]


class Server(Protocol):
    """What is served from a start to a graceful end."""

    async def start(self) -> int:
        """Listen and serve; return the port. Raises ListenError."""

    async def shut_down(self) -> None:
        """Take no new call, let running ones finish."""


def run(assemble: Callable[[], AbstractAsyncContextManager[Server]]) -> None:
    """Serve what `assemble` yields until SIGTERM or SIGINT, then shut down gracefully.

    `assemble` is entered inside the event loop: what it opens it closes after the server has stopped.
    Exits with code 1 and one clear entry in the log when the address cannot be listened on.
    """
    try:
        uvloop.run(_serve(assemble))
    except ListenError as error:
        _log.critical(str(error))
        raise SystemExit(1) from None


async def _serve(assemble: Callable[[], AbstractAsyncContextManager[Server]]) -> None:
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    async with assemble() as server:
        await server.start()
        await stop.wait()
        await server.shut_down()
