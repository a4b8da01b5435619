"""The channels of a connection: over TLS, a new one when the files of the certificates have changed."""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from collections.abc import Callable
from typing import Any, cast

import grpc

from .tls import Tls, channel
from .version import VERSION

MESSAGE_BYTES = 4 * 1024 * 1024
"""The largest message, either way, as the services have it."""
LOOK_SECONDS = 1.0
"""How often, at most, the files are looked at."""
GRACE_SECONDS = 3600.0
"""How long calls under way may go on over a former channel: as long as the edge lets a stream last."""

# No retry and no timeout here: grpcio's own timeouts from a service config fire too early, and a retry
# must know the reason of the refusal. Nor may a name service say otherwise. Pings, while there are calls,
# are rarer than any server takes for abuse.
OPTIONS = (
    ("grpc.primary_user_agent", f"inventory-client/{VERSION}"),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config_disable_resolution", 1),
)

_log = logging.getLogger(__name__)


def connect(address: str, tls: Tls | None) -> grpc.aio.Channel:
    """Return a channel to host:port; raises as `Tls.credentials`."""
    if tls is None or not tls.files:
        return channel(address, tls, OPTIONS)
    # It is what stubs and the connection use of a channel.
    return cast("grpc.aio.Channel", RenewedChannel(address, tls))


class RenewedChannel:
    """Begins every call over a channel that was made with the files as they are.

    gRPC for Python reads a client's certificate once, when a channel is made. So there is a new one when
    files have changed; calls under way end where they began, as long as that takes, but for
    GRACE_SECONDS at most. Files that cannot be used, such as a certificate whose key is still to come, are
    logged once, and looked at again later; until then the present channel stays. `calls` are those under way.
    """

    def __init__(self, address: str, tls: Tls) -> None:
        self._address = address
        self._tls = tls
        self._stamp = tls.stamp()
        self._told = ""
        self._channel = channel(address, tls, OPTIONS)
        self._former: set[asyncio.Task[None]] = set()
        self.calls: weakref.WeakSet[grpc.aio.Call] = weakref.WeakSet()
        self._look = time.monotonic() + LOOK_SECONDS

    def unary_unary(self, method: str, **how: Any) -> Callable[..., Any]:  # noqa: ANN401 - a stub's own
        """Return what makes calls of one request and one answer."""
        return _Newest(self, lambda on: on.unary_unary(method, **how))

    def unary_stream(self, method: str, **how: Any) -> Callable[..., Any]:  # noqa: ANN401 - a stub's own
        """Return what makes calls of one request and many answers."""
        return _Newest(self, lambda on: on.unary_stream(method, **how))

    def stream_stream(self, method: str, **how: Any) -> Callable[..., Any]:  # noqa: ANN401 - a stub's own
        """Return what makes calls of many requests and many answers."""
        return _Newest(self, lambda on: on.stream_stream(method, **how))

    async def close(self) -> None:
        """Close all; calls in flight are cancelled."""
        for call in list(self.calls):
            call.cancel()
        await asyncio.gather(*self._former)
        await self._channel.close()

    def newest(self) -> grpc.aio.Channel:
        """Return the channel for a call that begins now."""
        now = time.monotonic()
        if now >= self._look:
            self._look = now + LOOK_SECONDS
            self._renew()
        return self._channel

    def _renew(self) -> None:
        try:
            stamp = self._tls.stamp()
            if stamp == self._stamp:
                return
            made = channel(self._address, self._tls, OPTIONS)
            if self._tls.stamp() != stamp:
                return  # they are being replaced just now; the channel was never used
        except (OSError, ValueError) as error:
            if str(error) != self._told:
                self._told = str(error)
                _log.warning("certificate not renewed: %s", error)
            return
        self._told = ""
        former, self._channel, self._stamp = self._channel, made, stamp
        closing = asyncio.get_running_loop().create_task(former.close(GRACE_SECONDS))
        self._former.add(closing)
        closing.add_done_callback(self._former.discard)


class _Newest:
    """A method, called over the newest channel."""

    def __init__(
        self, channels: RenewedChannel, make: Callable[[grpc.aio.Channel], Callable[..., Any]]
    ) -> None:
        self._channels = channels
        self._make = make
        self._made_of: grpc.aio.Channel | None = None
        self._call: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the method takes and gives
        newest = self._channels.newest()
        if newest is not self._made_of:
            self._call, self._made_of = self._make(newest), newest
        call = self._call(*args, **kwargs)
        self._channels.calls.add(call)
        return call
