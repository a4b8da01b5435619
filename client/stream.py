"""A stream that survives being cut: what was not answered is sent again, with the same request ids."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from typing import TypeAlias

import grpc
from google.rpc import status_pb2

from inventory.command.v1.stock_command_service_pb2 import StreamStockRequest, StreamStockResponse

from .errors import InventoryError
from .retry import RetryPolicy
from .status import error_from_call, error_from_status

Call: TypeAlias = "grpc.aio.StreamStreamCall[StreamStockRequest, StreamStockResponse]"

# How a connection that breaks in the middle of a stream looks from here, depending on who breaks it.
CUT = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNKNOWN,
    }
)


async def resuming(  # noqa: PLR0913 - each is named by whoever calls
    open_call: Callable[[], Awaitable[Call]],
    messages: AsyncIterable[StreamStockRequest],
    *,
    retry: RetryPolicy,
    timeout: float,
    ahead: int,
    call_id: str,
) -> AsyncGenerator[StreamStockResponse, None]:
    """Yield the answer to each message, in order, through as many calls as it takes.

    At most `ahead` messages wait for their answers. A call is opened when there is something to send.
    Raises the error of a call that another cannot cure, or when `timeout` seconds brought no answer;
    and, after the answers to all it gave, what `messages` raises.
    """
    unanswered = _Unanswered(ahead)
    taking = asyncio.create_task(unanswered.take(messages), name="messages")
    attempt = 0
    try:
        while await unanswered.wait():
            sending: asyncio.Task[None] | None = None
            try:
                call = await open_call()
                sending = asyncio.create_task(unanswered.send(call, carefully=attempt > 0), name="sending")
                while (answer := await _read(call, unanswered, timeout)) is not None:
                    attempt = 0
                    await unanswered.settle()
                    yield answer
                failure = _failure(grpc.StatusCode.UNAVAILABLE, "the stream ended before all was answered")
            except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
                failure = error_from_call(error, request_id=unanswered.request_id, call_id=call_id)
            except InventoryError as error:
                failure = error
            finally:
                if sending is not None:
                    call.cancel()
                    sending.cancel()
                    # Why it could not send, the call tells.
                    await asyncio.gather(sending, return_exceptions=True)
            if unanswered.request_id:
                attempt += 1
                pause = _pause(failure, retry, attempt, timeout - unanswered.waited)
                if pause is None:
                    raise failure
                await asyncio.sleep(pause)
        await taking
    finally:
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)


class _Unanswered:
    """The messages that have no answer yet, in their order."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._messages: deque[StreamStockRequest] = deque()
        self._settled = 0
        self._since = 0.0
        self._complete = False
        self._changed = asyncio.Condition()

    @property
    def request_id(self) -> str:
        """The id of the message whose answer comes next; empty if none does."""
        return self._messages[0].request_id if self._messages else ""

    @property
    def waited(self) -> float:
        """For how many seconds the next answer has been waited for."""
        return time.monotonic() - self._since if self._messages else 0.0

    async def take(self, messages: AsyncIterable[StreamStockRequest]) -> None:
        """Take all of `messages` in, each when there is room; one without an id gets one."""
        try:
            async for given in messages:
                message = given
                if not given.request_id:
                    message = StreamStockRequest()
                    message.CopyFrom(given)
                    message.request_id = str(uuid.uuid4())
                async with self._changed:
                    await self._changed.wait_for(lambda: len(self._messages) < self._most)
                    if not self._messages:
                        self._since = time.monotonic()
                    self._messages.append(message)
                    self._changed.notify_all()
        finally:
            async with self._changed:
                self._complete = True
                self._changed.notify_all()

    async def wait(self) -> bool:
        """Wait for a message; return False when there is none and none will come."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._messages or self._complete)
            return bool(self._messages)

    async def send(self, call: Call, *, carefully: bool) -> None:
        """Send what has no answer, then what comes, then that there is no more.

        `carefully`: nothing before the first has been answered. A message on its way to a call that has
        just failed would hide why.
        """
        first = number = self._settled
        while True:
            async with self._changed:
                if carefully and number > first:
                    await self._changed.wait_for(lambda: self._settled > first)
                await self._changed.wait_for(
                    lambda: number < self._settled + len(self._messages) or self._complete  # noqa: B023
                )
                if number == self._settled + len(self._messages):
                    break
                message = self._messages[number - self._settled]
            await call.write(message)
            number += 1
        await call.done_writing()

    async def settle(self) -> None:
        """Forget the first: it has been answered."""
        async with self._changed:
            self._messages.popleft()
            self._settled += 1
            self._since = time.monotonic()
            self._changed.notify_all()


async def _read(call: Call, unanswered: _Unanswered, timeout: float) -> StreamStockResponse | None:
    """Return the next answer, or None at the end of the call."""
    reading = asyncio.ensure_future(call.read())
    try:
        while not (await asyncio.wait([reading], timeout=timeout))[0]:
            if unanswered.waited >= timeout:
                raise _failure(
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                    f"not answered within {timeout:.3f} s",
                    unanswered.request_id,
                )
    finally:
        reading.cancel()
    answer = await reading
    return answer if isinstance(answer, StreamStockResponse) else None


def _pause(error: InventoryError, retry: RetryPolicy, attempt: int, remaining: float) -> float | None:
    if error.code in CUT and error.reason in {"", "DEPENDENCY_UNAVAILABLE", "DEADLINE_EXCEEDED"}:
        return retry.backoff(attempt, remaining, error.retry_after)
    return retry.pause(error, attempt, remaining)


def _failure(code: grpc.StatusCode, message: str, request_id: str = "") -> InventoryError:
    return error_from_status(status_pb2.Status(code=code.value[0], message=message), request_id=request_id)
