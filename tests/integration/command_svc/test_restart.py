"""The database goes away under load and comes back: nothing is half done, and nobody has to help."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from client import InventoryClient, InventoryError, RetryPolicy, UnavailableError
from command_svc.domain.stock import AddStock
from inventory.command.v1 import stock_command_service_pb2 as pb
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_SALE
from stack.supervisor import Supervisor
from tests.integration.command_svc.shop import Shop, open_shop
from tests.stack_fixture import RunningStack

pytestmark = [pytest.mark.stack, pytest.mark.slow]

TILLS = 12
DEADLINE = 5.0
STOCK = 1_000_000


@pytest.fixture
async def shop(stack: RunningStack) -> Shop:
    """Give a new item and two new places, without stock, on the whole stack."""
    return await open_shop(stack)


@dataclass
class Sales:
    """What became of every sale, by request id."""

    answered: dict[str, pb.RemoveStockResponse] = field(default_factory=dict)
    failed: dict[str, InventoryError] = field(default_factory=dict)
    longest: float = 0.0

    async def sell(self, client: InventoryClient, shop: Shop, request_id: str) -> None:
        """Sell a unit, trying once."""
        begun = time.monotonic()
        try:
            answer = await client.remove_stock(sale(shop, request_id))
        except InventoryError as error:
            self.failed[request_id] = error
        else:
            self.answered[request_id] = answer
        self.longest = max(self.longest, time.monotonic() - begun)

    async def until(self, number: int) -> None:
        """Wait until so many were answered."""
        while len(self.answered) < number:  # noqa: ASYNC110 - the tills know nothing of it
            await asyncio.sleep(0.01)


def sale(shop: Shop, request_id: str) -> pb.RemoveStockRequest:
    """Return the sale of a unit."""
    return pb.RemoveStockRequest(
        request_id=request_id,
        sku=shop.sku,
        location_id=shop.north.location_id,
        quantity=1,
        reason=MOVEMENT_REASON_SALE,
    )


def kill(shop: Shop) -> None:
    """End the database as a crash does; the supervisor starts it again."""
    shop.stack.kill("postgres")


def restart(shop: Shop) -> None:
    """Restart the database in an orderly way."""
    Supervisor(shop.stack.home).stop_program("postgres")
    Supervisor(shop.stack.home).start_program("postgres")


def stop_for_long(shop: Shop) -> None:
    """Have no database for longer than a caller waits."""
    Supervisor(shop.stack.home).stop_program("postgres")
    time.sleep(DEADLINE + 3)  # the time itself is the point
    Supervisor(shop.stack.home).start_program("postgres")


@pytest.mark.parametrize("happens", [kill, restart, stop_for_long])
async def test_commands_are_answered_or_unavailable_and_nothing_is_half_done(
    shop: Shop, happens: Callable[[Shop], None]
) -> None:
    await shop.carry_out(AddStock(shop.north, STOCK, "RECEIPT"))
    sales = Sales()
    over = asyncio.Event()

    async def till(client: InventoryClient, number: int) -> None:
        turn = 0
        while not over.is_set():
            failed = len(sales.failed)
            await sales.sell(client, shop, f"{shop.sku}-{number}-{turn}")
            turn += 1
            # Whoever is refused waits a little longer, as a client does.
            await asyncio.sleep(0.01 if len(sales.failed) == failed else 0.3)

    once = RetryPolicy(attempts=1)
    async with (
        shop.stack.client("till", timeout=DEADLINE, retry=once) as client,
        shop.stack.client("till", timeout=60, retry=RetryPolicy(attempts=100)) as patient,
    ):
        async with asyncio.timeout(90), asyncio.TaskGroup() as group:
            for number in range(TILLS):
                group.create_task(till(client, number))
            await sales.until(50)
            await asyncio.to_thread(happens, shop)
            await asyncio.to_thread(shop.stack.wait_ready, "postgres")
            # The service finds the database again by itself, and Envoy the service.
            await sales.until(len(sales.answered) + 50)
            over.set()

        kinds = Counter(type(error) for error in sales.failed.values())
        assert all(issubclass(kind, UnavailableError) for kind in kinds), kinds
        assert sales.longest < DEADLINE + 1

        entries = Counter(
            name
            for (name,) in shop.ask(
                "SELECT request_id FROM stock_movements WHERE sku = %(sku)s AND kind = 'REMOVE'"
            )
        )
        assert set(entries.values()) == {1}
        assert sales.answered.keys() <= entries.keys() <= sales.answered.keys() | sales.failed.keys()
        assert shop.audit()[shop.north].on_hand == STOCK - len(entries)

        # What failed may be repeated, what was answered is answered alike.
        await asyncio.gather(*(patient.remove_stock(sale(shop, request_id)) for request_id in sales.failed))
        for request_id in list(sales.answered)[-20:]:
            assert await client.remove_stock(sale(shop, request_id)) == sales.answered[request_id]
    assert shop.audit()[shop.north].on_hand == STOCK - len(sales.answered) - len(sales.failed)
    for reader in ("connector", "query", "projector"):
        await asyncio.to_thread(shop.stack.wait_ready, reader)
