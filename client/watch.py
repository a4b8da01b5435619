"""A watch that goes on: when it is cut, it is resumed after what has been told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeAlias

import grpc
from google.rpc import status_pb2

from inventory.query.v1.stock_query_service_pb2 import WatchStockRequest, WatchStockResponse

from .errors import InventoryError
from .retry import RetryPolicy, token_expired
from .status import error_from_call, error_from_status
from .stream import CUT

Call: TypeAlias = "grpc.aio.UnaryStreamCall[WatchStockRequest, WatchStockResponse]"

SILENCE_SECONDS = 25.0
"""A watch that says nothing for so long is dead: a living one says at least every ten seconds that it is."""
_PASSING = frozenset({"", "DEPENDENCY_UNAVAILABLE", "DEADLINE_EXCEEDED"})


async def watching(
    open_call: Callable[[WatchStockRequest], Awaitable[Call]],
    request: WatchStockRequest,
    *,
    retry: RetryPolicy,
    timeout: float,
    call_id: str,
) -> AsyncGenerator[WatchStockResponse, None]:
    """Yield every message of a watch, through as many calls as it takes.

    Raises the error of a call that another cannot cure, or, when `timeout` seconds brought no message, the
    last error there was.
    """
    asked = WatchStockRequest()
    asked.CopyFrom(request)
    attempt, heard = 0, time.monotonic()
    last: InventoryError | None = None
    while True:
        call: Call | None = None
        try:
            call = await open_call(asked)
            while True:
                wait = min(SILENCE_SECONDS, max(0.0, heard + timeout - time.monotonic()))
                message = await asyncio.wait_for(call.read(), wait)
                if not isinstance(message, WatchStockResponse):
                    error = _error(grpc.StatusCode.UNAVAILABLE, "the watch ended")
                    break
                attempt, heard, last = 0, time.monotonic(), None
                if message.cursor:
                    asked.cursor, asked.include_current = message.cursor, False
                yield message
                heard = time.monotonic()  # the caller may have taken its time
        except TimeoutError:
            error = last or _error(grpc.StatusCode.DEADLINE_EXCEEDED, "the watch says nothing")
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as failure:
            error = error_from_call(failure, call_id=call_id)
        except InventoryError as failure:  # the source of tokens
            error = failure
        finally:
            if call is not None:
                call.cancel()
        attempt, last = attempt + 1, error
        pause = _pause(error, retry, attempt, heard + timeout - time.monotonic())
        if pause is None:
            raise error
        await asyncio.sleep(pause)


def _pause(error: InventoryError, retry: RetryPolicy, attempt: int, remaining: float) -> float | None:
    """Return how long to wait before the watch is resumed; None when that cannot help, or not in time.

    Of the policy's bounds only those on the pauses count: what bounds a watch is how long it is without news.
    """
    cut = error.code in CUT and error.reason in _PASSING
    asked = error.code is grpc.StatusCode.RESOURCE_EXHAUSTED and error.retry_after is not None
    if not (cut or asked or token_expired(error)) or retry.attempts <= 1:
        return None
    return retry.backoff(min(attempt, retry.attempts - 1), remaining, error.retry_after)


def _error(code: grpc.StatusCode, message: str) -> InventoryError:
    return error_from_status(status_pb2.Status(code=code.value[0], message=message))
