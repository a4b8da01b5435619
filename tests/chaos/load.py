"""A load of commands of every kind, each tried once, and the books kept on what was answered."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import uuid4

import psycopg

from cdc.reconcile import reconcile
from client import DeadlineExceededError, InventoryClient, RetryPolicy, UnavailableError
from inventory.command.v1 import stock_command_service_pb2 as pb
from inventory.command.v1.item_command_service_pb2 import CreateItemRequest
from inventory.command.v1.location_command_service_pb2 import CreateLocationRequest
from inventory.query.v1.stock_query_service_pb2 import BatchGetStockLevelsRequest
from inventory.type.v1.location_pb2 import LOCATION_KIND_STORE
from inventory.type.v1.stock_pb2 import (
    MOVEMENT_REASON_CORRECTION,
    MOVEMENT_REASON_OPENING,
    MOVEMENT_REASON_REBALANCE,
    MOVEMENT_REASON_RECEIPT,
    MOVEMENT_REASON_SALE,
    LevelName,
    StockLevel,
)
from query_svc.read_model import connect
from tests.stack_fixture import RunningStack

TILLS = 8
# So much that nothing is ever refused: a refusal leaves no trace that could be looked for.
OPENING = 1_000_000
PATIENCE = 90.0

Request = (
    pb.AddStockRequest
    | pb.RemoveStockRequest
    | pb.AdjustStockRequest
    | pb.MoveStockRequest
    | pb.BatchStockRequest
)


class Entry(NamedTuple):
    """An entry of the ledger, as far as an answer tells it."""

    sku: str
    location_id: str
    version: int
    on_hand: int


@dataclass
class Load:
    """Tills that send commands, and what became of them by request id."""

    client: InventoryClient
    stack: RunningStack
    name: str = field(default_factory=lambda: f"chaos-{uuid4().hex[:8]}")
    asked: dict[str, Request] = field(default_factory=dict)
    answered: dict[str, Any] = field(default_factory=dict)
    failed: list[Exception] = field(default_factory=list)
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def places(self) -> list[str]:
        """The two locations."""
        return [f"{self.name}-north", f"{self.name}-south"]

    @property
    def skus(self) -> list[str]:
        """The items: few, so that commands meet."""
        return [f"{self.name}-{number}" for number in range(4)]

    async def prepare(self) -> None:
        """Create items and places, and stock them."""
        for place in self.places:
            await self.client.create_location(
                CreateLocationRequest(location_id=place, name=place, kind=LOCATION_KIND_STORE)
            )
        for sku in self.skus:
            await self.client.create_item(CreateItemRequest(sku=sku, name="Mug"))
            for place in self.places:
                await self.client.add_stock(
                    pb.AddStockRequest(
                        sku=sku, location_id=place, quantity=OPENING, reason=MOVEMENT_REASON_OPENING
                    )
                )

    async def till(self, seed: int) -> None:
        """Send one command after the other, each once, until the load is over."""
        rng = random.Random(seed)
        number = 0
        while not self._over.is_set():
            request_id = f"{self.name}:{seed}:{number}"
            number += 1
            request = self._any_request(rng)
            request.request_id = request_id
            self.asked[request_id] = request
            try:
                self.answered[request_id] = await self.send(request)
            except (UnavailableError, DeadlineExceededError) as error:
                self.failed.append(error)
                await asyncio.sleep(0.1)  # what is refused is not asked again at once
            await asyncio.sleep(0.005)

    def stop(self) -> None:
        """Let the tills end after their present command."""
        self._over.set()

    async def answers(self, more: int) -> None:
        """Wait until so many more commands were answered."""
        enough = len(self.answered) + more
        async with asyncio.timeout(PATIENCE):
            while len(self.answered) < enough:  # noqa: ASYNC110 - the tills know nothing of it
                await asyncio.sleep(0.01)

    async def send(self, request: Request) -> Any:  # noqa: ANN401 - each request has its own answer
        """Send a request once."""
        methods: dict[type[Request], Callable[[Any], Awaitable[Any]]] = {
            pb.AddStockRequest: self.client.add_stock,
            pb.RemoveStockRequest: self.client.remove_stock,
            pb.AdjustStockRequest: self.client.adjust_stock,
            pb.MoveStockRequest: self.client.move_stock,
            pb.BatchStockRequest: self.client.batch_stock,
        }
        return await methods[type(request)](request)

    def _any_request(self, rng: random.Random) -> Request:
        if rng.random() < 0.2:
            commands = [self._any_command(rng) for _ in range(rng.randint(2, 12))]
            return pb.BatchStockRequest(
                atomic=rng.random() < 0.5, commands=[_in_batch(command) for command in commands]
            )
        return self._any_command(rng)

    def _any_command(
        self, rng: random.Random
    ) -> pb.AddStockRequest | pb.RemoveStockRequest | pb.AdjustStockRequest | pb.MoveStockRequest:
        sku, quantity = rng.choice(self.skus), rng.randint(1, 9)
        here, there = rng.sample(self.places, 2)
        match rng.randrange(5):
            case 0:
                return pb.AddStockRequest(
                    sku=sku, location_id=here, quantity=quantity, reason=MOVEMENT_REASON_RECEIPT
                )
            case 1:
                return pb.AdjustStockRequest(
                    sku=sku, location_id=here, delta=-quantity, reason=MOVEMENT_REASON_CORRECTION
                )
            case 2:
                return pb.MoveStockRequest(
                    sku=sku,
                    source_location_id=here,
                    destination_location_id=there,
                    quantity=quantity,
                    reason=MOVEMENT_REASON_REBALANCE,
                )
            case _:
                return pb.RemoveStockRequest(
                    sku=sku, location_id=here, quantity=quantity, reason=MOVEMENT_REASON_SALE
                )

    async def prove(self) -> None:
        """Check that everything answered is everywhere exactly once, and the rest fully or not at all."""
        before = self.ledger()
        for request_id, answer in self.answered.items():
            assert before.get(request_id) == entries(answer), request_id
        # Whatever has left a trace was asked, and nothing has more of a trace than the answer it gets now.
        assert before.keys() <= self.asked.keys()
        for request_id, request in self.asked.items():
            if request_id not in self.answered:
                answer = await self.send(request)
                assert before.get(request_id, entries(answer)) == entries(answer), request_id
                self.answered[request_id] = answer
        rng = random.Random(self.name)
        for request_id in rng.sample(sorted(self.answered), min(100, len(self.answered))):
            assert await self.send(self.asked[request_id]) == self.answered[request_id], request_id
        after = self.ledger()
        assert {request_id: entries(answer) for request_id, answer in self.answered.items()} == after

        # Ledger, rows and view, of everything there is.
        async with connect(self.stack.redis_url) as view:
            report = await reconcile(self.stack.postgres_url("query"), view, wait=PATIENCE)
        assert not report.faults, report.faults
        latest: dict[tuple[str, str], Entry] = {}
        for entry in (entry for some in after.values() for entry in some):
            key = (entry.sku, entry.location_id)
            latest[key] = max(latest.get(key, entry), entry, key=lambda one: one.version)
        names = [LevelName(sku=sku, location_id=place) for sku, place in latest]
        shown = await self.client.batch_get_stock_levels(BatchGetStockLevelsRequest(names=names))
        assert [_entry(level) for level in shown.levels] == list(latest.values())

    def ledger(self) -> dict[str, list[Entry]]:
        """Return the entries of the tills by request id, those of a batch's commands under the batch's."""
        found: dict[str, list[Entry]] = {}
        with psycopg.connect(self.stack.postgres_url("query")) as connection:
            for request_id, *entry in connection.execute(
                "SELECT request_id, sku, location_id, version, on_hand FROM stock_movements"
                " WHERE sku = ANY(%s) AND starts_with(request_id, %s)",
                (self.skus, f"{self.name}:"),
            ):
                found.setdefault(request_id.partition(".")[0], []).append(Entry(*entry))
        return {request_id: sorted(some) for request_id, some in found.items()}


def entries(answer: Any) -> list[Entry]:  # noqa: ANN401 - each request has its own answer
    """Return the entries of the ledger that an answer tells of."""
    if isinstance(answer, pb.BatchStockResponse):
        results = [getattr(one, str(one.WhichOneof("result"))) for one in answer.results]
        return sorted(entry for result in results for entry in entries(result))
    if isinstance(answer, pb.MoveStockResponse):
        return sorted([_entry(answer.source), _entry(answer.destination)])
    return [_entry(answer.level)]


def _entry(level: StockLevel) -> Entry:
    return Entry(level.sku, level.location_id, level.version, level.on_hand)


def _in_batch(
    command: pb.AddStockRequest | pb.RemoveStockRequest | pb.AdjustStockRequest | pb.MoveStockRequest,
) -> pb.StockCommand:
    match command:
        case pb.AddStockRequest():
            return pb.StockCommand(add=command)
        case pb.RemoveStockRequest():
            return pb.StockCommand(remove=command)
        case pb.AdjustStockRequest():
            return pb.StockCommand(adjust=command)
        case _:
            return pb.StockCommand(move=command)


@asynccontextmanager
async def under_load(stack: RunningStack) -> AsyncIterator[Load]:
    """Keep a load on the stack through Envoy while the block runs; afterwards, prove what it has left."""
    once = RetryPolicy(attempts=1)
    async with stack.client("chaos", timeout=5, retry=once) as client:
        load = Load(client, stack)
        await load.prepare()
        async with asyncio.TaskGroup() as tills:
            for seed in range(TILLS):
                tills.create_task(load.till(seed))
            await load.answers(60)
            yield load
            await load.answers(60)
            load.stop()
        await load.prove()
