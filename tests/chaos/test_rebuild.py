"""The read model is rebuilt under load while its parts are killed: nobody reads anything older or less."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from uuid import uuid4

import pytest

from cdc.reconcile import reconcile
from client import InventoryClient
from inventory.command.v1 import item_command_service_pb2, location_command_service_pb2
from inventory.command.v1 import stock_command_service_pb2 as pb
from inventory.query.v1 import stock_query_service_pb2
from inventory.type.v1.location_pb2 import LOCATION_KIND_STORE
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT
from query_svc.read_model import GENERATION, LEASE_SECONDS, Phase, connect, connect_generations
from tests.stack_fixture import RunningStack

pytestmark = [pytest.mark.stack, pytest.mark.slow]


async def test_a_rebuild_that_is_killed_again_and_again_serves_all_the_time(stack: RunningStack) -> None:
    """The command is killed in any phase and begun again, and so is the projector once."""
    name, rng = uuid4().hex[:8], random.Random(1)
    environment = os.environ | {
        "INVENTORY_CDC_DATABASE_URL": stack.postgres_url("query"),
        "INVENTORY_CDC_REDIS_URL": stack.redis_url,
    }

    async def run(patience: float | None) -> int | None:
        """Run the command, and kill it after a while; return its exit code, None if it was killed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cdc", "rebuild"), env=environment, stdout=asyncio.subprocess.DEVNULL
        )
        try:
            async with asyncio.timeout(patience):
                return await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            return None

    async def shop(client: InventoryClient) -> None:
        """Add a unit, and ask for the level until it is there: what was seen once is never missing."""
        seen = 0
        while True:
            await client.add_stock(receipt)
            answer = await client.get_stock_level(
                stock_query_service_pb2.GetStockLevelRequest(sku=name, location_id=name)
            )
            assert answer.level.version >= seen
            seen = answer.level.version
            await asyncio.sleep(0.01)

    receipt = pb.AddStockRequest(sku=name, location_id=name, quantity=1, reason=MOVEMENT_REASON_RECEIPT)
    async with (
        stack.client(name, timeout=20) as client,
        connect(stack.redis_url) as view,
        connect_generations(stack.redis_url) as generations,
    ):
        await client.create_item(item_command_service_pb2.CreateItemRequest(sku=name, name="Mug"))
        await client.create_location(
            location_command_service_pb2.CreateLocationRequest(
                location_id=name, name="North", kind=LOCATION_KIND_STORE
            )
        )
        await client.add_stock(receipt)
        assert (await reconcile(stack.postgres_url("query"), view, wait=30)).faults == []
        before = await generations.read()
        shopping = asyncio.create_task(shop(client))
        # A process takes about a second to get going, and waits until the one before is known to be gone.
        for turn in range(4):
            assert await run(rng.uniform(0.8, 3.0) + (LEASE_SECONDS if turn else 0)) is None
            if turn == 1:
                await asyncio.to_thread(stack.kill, await asyncio.to_thread(stack.active_projector))
        assert await run(60) == 0
        assert not shopping.done(), shopping.exception()
        shopping.cancel()
        after = await generations.read()
        assert (after.phase, after.number) == (Phase.IDLE, before.number + 1)
        assert after.live == f"{GENERATION}r{after.number}"
        report = await reconcile(stack.postgres_url("query"), view, wait=30)
    assert report.faults == []
