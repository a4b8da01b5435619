"""The client's stream against a real server that cuts it as a script says."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NoReturn, cast

import grpc
import pytest
from google.rpc import code_pb2

from client import (
    DeadlineExceededError,
    InvalidFieldError,
    InventoryClient,
    RetryPolicy,
    UnavailableError,
    stream,
)
from client.status import error_from_call
from inventory.command.v1.stock_command_service_pb2 import StreamStockRequest, StreamStockResponse
from inventory.command.v1.stock_command_service_pb2_grpc import StockCommandServiceStub
from tests.unit.client.scripted_service import STOCK, Context, refuse, served

FAST = RetryPolicy(attempts=4, first_pause=0.01, longest_pause=0.02)


@dataclass
class Service:
    """Answers so many messages in each call as `cuts` says, then ends it by `code`; the last to the end.

    It refuses the message with the sequence `bad`, and answers nothing if `silent`.
    """

    cuts: list[int] = field(default_factory=list)
    code: int = code_pb2.UNAVAILABLE
    bad: int | None = None
    silent: bool = False
    calls: list[list[StreamStockRequest]] = field(default_factory=list)

    async def stream(self, messages: AsyncIterator[StreamStockRequest], context: Context) -> None:
        """Serve one call."""
        seen: list[StreamStockRequest] = []
        self.calls.append(seen)
        most = self.cuts.pop(0) if self.cuts else None
        if most == 0:
            await refuse(self.code)(context)
        async for message in messages:
            seen.append(message)
            if message.sequence == self.bad:
                await refuse(code_pb2.INVALID_ARGUMENT, "INVALID_FIELD")(context)
            if self.silent:
                await asyncio.Event().wait()
            await context.write(StreamStockResponse(request_id=message.request_id, sequence=message.sequence))
            if len(seen) == most:
                await refuse(self.code)(context)


@pytest.fixture
async def service() -> AsyncIterator[tuple[Service, InventoryClient]]:
    """Give a service and a client that knows it."""
    script = Service()
    handler = grpc.stream_stream_rpc_method_handler(
        cast("Any", script.stream),  # a coroutine that writes is served as well
        request_deserializer=StreamStockRequest.FromString,
        response_serializer=StreamStockResponse.SerializeToString,
    )
    async with (
        asyncio.timeout(20),
        served({(STOCK, "StreamStock"): handler}) as address,
        InventoryClient(address, actor="test", timeout=5, retry=FAST) as client,
    ):
        yield script, client


async def messages(number: int, taken: list[int] | None = None) -> AsyncIterator[StreamStockRequest]:
    """Yield so many messages, and keep in `taken` which have been asked for."""
    for sequence in range(number):
        if taken is not None:
            taken.append(sequence)
        yield StreamStockRequest(sequence=sequence)


async def sequences(answers: AsyncIterator[StreamStockResponse], into: list[int] | None = None) -> list[int]:
    """Return the sequences of all answers; `into` has those before an error too."""
    found = [] if into is None else into
    async for answer in answers:
        found.append(answer.sequence)
    return found


@pytest.mark.parametrize(
    "code", [code_pb2.UNAVAILABLE, code_pb2.INTERNAL, code_pb2.UNKNOWN, code_pb2.CANCELLED]
)
async def test_what_was_not_answered_is_sent_again_under_its_id(
    service: tuple[Service, InventoryClient], code: int
) -> None:
    script, client = service
    script.cuts, script.code = [3, 0, 5, 1], code
    assert await sequences(client.stream_stock(messages(20))) == list(range(20))
    sent = {(message.sequence, message.request_id) for call in script.calls for message in call}
    assert len({request_id for _, request_id in sent}) == len(sent) == 20
    # Answers that were on their way when the call ended may be lost, but no more than those.
    begins = [call[0].sequence for call in script.calls if call]
    assert begins == sorted(begins)
    assert len(script.calls) == 5


async def test_answers_come_while_the_caller_still_has_messages_to_give(
    service: tuple[Service, InventoryClient],
) -> None:
    _, client = service
    more = asyncio.Event()

    async def given() -> AsyncIterator[StreamStockRequest]:
        yield StreamStockRequest(sequence=1)
        await more.wait()
        yield StreamStockRequest(sequence=2)

    answers = client.stream_stock(given(), timeout=0.2)
    assert (await anext(answers)).sequence == 1
    waiting = asyncio.ensure_future(anext(answers))
    await asyncio.sleep(0.5)  # nothing is due: no time runs out
    more.set()
    assert (await waiting).sequence == 2
    assert await sequences(answers) == []


async def test_no_more_is_taken_than_may_wait_for_an_answer(service: tuple[Service, InventoryClient]) -> None:
    _, client = service
    taken: list[int] = []
    answers = client.stream_stock(messages(100, taken), ahead=4)
    await anext(answers)
    await asyncio.sleep(0.2)
    # The one before the door has been taken too.
    assert len(taken) == 1 + 4 + 1
    assert await sequences(answers) == list(range(1, 100))


async def test_what_another_stream_cannot_cure_is_raised_after_the_answers_before_it(
    service: tuple[Service, InventoryClient],
) -> None:
    script, client = service
    script.bad = 5
    found: list[int] = []
    with pytest.raises(InvalidFieldError) as failed:
        await sequences(client.stream_stock(messages(40)), found)
    ids = {message.sequence: message.request_id for call in script.calls for message in call}
    assert found == list(range(len(found)))
    assert failed.value.request_id == ids[len(found)]


async def test_a_service_that_stays_away_is_given_up_on(service: tuple[Service, InventoryClient]) -> None:
    script, client = service
    script.cuts = [0] * 100
    with pytest.raises(UnavailableError) as failed:
        await sequences(client.stream_stock(messages(3)))
    assert failed.value.request_id
    assert len(script.calls) == FAST.attempts, failed.value


async def test_an_end_that_a_write_has_hidden_is_no_error_of_the_service() -> None:
    """The server runs in threads, so that it can refuse while the loop that writes is held up.

    If grpcio no longer hides the status (grpc/grpc#36066), `client.status` need not say so any more.
    """
    over = threading.Event()

    def refuse_at_once(_: object, context: grpc.ServicerContext) -> NoReturn:
        context.add_callback(over.set)
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "not yours")

    server = grpc.server(ThreadPoolExecutor(2))
    handler: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(refuse_at_once)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(STOCK, {"StreamStock": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call: stream.Call = StockCommandServiceStub(channel).StreamStock()
            await call.wait_for_connection()
            # The refusal arrives, and the loop does not know yet.
            assert over.wait(10)
            time.sleep(0.3)  # noqa: ASYNC251
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await call.write(StreamStockRequest())
    finally:
        server.stop(None)
    assert failed.value.code() is grpc.StatusCode.INTERNAL
    assert isinstance(error_from_call(failed.value), UnavailableError)


async def test_a_service_that_says_nothing_is_given_up_on(service: tuple[Service, InventoryClient]) -> None:
    script, client = service
    script.silent = True
    with pytest.raises(DeadlineExceededError):
        await sequences(client.stream_stock(messages(3), timeout=0.2))


async def test_what_the_caller_raises_is_raised_after_the_answers_to_what_it_gave(
    service: tuple[Service, InventoryClient],
) -> None:
    _, client = service

    async def broken() -> AsyncIterator[StreamStockRequest]:
        async for message in messages(3):
            yield message
        raise ZeroDivisionError

    found: list[int] = []
    with pytest.raises(ZeroDivisionError):
        await sequences(client.stream_stock(broken()), found)
    assert found == [0, 1, 2]


async def test_leaving_early_ends_the_call(service: tuple[Service, InventoryClient]) -> None:
    _, client = service
    answers = client.stream_stock(messages(100))
    await anext(answers)
    await answers.aclose()
    await asyncio.sleep(0.1)
    assert {"messages", "sending"}.isdisjoint(task.get_name() for task in asyncio.all_tasks())
