"""What a client meets on a stream of a real server: errors after answers, limits, its end, the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc
import pytest
from structlog.testing import capture_logs

from inventory.command.v1 import stock_command_service_pb2 as pb
from inventory.command.v1 import stock_command_service_pb2_grpc as pb_grpc
from inventory.type.v1 import error_reason_pb2
from serving.errors import CallError
from serving.identity import caller
from serving.interceptor import remaining
from serving.server import GrpcServer, Service
from serving.settings import ServerSettings
from tests.unit.serving.conftest import BackendError
from tests.unit.serving.test_calls import error_info

Behaviour = Callable[
    [AsyncIterator[pb.StreamStockRequest], Any], AsyncGenerator[pb.StreamStockResponse, None]
]
SERVICE = "inventory.command.v1.StockCommandService"
Call = grpc.aio.StreamStreamCall[pb.StreamStockRequest, pb.StreamStockResponse]


async def echo(
    messages: AsyncIterator[pb.StreamStockRequest], _context: grpc.aio.ServicerContext[Any, Any]
) -> AsyncGenerator[pb.StreamStockResponse, None]:
    """Answer every message with its sequence, and who sent it."""
    async for message in messages:
        yield pb.StreamStockResponse(sequence=message.sequence, request_id=caller().subject)


@asynccontextmanager
async def serving(
    behaviour: Behaviour, **settings: object
) -> AsyncIterator[tuple[GrpcServer, pb_grpc.StockCommandServiceAsyncStub]]:
    """Serve `behaviour`; give the server and a stub. Shut down at the end unless the test did."""
    given = {"listen": "127.0.0.1:0", "drain_seconds": 0, "grace_seconds": 5} | settings
    handler = grpc.stream_stream_rpc_method_handler(
        behaviour,
        request_deserializer=pb.StreamStockRequest.FromString,
        response_serializer=pb.StreamStockResponse.SerializeToString,
    )
    handlers = grpc.method_handlers_generic_handler(SERVICE, {"StreamStock": handler})
    server = GrpcServer(
        ServerSettings.model_validate(given),
        [Service(SERVICE, lambda server: server.add_generic_rpc_handlers((handlers,)))],
        dependencies=[],
        unavailable={BackendError: "backend"},
    )
    port = await server.start()
    async with asyncio.timeout(20), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield server, pb_grpc.StockCommandServiceStub(channel)
        await server.shut_down()


async def refusal(call: Call) -> grpc.aio.AioRpcError:
    """Return what the call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call.read()
    return failed.value


async def test_what_is_no_message_ends_the_stream_after_the_answers_to_those_before() -> None:
    async with serving(echo) as (_, stub):
        raw = cast("Any", stub.StreamStock)
        raw._request_serializer = bytes  # noqa: SLF001 - a stub has no way to send what is none
        call = raw(timeout=5)
        for message in (pb.StreamStockRequest(sequence=1).SerializeToString(), b"\xff\xff\xff"):
            await call.write(message)
        assert (await call.read()).sequence == 1
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call.read()
    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error_info(failed.value).reason == "INVALID_FIELD"


async def test_a_stream_passes_untouched_and_is_logged_at_its_end() -> None:
    with capture_logs() as entries:
        async with serving(echo) as (_, stub):
            call = stub.StreamStock(metadata=[("x-inventory-actor", "till")])
            for sequence in range(3):
                await call.write(pb.StreamStockRequest(sequence=sequence))
                answer = await call.read()
                assert answer == pb.StreamStockResponse(sequence=sequence, request_id="till")
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF
    (ended,) = [entry for entry in entries if entry["event"] == "stream ended"]
    assert (ended["responses"], ended["method"][-12:]) == (3, "/StreamStock")


