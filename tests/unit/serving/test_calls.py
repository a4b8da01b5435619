"""What a client meets on a real server: errors with their details, deadlines, a limit."""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest
import uvloop
from google.rpc import error_details_pb2, status_pb2
from structlog.testing import capture_logs

from inventory.query.v1 import catalog_query_service_pb2 as pb2
from inventory.query.v1 import catalog_query_service_pb2_grpc as pb2_grpc
from inventory.type.v1 import error_reason_pb2
from serving.errors import CallError
from serving.interceptor import remaining
from tests.unit.serving.conftest import BackendError, echo, running

GET_ITEM = "/inventory.query.v1.CatalogQueryService/GetItem"
REQUEST = pb2.GetItemRequest(sku="MUG-1")


async def hang(_request: object, _context: object) -> pb2.GetItemResponse:
    """Answer far too late."""
    await asyncio.sleep(60)
    return pb2.GetItemResponse()


def error_info(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    """Return the ErrorInfo that every error carries."""
    packed = (error.trailing_metadata() or {})["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(packed)
    assert (status.code, status.message) == (error.code().value[0], error.details())
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info


async def test_what_is_no_message_of_its_method_is_refused_with_a_reason() -> None:
    async with running(echo) as service:
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = service.channel.unary_unary(GET_ITEM)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await method(b"\xff\xff\xff", timeout=5)
    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error_info(failed.value).reason == "INVALID_FIELD"


async def test_an_answer_passes_untouched() -> None:
    async with running(echo) as service:
        answer = await service.catalog.GetItem(REQUEST, timeout=5)
    assert answer.item.sku == "MUG-1"


async def test_a_refusal_arrives_with_its_code_message_and_details() -> None:
    async def refuse(_request: object, _context: object) -> pb2.GetItemResponse:
        reason = error_reason_pb2.ERROR_REASON_ITEM_NOT_FOUND
        raise CallError(reason, "there is no MUG-1", metadata={"sku": "MUG-1"})

    async with running(refuse) as service:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await service.catalog.GetItem(REQUEST, timeout=5)
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND
    assert failed.value.details() == "there is no MUG-1"
    info = error_info(failed.value)
    assert (info.domain, info.reason, dict(info.metadata)) == (
        "inventory",
        "ITEM_NOT_FOUND",
        {"sku": "MUG-1"},
    )


async def test_an_unexpected_exception_is_logged_and_its_text_stays_here() -> None:
    async def fail(_request: object, _context: object) -> pb2.GetItemResponse:
        raise RuntimeError("connection to db-7 as hunter2 lost")

    with capture_logs() as entries:
        async with running(fail) as service:
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await service.catalog.GetItem(REQUEST, timeout=5)
    assert failed.value.code() is grpc.StatusCode.INTERNAL
    assert "hunter2" not in str(failed.value)
    assert "hunter2" not in str(failed.value.trailing_metadata())
    info = error_info(failed.value)
    assert info.reason == "INTERNAL"
    (logged,) = [entry for entry in entries if entry["event"] == "call failed"]
    assert logged["error_id"] == info.metadata["error_id"]
    assert "hunter2" in str(logged["exc_info"])


async def test_a_failing_dependency_is_named() -> None:
    async def fail(_request: object, _context: object) -> pb2.GetItemResponse:
        raise BackendError("10.0.0.7 refused")

    async with running(fail) as service:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await service.catalog.GetItem(REQUEST, timeout=5)
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "10.0.0.7" not in str(failed.value)
    assert dict(error_info(failed.value).metadata) == {"dependency": "backend"}


@pytest.mark.parametrize(
    ("limits", "asked"),
    [({"default_deadline_seconds": 0.2}, None), ({"max_deadline_seconds": 0.2}, 30.0)],
    ids=["no deadline", "too long a deadline"],
)
async def test_the_server_bounds_every_call(limits: dict[str, float], asked: float | None) -> None:
    async with running(hang, **limits) as service:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await service.catalog.GetItem(REQUEST, timeout=asked)
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert error_info(failed.value).reason == "DEADLINE_EXCEEDED"


async def test_who_is_given_up_when_the_time_is_over_has_not_failed() -> None:
    async def wait(_request: object, _context: object) -> pb2.GetItemResponse:
        while remaining():
            time.sleep(0.01)  # noqa: ASYNC251 - the server's own timer must not come first
        raise BackendError("not answered in time")

    async with running(wait, default_deadline_seconds=0.2) as service:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await service.catalog.GetItem(REQUEST)
    assert error_info(failed.value).reason == "DEADLINE_EXCEEDED"


async def test_who_waits_no_longer_than_it_may_tells_a_waiting_caller_why() -> None:
    async def wait(_request: object, _context: object) -> pb2.GetItemResponse:
        await asyncio.sleep(remaining())
        raise BackendError("not answered in time")

    async with running(wait) as service:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await service.catalog.GetItem(REQUEST, timeout=2)
    assert error_info(failed.value).reason == "DEADLINE_EXCEEDED"


async def test_at_the_callers_own_deadline_the_handler_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def wait(_request: object, _context: object) -> pb2.GetItemResponse:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return pb2.GetItemResponse()

    async with running(wait) as service:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await service.catalog.GetItem(REQUEST, timeout=0.2)
        assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        async with asyncio.timeout(2):
            await cancelled.wait()


@pytest.mark.parametrize(("asked", "least", "most"), [(None, 4, 5), (2.0, 1, 2), (600.0, 9, 10)])
async def test_a_handler_knows_how_long_it_has(asked: float | None, least: float, most: float) -> None:
    told = []

    async def tell(_request: object, _context: object) -> pb2.GetItemResponse:
        told.append(remaining())
        return pb2.GetItemResponse()

    async with running(tell, default_deadline_seconds=5, max_deadline_seconds=10) as service:
        await service.catalog.GetItem(REQUEST, timeout=asked)
    assert least < told[0] <= most + 0.1  # gRPC rounds a deadline up
    with pytest.raises(LookupError):
        remaining()


async def test_a_timeout_inside_a_handler_is_not_the_calls_deadline() -> None:
    async def fail(_request: object, _context: object) -> pb2.GetItemResponse:
        raise TimeoutError

    async with running(fail) as service:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await service.catalog.GetItem(REQUEST)
    assert error_info(failed.value).reason == "INTERNAL"


async def test_one_call_too_many_is_refused_while_health_answers() -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def wait(_request: object, _context: object) -> pb2.GetItemResponse:
        entered.set()
        await release.wait()
        return pb2.GetItemResponse()

    async with running(wait, max_concurrent_calls=1) as service:
        first = asyncio.ensure_future(service.catalog.GetItem(REQUEST, timeout=5))
        await entered.wait()
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await service.catalog.GetItem(REQUEST, timeout=5)
        await service.health()
        release.set()
        await first
        await service.catalog.GetItem(REQUEST, timeout=5)
    assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error_info(failed.value).reason == "QUEUE_FULL"


async def test_the_log_says_how_long_a_call_took() -> None:
    async def work(_request: object, _context: object) -> pb2.GetItemResponse:
        time.sleep(0.02)  # noqa: ASYNC251 - what keeps the loop busy counts too
        return pb2.GetItemResponse()

    async def served() -> None:
        async with running(work) as service:
            await service.catalog.GetItem(REQUEST, timeout=5)

    with capture_logs() as entries:
        await asyncio.to_thread(uvloop.run, served())
    (logged,) = [entry for entry in entries if entry["event"] == "call"]
    assert 0.02 <= logged["seconds"] < 1


async def test_a_method_nobody_serves_is_unimplemented() -> None:
    async with running() as service:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = service.channel.unary_unary(
            "/inventory.query.v1.CatalogQueryService/GetNothing"
        )
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call(b"", timeout=5)
    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_calls_that_wait_to_begin_are_refused_with_a_reason_or_answered() -> None:
    busy = False

    async def block_once(request: pb2.GetItemRequest, context: object) -> pb2.GetItemResponse:
        nonlocal busy
        if not busy:
            busy = True
            time.sleep(1)  # noqa: ASYNC251 - meanwhile the other calls arrive
        return await echo(request, context)

    async with running(block_once) as service:
        channels = [
            grpc.aio.insecure_channel(
                f"127.0.0.1:{service.port}", options=[("grpc.use_local_subchannel_pool", 1)]
            )
            for _ in range(4)
        ]
        stubs = [pb2_grpc.CatalogQueryServiceStub(channel) for channel in channels]
        for channel in channels:
            await channel.channel_ready()
        calls = [stubs[number % 4].GetItem(REQUEST, timeout=20) for number in range(3600)]
        codes = {await call.code() for call in calls}
        for channel in channels:
            await channel.close()
    assert codes <= {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
