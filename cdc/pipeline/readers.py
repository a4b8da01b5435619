"""What the readers of the journal say of themselves."""

import asyncio
from collections.abc import Mapping

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from inventory.admin.v1.pipeline_service_pb2 import (
    READER_STATE_HALTED,
    READER_STATE_READING,
    READER_STATE_UNREACHABLE,
    READER_STATE_WAITING,
    ReaderState,
)

# A reader that is back is found at the next question: by itself gRPC waits for up to two minutes.
_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Readers:
    """Asks the health of the readers, by their names and addresses. Close it."""

    def __init__(self, addresses: Mapping[str, str], timeout: float) -> None:
        self.names = tuple(addresses)
        self._timeout = timeout
        self._channels = {
            name: grpc.aio.insecure_channel(address, options=_OPTIONS) for name, address in addresses.items()
        }

    async def states(self) -> dict[str, ReaderState.ValueType]:
        """Return what each of them does."""
        found = await asyncio.gather(*(self._state(channel) for channel in self._channels.values()))
        return dict(zip(self.names, found, strict=True))

    async def close(self) -> None:
        """Close the connections."""
        for channel in self._channels.values():
            await channel.close()

    async def _state(self, channel: grpc.aio.Channel) -> ReaderState.ValueType:
        # The published stubs know this package's classes for servers only.
        check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]
        try:
            overall = await check(health_pb2.HealthCheckRequest(), timeout=self._timeout)
            if overall.status == SERVING:
                return READER_STATE_READING
            request = health_pb2.HealthCheckRequest(service="dead-letters")
            room = await check(request, timeout=self._timeout)
        except grpc.aio.AioRpcError:
            return READER_STATE_UNREACHABLE
        return READER_STATE_HALTED if room.status == NOT_SERVING else READER_STATE_WAITING
