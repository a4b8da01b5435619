"""StreamStock on a store in memory: order, grouping, bounds, and what ends a stream."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing

import pytest

from command_svc.batcher import Batcher, Limits
from command_svc.domain.scope import Scope
from command_svc.domain.transaction import Transaction
from command_svc.services.stream import AHEAD_COMMANDS, answers
from command_svc.store.errors import RejectedError
from inventory.command.v1 import stock_command_service_pb2 as pb
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT, MOVEMENT_REASON_SALE
from serving.errors import CallError
from serving.identity import unverified
from tests.unit.command_svc.making import MUG
from tests.unit.command_svc.memory_store import MemoryStore

PATIENCE = 10.0


class GatedStore(MemoryStore):
    """A store whose transactions wait at a gate, and fail as told."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.failures: dict[int, Exception] = {}
        self.sizes: list[int] = []

    async def transact(
        self, scope: Scope, decide: Callable[[Transaction], None], *, within: float = math.inf
    ) -> None:
        """Wait, fail if the transaction of this number is to, else do as any store."""
        self.sizes.append(len(scope.requests))
        await self.gate.wait()
        if len(self.sizes) in self.failures:
            raise self.failures[len(self.sizes)]
        await super().transact(scope, decide, within=within)


class Sent:
    """Messages on their way, which count how many of them have been read."""

    def __init__(self, messages: Iterable[pb.StreamStockRequest]) -> None:
        self._messages = messages
        self.read = 0

    async def __aiter__(self) -> AsyncIterator[pb.StreamStockRequest]:
        for message in self._messages:
            await asyncio.sleep(0)
            self.read += 1
            yield message


def add(quantity: int = 1) -> pb.StockCommand:
    """Return a receipt."""
    return pb.StockCommand(
        add=pb.AddStockRequest(
            sku=MUG.sku, location_id=MUG.location_id, quantity=quantity, reason=MOVEMENT_REASON_RECEIPT
        )
    )


def sell(quantity: int) -> pb.StockCommand:
    """Return a sale."""
    return pb.StockCommand(
        remove=pb.RemoveStockRequest(
            sku=MUG.sku, location_id=MUG.location_id, quantity=quantity, reason=MOVEMENT_REASON_SALE
        )
    )


def receipts(number: int, commands: int = 1) -> list[pb.StreamStockRequest]:
    """Return messages of so many receipts of one unit each."""
    return [
        pb.StreamStockRequest(request_id=f"m{sequence}", sequence=sequence, commands=[add()] * commands)
        for sequence in range(number)
    ]


async def run(
    batcher: Batcher, sent: Sent, into: list[pb.StreamStockResponse] | None = None
) -> list[pb.StreamStockResponse]:
    """Return the answer to every message; `into` has those before an error too."""
    answered = [] if into is None else into
    async with asyncio.timeout(PATIENCE):
        async for answer in answers(batcher, aiter(sent), unverified("tester")):
            answered.append(answer)
    return answered


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(5000):
        await asyncio.sleep(0)


async def test_every_message_is_answered_in_its_order_under_ids_derived_from_its_own() -> None:
    store = GatedStore()
    messages = [
        pb.StreamStockRequest(request_id="a", sequence=9, commands=[add(5), sell(7), sell(2)]),
        pb.StreamStockRequest(request_id="b", sequence=9, validate_only=True, commands=[sell(1)]),
        pb.StreamStockRequest(request_id="c", sequence=1, commands=[sell(0), pb.StockCommand(), sell(3)]),
    ]
    async with Batcher(store) as batcher:
        first = await run(batcher, Sent(messages))
        assert store.levels[MUG].on_hand == 0
        again = await run(batcher, Sent(messages[:1]))
    assert [(one.request_id, one.sequence) for one in first] == [("a", 9), ("b", 9), ("c", 1)]
    assert [[result.WhichOneof("result") for result in one.results] for one in first] == [
        ["added", "error", "removed"],
        ["removed"],
        ["error", "error", "removed"],
    ]
    assert set(store.records) == {"a.0", "a.2", "c.2"}
    assert [bool(one.consistency_token) for one in first] == [True, False, True]
    # What was carried out is answered from its record; what was refused is decided anew.
    assert again[0].results[0] == first[0].results[0]
    assert again[0].results[2] == first[0].results[2]
    assert len(store.ledger) == 3


