"""StreamStock through the front door: in order, cut in the middle, and read slowly."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from client import InsufficientStockError, RetryPolicy, error_from_status
from inventory.command.v1 import stock_command_service_pb2 as pb
from inventory.command.v1.item_command_service_pb2 import CreateItemRequest
from inventory.command.v1.location_command_service_pb2 import CreateLocationRequest
from inventory.command.v1.stock_command_service_pb2_grpc import StockCommandServiceStub
from inventory.type.v1.location_pb2 import LOCATION_KIND_STORE
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT, MOVEMENT_REASON_SALE
from tests.door import Door
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack

PATIENT = RetryPolicy(attempts=60, longest_pause=0.5, reserve=math.inf)
MEBIBYTE = 1024 * 1024


class Shelf:
    """An item at a place, of its own."""

    def __init__(self, stack: RunningStack) -> None:
        name = uuid4().hex[:8]
        self._stack = stack
        self.sku, self.place = f"MUG-{name}", f"place-{name}"

    async def set_up(self) -> None:
        """Create the item and the place."""
        async with self._stack.client("test") as client:
            await client.create_item(CreateItemRequest(sku=self.sku, name="Mug"))
            await client.create_location(
                CreateLocationRequest(location_id=self.place, name="Place", kind=LOCATION_KIND_STORE)
            )

    def add(self, quantity: int = 1) -> pb.StockCommand:
        """Return a receipt."""
        return pb.StockCommand(
            add=pb.AddStockRequest(
                sku=self.sku,
                location_id=self.place,
                quantity=quantity,
                reason=MOVEMENT_REASON_RECEIPT,
                reference="r" * 100,
            )
        )

    def sell(self, quantity: int = 1) -> pb.StockCommand:
        """Return a sale."""
        return pb.StockCommand(
            remove=pb.RemoveStockRequest(
                sku=self.sku, location_id=self.place, quantity=quantity, reason=MOVEMENT_REASON_SALE
            )
        )

    def messages(self, number: int, commands: int) -> Iterator[pb.StreamStockRequest]:
        """Yield so many messages, each of so many receipts of one unit."""
        for sequence in range(number):
            yield pb.StreamStockRequest(
                request_id=f"{self.sku}-{sequence}", sequence=sequence, commands=[self.add()] * commands
            )

    def entries(self) -> list[tuple[int, int]]:
        """Return version and resulting quantity of every entry in the ledger."""
        with psycopg.connect(self._stack.postgres_url("owner")) as database:
            return database.execute(
                "SELECT version, on_hand FROM stock_movements WHERE sku = %s ORDER BY version", [self.sku]
            ).fetchall()


@pytest.fixture
async def shelf(stack: RunningStack) -> Shelf:
    shelf = Shelf(stack)
    await shelf.set_up()
    return shelf


async def slowly(
    messages: Iterator[pb.StreamStockRequest], pause: float = 0.01
) -> AsyncIterator[pb.StreamStockRequest]:
    """Yield the messages with a pause after each."""
    for message in messages:
        yield message
        await asyncio.sleep(pause)


async def test_messages_are_answered_in_order_and_a_bad_command_refuses_itself_alone(
    shelf: Shelf, stack: RunningStack
) -> None:
    messages = [
        pb.StreamStockRequest(sequence=7, commands=[shelf.add(5), shelf.sell(9), shelf.sell(2)]),
        pb.StreamStockRequest(sequence=8, validate_only=True, commands=[shelf.sell(3)]),
        pb.StreamStockRequest(sequence=5, commands=[shelf.add(-1), pb.StockCommand(), shelf.sell(3)]),
    ]
    async with stack.client("test") as client:
        answers = [answer async for answer in client.stream_stock(slowly(iter(messages)))]
    assert [answer.sequence for answer in answers] == [7, 8, 5]
    kinds = [[result.WhichOneof("result") for result in answer.results] for answer in answers]
    assert kinds == [["added", "error", "removed"], ["removed"], ["error", "error", "removed"]]
    assert isinstance(error_from_status(answers[0].results[1].error), InsufficientStockError)
    assert all(answer.request_id for answer in answers)
    assert [bool(answer.consistency_token) for answer in answers] == [True, False, True]
    assert shelf.entries() == [(1, 5), (2, 3), (3, 0)]


async def test_a_stream_that_is_cut_goes_on_where_it_was_and_nothing_is_doubled(
    shelf: Shelf, stack: RunningStack
) -> None:
    number, commands = 200, 10
    answers: list[pb.StreamStockResponse] = []
    async with (
        Door(stack.edge) as door,
        stack.client("test", door.address, timeout=30, retry=PATIENT) as client,
    ):
        async for answer in client.stream_stock(slowly(shelf.messages(number, commands))):
            answers.append(answer)
            if len(answers) in {20, 21, 90}:
                await door.cut()
    assert [answer.sequence for answer in answers] == list(range(number))
    levels = [result.added.level.on_hand for answer in answers for result in answer.results]
    assert levels == list(range(1, number * commands + 1))
    assert shelf.entries() == [(unit, unit) for unit in levels]


async def test_a_killed_service_and_a_restarted_one_lose_and_double_nothing(
    shelf: Shelf, stack: RunningStack
) -> None:
    number, commands = 200, 10
    answers: list[pb.StreamStockResponse] = []
    async with stack.client("test", timeout=60, retry=PATIENT) as client:
        async for answer in client.stream_stock(slowly(shelf.messages(number, commands), 0.02)):
            answers.append(answer)
            if len(answers) == 50:
                stack.kill("command")
    assert [answer.sequence for answer in answers] == list(range(number))
    assert shelf.entries() == [(unit, unit) for unit in range(1, number * commands + 1)]
    again: list[pb.StreamStockResponse] = []
    async with stack.client("test", timeout=60) as client:
        again += [answer async for answer in client.stream_stock(slowly(shelf.messages(number, commands), 0))]
    assert again == answers
    assert len(shelf.entries()) == number * commands


async def test_a_caller_who_does_not_read_is_pushed_back_and_costs_little_memory(
    shelf: Shelf, stack: RunningStack
) -> None:
    # Far more than the windows and buffers on the way hold: a receipt each, and answers made long.
    number = 8000
    long = pb.StockCommand(remove=pb.RemoveStockRequest(sku="!", reference="r" * 200, quantity=-1))
    before = _resident(stack.pid("command"))
    async with stack.channel() as channel:
        call = StockCommandServiceStub(channel).StreamStock(metadata=stack.metadata())
        sent, carried_out = 0, -1
        while sent < number:
            message = pb.StreamStockRequest(sequence=sent, commands=[shelf.add(), *[long] * 20])
            writing = asyncio.ensure_future(call.write(message))
            while not (await asyncio.wait([writing], timeout=3))[0]:
                last, carried_out = carried_out, len(shelf.entries())
                if last == carried_out:
                    break
            if not writing.done():
                break
            sent += 1
        assert 0 < carried_out <= sent < number
        assert _resident(stack.pid("command")) - before < 100 * MEBIBYTE
        # Who begins to read gets every answer, in order.
        for sequence in range(sent):
            answer = await call.read()
            assert isinstance(answer, pb.StreamStockResponse)
            assert answer.sequence == sequence
            assert answer.results[0].added.level.on_hand == sequence + 1
        call.cancel()


def _resident(pid: int) -> int:
    """Return the bytes that a process holds in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024
