"""The client's watch against a real server that cuts it as a script says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import grpc
import pytest
from google.rpc import code_pb2

from client import CursorExpiredError, InventoryClient, RetryPolicy, UnavailableError, WatchTooSlowError
from inventory.query.v1.stock_query_service_pb2 import WatchStockRequest, WatchStockResponse
from tests.unit.client.scripted_service import STOCK_QUERY, Context, refuse, served

FAST = RetryPolicy(attempts=4, first_pause=0.01, longest_pause=0.02)


@dataclass
class Service:
    """Tells cursors 1, 2, 3 … after the one given, as many in each call as `cuts` says, then ends it."""

    cuts: list[int] = field(default_factory=list)
    code: int = code_pb2.UNAVAILABLE
    reason: str = ""
    retry_after: float | None = None
    first_cursor: int = 1
    calls: list[WatchStockRequest] = field(default_factory=list)

    async def watch(self, request: WatchStockRequest, context: Context) -> None:
        """Serve one call."""
        self.calls.append(request)
        most = self.cuts.pop(0) if self.cuts else 100
        begin = int(request.cursor or 0) + 1
        for number in range(begin, begin + most):
            cursor = str(number) if number >= self.first_cursor else ""
            await context.write(WatchStockResponse(cursor=cursor, current=bool(cursor)))
        await refuse(self.code, self.reason, retry_after=self.retry_after)(context)


@pytest.fixture
async def service() -> AsyncIterator[tuple[Service, InventoryClient]]:
    """Give a service and a client that knows it."""
    script = Service()
    handler = grpc.unary_stream_rpc_method_handler(
        cast("Any", script.watch),  # a coroutine that writes is served as well
        request_deserializer=WatchStockRequest.FromString,
        response_serializer=WatchStockResponse.SerializeToString,
    )
    async with (
        asyncio.timeout(20),
        served({(STOCK_QUERY, "WatchStock"): handler}) as address,
        InventoryClient(address, actor="test", retry=FAST) as client,
    ):
        yield script, client


async def cursors(client: InventoryClient, number: int, *, patience: float = 60.0) -> list[str]:
    """Return the cursors of so many messages."""
    found: list[str] = []
    async for message in client.watch_stock(WatchStockRequest(include_current=True), timeout=patience):
        found.append(message.cursor)
        if len(found) == number:
            break
    return found


@pytest.mark.parametrize(
    "code", [code_pb2.UNAVAILABLE, code_pb2.INTERNAL, code_pb2.UNKNOWN, code_pb2.CANCELLED]
)
async def test_a_watch_that_is_cut_is_resumed(service: tuple[Service, InventoryClient], code: int) -> None:
    script, client = service
    script.cuts, script.code = [3, 0, 0, 0, 0, 2, 1], code
    assert await cursors(client, 9) == [str(number) for number in range(1, 10)]
    assert [call.cursor for call in script.calls] == ["", *["3"] * 5, "5", "6"][: len(script.calls)]
    assert [call.include_current for call in script.calls] == [True] + [False] * (len(script.calls) - 1)


async def test_without_a_cursor_yet_it_begins_anew(service: tuple[Service, InventoryClient]) -> None:
    script, client = service
    script.cuts, script.first_cursor = [2], 3
    assert await cursors(client, 6) == ["", "", "", "", "3", "4"]
    assert [call.include_current for call in script.calls] == [True, True]


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (code_pb2.OUT_OF_RANGE, "CURSOR_EXPIRED", CursorExpiredError),
        (code_pb2.RESOURCE_EXHAUSTED, "WATCH_TOO_SLOW", WatchTooSlowError),
    ],
)
async def test_what_another_call_cannot_cure_is_raised(
    service: tuple[Service, InventoryClient], code: int, reason: str, error: type[Exception]
) -> None:
    script, client = service
    script.cuts, script.code, script.reason = [2], code, reason
    with pytest.raises(error):
        await cursors(client, 9)
    assert len(script.calls) == 1


async def test_one_that_is_told_to_come_again_later_does(service: tuple[Service, InventoryClient]) -> None:
    script, client = service
    script.cuts, script.code, script.retry_after = [2, 0, 2], code_pb2.RESOURCE_EXHAUSTED, 0.05
    assert await cursors(client, 6) == ["1", "2", "3", "4", "5", "6"]


async def test_a_service_that_stays_away_is_given_up_on(service: tuple[Service, InventoryClient]) -> None:
    script, client = service
    script.cuts = [2, *[0] * 1000]
    with pytest.raises(UnavailableError):
        await cursors(client, 9, patience=1)
    # For as long as that, however often.
    assert len(script.calls) > FAST.attempts