async def test_what_was_read_during_a_transaction_is_the_next_one() -> None:
    store = GatedStore()
    store.gate.clear()
    sent = Sent(receipts(500))
    async with Batcher(store) as batcher:
        running = asyncio.create_task(run(batcher, sent))
        await settled()
        store.gate.set()
        assert [answer.sequence for answer in await running] == list(range(500))
    assert store.sizes[0] < 10
    assert sum(store.sizes) == 500
    assert len(store.sizes) <= 3


async def test_no_more_is_read_than_the_bound_while_nothing_is_done_or_taken() -> None:
    store = GatedStore()
    store.gate.clear()
    sent = Sent(receipts(10_000, 10))
    async with Batcher(store) as batcher, asyncio.timeout(PATIENCE):
        async with aclosing(answers(batcher, aiter(sent), unverified("tester"))) as stream:
            waiting = asyncio.ensure_future(anext(stream))
            await settled()
            # One is being carried out, what fits waits, and one stands before the door.
            assert sent.read <= AHEAD_COMMANDS // 10 + 2
            store.gate.set()
            assert (await waiting).sequence == 0
            await settled()
            # The answer has been taken, but the next ones are not asked for.
            assert sent.read <= 2 * AHEAD_COMMANDS // 10 + 2
            read = sent.read
            await settled()
            assert sent.read == read
        await settled()
        assert sent.read == read


async def test_a_message_larger_than_the_bound_is_read_alone() -> None:
    store = GatedStore()
    async with Batcher(store) as batcher:
        answered = await run(batcher, Sent(receipts(4, 1000)))
    assert store.sizes == [1000] * 4
    assert [len(answer.results) for answer in answered] == [1000] * 4


async def test_a_message_that_breaks_a_rule_ends_the_stream_after_the_answers_before_it() -> None:
    store = GatedStore()
    bad = pb.StreamStockRequest(request_id="a b", commands=[add()])
    answered: list[pb.StreamStockResponse] = []
    async with Batcher(store) as batcher:
        with pytest.raises(CallError, match="request_id"):
            await run(batcher, Sent([*receipts(3), bad, *receipts(5)]), answered)
    assert [answer.sequence for answer in answered] == [0, 1, 2]
    assert store.levels[MUG].on_hand == 3
    assert len(store.records) == 3


async def test_after_a_failure_nothing_more_of_the_stream_is_tried_and_another_goes_on() -> None:
    store = GatedStore()
    store.failures[2] = RejectedError()
    messages = receipts(4, 1000)
    answered: list[pb.StreamStockResponse] = []
    async with Batcher(store) as batcher:
        with pytest.raises(RejectedError):
            await run(batcher, Sent(messages), answered)
        assert [answer.sequence for answer in answered] == [0]
        assert store.levels[MUG].on_hand == 1000
        resumed = await run(batcher, Sent(messages))
    assert [answer.sequence for answer in resumed] == [0, 1, 2, 3]
    assert store.levels[MUG].on_hand == 4000


async def test_a_full_queue_makes_the_stream_wait() -> None:
    store = GatedStore()
    store.gate.clear()
    async with Batcher(store, Limits(batch=1, queue=1)) as batcher:
        streams = [asyncio.create_task(run(batcher, Sent([one]))) for one in receipts(3)]
        await asyncio.sleep(0.2)
        assert not any(stream.done() for stream in streams)
        store.gate.set()
        assert [len(await stream) for stream in streams] == [1, 1, 1]
    assert store.levels[MUG].on_hand == 3
