"""Calling every RPC by its name, and taking refusals apart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, cast

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from command_svc.batcher import Batcher
from command_svc.server import services
from serving.server import GrpcServer
from serving.settings import ServerSettings
from tests.unit.command_svc.services.good import CONTRACTS, Fields, build


class Commands:
    """Every RPC of the command side over one channel, with a token or none."""

    def __init__(self, channel: grpc.aio.Channel, token: str = "") -> None:
        self._channel = channel
        self._token = token

    async def call(self, rpc: str, request: Message, *, actor: str | bytes | None = None) -> Any:  # noqa: ANN401
        """Call an RPC by its name; one with streams by a single message."""
        metadata = [] if actor is None else [("x-inventory-actor", actor)]
        if self._token:
            metadata.append(("authorization", f"Bearer {self._token}"))
        return await self._method(rpc)(request, timeout=5, metadata=metadata)

    async def do(self, rpc: str, **change: object) -> Any:  # noqa: ANN401
        """Call an RPC with its good request, changed."""
        return await self.call(rpc, build(rpc, cast("Fields", change)))

    def _method(self, rpc: str) -> Callable[..., Awaitable[Any]]:
        for contract in CONTRACTS:
            for service in contract.DESCRIPTOR.services_by_name.values():
                if rpc in service.methods_by_name:
                    method = service.methods_by_name[rpc]
                    answer = getattr(contract, method.output_type.name)
                    multicallable: Callable[..., Any] = (
                        self._channel.stream_stream if method.client_streaming else self._channel.unary_unary
                    )
                    call: Callable[..., Any] = multicallable(
                        f"/{service.full_name}/{rpc}",
                        request_serializer=lambda message: message.SerializeToString(),
                        response_deserializer=answer.FromString,
                    )
                    return partial(_only, call) if method.client_streaming else call
        raise KeyError(rpc)


async def _only(call: Any, request: Message, **options: object) -> Any:  # noqa: ANN401 - of any RPC
    """Send one message and return the answer; raises what ended the stream."""
    stream = call(**options)
    with suppress(grpc.RpcError, asyncio.InvalidStateError):
        # The service may have ended the stream before it reads: what it said is told by reading.
        await stream.write(request)
        await stream.done_writing()
    answer = await stream.read()
    if answer is grpc.aio.EOF:
        raise AssertionError(await stream.code())
    return answer


def make_server(batcher: Batcher, **more: object) -> GrpcServer:
    """Return a server of all commands on a free port, not yet listening."""
    settings = ServerSettings.model_validate(
        {"listen": "127.0.0.1:0", "drain_seconds": 0, "grace_seconds": 1} | more
    )
    return GrpcServer(settings, services(batcher), dependencies=[], unavailable={})


class Refused:
    """A status with its details, taken apart."""

    def __init__(self, status: status_pb2.Status) -> None:
        info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        for detail in status.details:
            detail.Unpack(info)
            detail.Unpack(bad_request)
        self.code = status.code
        self.domain = info.domain
        self.reason = info.reason
        self.metadata = dict(info.metadata)
        self.fields = {violation.field for violation in bad_request.field_violations}


async def refusal(call: Awaitable[object]) -> Refused:
    """Return why the call is refused; fail if it is not."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    packed = cast("bytes", (refused.value.trailing_metadata() or {})["grpc-status-details-bin"])
    status = status_pb2.Status.FromString(packed)
    assert status.code == refused.value.code().value[0]
    return Refused(status)
