"""One connection, and how every call goes over it."""

from __future__ import annotations

import asyncio
import time
import uuid
from types import TracebackType
from typing import Protocol, Self, TypeVar

import grpc

from client.retry import RetryPolicy
from client.status import error_from_call

# No retry and no timeout here: grpcio's own timeouts from a service config fire too early, and a retry
# must know the reason of the refusal.
_CHANNEL_OPTIONS = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.enable_retries", 0),
)

Request = TypeVar("Request")
Response = TypeVar("Response")


class _CommandMessage(Protocol):
    """A request of the command side: it has a request_id, and can be copied."""

    request_id: str

    def CopyFrom(self, other: Self, /) -> None:  # noqa: N802 - protobuf's name
        ...


Command = TypeVar("Command", bound=_CommandMessage)


class Connection:
    """A channel to one address, and calls over it that are tried again within one deadline.

    What the arguments mean, `InventoryClient` says; the classes of the services build on this one.
    """

    def __init__(
        self, address: str, *, actor: str, timeout: float = 10.0, retry: RetryPolicy | None = None
    ) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
        self._metadata = (("x-inventory-actor", actor),)
        self._timeout = timeout
        self._retry = retry or RetryPolicy()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls in flight are cancelled."""
        await self._channel.close()

    async def _command(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Command, Response],
        request: Command,
        timeout: float | None,
    ) -> Response:
        if not request.request_id:
            given, request = request, type(request)()
            request.CopyFrom(given)
            request.request_id = str(uuid.uuid4())
        return await self._call(method, request, timeout, request.request_id)

    async def _call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float | None,
        request_id: str = "",
    ) -> Response:
        deadline = time.monotonic() + (self._timeout if timeout is None else timeout)
        attempt = 0
        while True:
            attempt += 1
            try:
                return await method(
                    request, timeout=max(0.0, deadline - time.monotonic()), metadata=self._metadata
                )
            except grpc.aio.AioRpcError as failure:
                error = error_from_call(failure, request_id=request_id)
                pause = self._retry.pause(error, attempt, deadline - time.monotonic())
                if pause is None:
                    raise error from failure
            await asyncio.sleep(pause)
