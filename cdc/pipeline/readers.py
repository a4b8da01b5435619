"""What the readers of the journal say of themselves."""

import asyncio
import socket
from collections.abc import Mapping, Sequence

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from inventory.admin.v1.pipeline_service_pb2 import (
    READER_STATE_HALTED,
    READER_STATE_READING,
    READER_STATE_STANDING_BY,
    READER_STATE_UNREACHABLE,
    READER_STATE_WAITING,
    ReaderProcess,
    ReaderState,
)
from serving.settings import split_address

# A reader that is back is found at the next question: by itself gRPC waits for up to two minutes.
_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)
# What most says how a reader stands comes first.
_ORDER = (READER_STATE_READING, READER_STATE_HALTED, READER_STATE_WAITING, READER_STATE_STANDING_BY)


class Readers:
    """Asks the health of the readers' processes, by the readers' names and the addresses. Close it.

    A host that stands for several addresses, as the name of a headless service does, stands for as many
    processes.
    """

    def __init__(self, addresses: Mapping[str, Sequence[str]], timeout: float) -> None:
        self.names = tuple(addresses)
        self._addresses = addresses
        self._timeout = timeout
        self._channels: dict[str, grpc.aio.Channel] = {}
        # So that nobody closes what another one has just looked up.
        self._one_at_a_time = asyncio.Lock()

    async def processes(self) -> dict[str, list[ReaderProcess]]:
        """Return what each process of each reader does."""
        async with self._one_at_a_time:
            found = await asyncio.gather(*(self._asked(several) for several in self._addresses.values()))
            known = {process.address for processes in found for process in processes}
            for gone in self._channels.keys() - known:
                await self._channels.pop(gone).close()
        return dict(zip(self.names, found, strict=True))

    async def close(self) -> None:
        """Close the connections."""
        for channel in self._channels.values():
            await channel.close()

    async def _asked(self, addresses: Sequence[str]) -> list[ReaderProcess]:
        found = await asyncio.gather(*(_resolved(address) for address in addresses))
        processes = [address for several in found for address in several]
        states = await asyncio.gather(*(self._state(self._channel(address)) for address in processes))
        return [
            ReaderProcess(address=address, state=state)
            for address, state in zip(processes, states, strict=True)
        ]

    def _channel(self, address: str) -> grpc.aio.Channel:
        if address not in self._channels:
            self._channels[address] = grpc.aio.insecure_channel(address, options=_OPTIONS)
        return self._channels[address]

    async def _state(self, channel: grpc.aio.Channel) -> ReaderState.ValueType:
        try:
            if await self._serves(channel, ""):
                active = await self._serves(channel, "active")
                return READER_STATE_READING if active else READER_STATE_STANDING_BY
            has_room = await self._serves(channel, "dead-letters")
        except grpc.aio.AioRpcError:
            return READER_STATE_UNREACHABLE
        return READER_STATE_WAITING if has_room else READER_STATE_HALTED

    async def _serves(self, channel: grpc.aio.Channel, name: str) -> bool:
        # The published stubs know this package's classes for servers only.
        check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]
        try:
            answer = await check(health_pb2.HealthCheckRequest(service=name), timeout=self._timeout)
        except grpc.aio.AioRpcError as error:
            # An earlier version has no name for its role: it serves while it reads.
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return True
            raise
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def _resolved(address: str) -> list[str]:
    """Return the addresses that a host:port stands for; itself where it stands for none at present."""
    host, port = split_address(address)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return [address]
    hosts = sorted({str(place[0]) for *_, place in found})
    return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host in hosts]


def state_of(processes: Sequence[ReaderProcess]) -> ReaderState.ValueType:
    """Return how a reader stands whose processes do."""
    states = {process.state for process in processes}
    state = next((state for state in _ORDER if state in states), READER_STATE_UNREACHABLE)
    return READER_STATE_WAITING if state == READER_STATE_STANDING_BY else state