async def test_who_is_refused_at_the_door_may_send_a_first_message() -> None:
    """A client that is still sending it when the call ends would not be told why."""
    async with serving(echo) as (_, stub):
        call = stub.StreamStock(metadata=[("x-inventory-actor", "a b")])
        await call.wait_for_connection()
        await asyncio.sleep(0.1)
        assert not call.done()
        await call.write(pb.StreamStockRequest())
        failure = await refusal(call)
    assert failure.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error_info(failure).reason == "INVALID_FIELD"


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (
            CallError(error_reason_pb2.ERROR_REASON_ITEM_NOT_FOUND, "no MUG"),
            grpc.StatusCode.NOT_FOUND,
            "ITEM_NOT_FOUND",
        ),
        (BackendError(), grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE"),
        (RuntimeError("hunter2"), grpc.StatusCode.INTERNAL, "INTERNAL"),
        (TimeoutError(), grpc.StatusCode.INTERNAL, "INTERNAL"),
    ],
)
async def test_an_error_arrives_with_its_details_after_the_answers_before_it(
    error: Exception, code: grpc.StatusCode, reason: str
) -> None:
    async def fail(
        messages: AsyncIterator[pb.StreamStockRequest], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncGenerator[pb.StreamStockResponse, None]:
        async for answer in echo(messages, context):
            yield answer
            raise error

    async with serving(fail) as (_, stub):
        call = stub.StreamStock()
        await call.write(pb.StreamStockRequest(sequence=7))
        answer = await call.read()
        assert isinstance(answer, pb.StreamStockResponse)
        assert answer.sequence == 7
        failed = await refusal(call)
    assert failed.code() is code
    assert error_info(failed).reason == reason
    assert "hunter2" not in str(failed)


async def test_a_malformed_actor_is_refused() -> None:
    async with serving(echo) as (_, stub):
        call = stub.StreamStock(metadata=[("x-inventory-actor", "a b")])
        await call.write(pb.StreamStockRequest())
        assert error_info(await refusal(call)).reason == "INVALID_FIELD"


async def test_streams_count_among_the_calls_in_progress() -> None:
    async with serving(echo, max_concurrent_calls=1) as (_, stub):
        first = stub.StreamStock()
        await first.write(pb.StreamStockRequest())
        await first.read()
        assert error_info(await refusal(stub.StreamStock())).reason == "QUEUE_FULL"
        await first.done_writing()
        assert await first.read() is grpc.aio.EOF
        again = stub.StreamStock()
        await again.write(pb.StreamStockRequest(sequence=2))
        assert isinstance(await again.read(), pb.StreamStockResponse)


async def test_a_stream_has_its_callers_deadline_and_no_other() -> None:
    told: list[float | None] = []

    async def tell(
        messages: AsyncIterator[pb.StreamStockRequest], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncGenerator[pb.StreamStockResponse, None]:
        try:
            told.append(remaining())
        except LookupError:
            told.append(None)
        async for answer in echo(messages, context):
            yield answer

    async with serving(tell, default_deadline_seconds=0.2, max_deadline_seconds=0.2) as (_, stub):
        unbounded = stub.StreamStock()
        await unbounded.write(pb.StreamStockRequest(sequence=1))
        assert isinstance(await unbounded.read(), pb.StreamStockResponse)
        assert (await refusal(stub.StreamStock(timeout=1))).code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await unbounded.write(pb.StreamStockRequest(sequence=2))
        assert isinstance(await unbounded.read(), pb.StreamStockResponse)
    unbound, bound = told
    assert unbound is None
    assert bound is not None
    assert 0 < bound <= 1.1  # gRPC rounds a deadline up


@pytest.mark.parametrize("how", ["cancelled", "stopped"])
async def test_whatever_ends_a_stream_ends_its_handler_too(how: str) -> None:
    ended = asyncio.Event()

    async def wait(
        messages: AsyncIterator[pb.StreamStockRequest], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncGenerator[pb.StreamStockResponse, None]:
        try:
            async for answer in echo(messages, context):
                yield answer
        finally:
            ended.set()

    with capture_logs() as entries:
        async with serving(wait) as (server, stub):
            call = stub.StreamStock()
            await call.write(pb.StreamStockRequest())
            await call.read()
            if how == "cancelled":
                call.cancel()
            else:
                stopping = asyncio.create_task(server.shut_down())
                failed = await refusal(call)
                assert failed.code() is grpc.StatusCode.UNAVAILABLE
                assert dict(error_info(failed).metadata) == {"dependency": "server"}
                async with asyncio.timeout(2):  # it waits for no stream
                    await stopping
            async with asyncio.timeout(2):
                await ended.wait()
            await asyncio.sleep(0.05)
    told = {entry["event"] for entry in entries}
    # A caller that goes away may look like one that has no more to send.
    assert told & ({"stream cut", "stream ended"} if how == "cancelled" else {"call refused"})
    assert "call failed" not in told


async def test_a_stream_that_nobody_reads_is_ended_at_shutdown() -> None:
    async def flood(
        _messages: AsyncIterator[pb.StreamStockRequest], _context: object
    ) -> AsyncGenerator[pb.StreamStockResponse, None]:
        while True:
            yield pb.StreamStockResponse(request_id="x" * 100_000)

    with capture_logs() as entries:
        async with serving(flood, grace_seconds=0.5) as (server, stub):
            call = stub.StreamStock()
            assert isinstance(await call.read(), pb.StreamStockResponse)
            await asyncio.sleep(0.2)
            async with asyncio.timeout(3):
                await server.shut_down()
    assert "call failed" not in {entry["event"] for entry in entries}


async def test_a_stream_of_responses_alone_is_not_counted_and_ends_at_shutdown() -> None:
    async def watch(
        request: pb.StreamStockRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncGenerator[pb.StreamStockResponse, None]:
        assert context
        yield pb.StreamStockResponse(sequence=request.sequence)
        await asyncio.Event().wait()

    handler = grpc.unary_stream_rpc_method_handler(
        cast("Any", watch),
        request_deserializer=pb.StreamStockRequest.FromString,
        response_serializer=pb.StreamStockResponse.SerializeToString,
    )
    name = "inventory.query.v1.StockQueryService"
    handlers = grpc.method_handlers_generic_handler(name, {"WatchStock": handler})
    server = GrpcServer(
        ServerSettings.model_validate(
            {"listen": "127.0.0.1:0", "drain_seconds": 0, "grace_seconds": 5, "max_concurrent_calls": 1}
        ),
        [Service(name, lambda server: server.add_generic_rpc_handlers((handlers,)))],
        dependencies=[],
        unavailable={},
    )
    port = await server.start()
    async with asyncio.timeout(20), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method: Any = channel.unary_stream(
            f"/{name}/WatchStock",
            request_serializer=pb.StreamStockRequest.SerializeToString,
            response_deserializer=pb.StreamStockResponse.FromString,
        )
        calls = [method(pb.StreamStockRequest(sequence=sequence)) for sequence in range(3)]
        assert [(await call.read()).sequence for call in calls] == [0, 1, 2]
        await server.shut_down()
        for call in calls:
            failed = await refusal(call)
            assert error_info(failed).reason == "DEPENDENCY_UNAVAILABLE"
