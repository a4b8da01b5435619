"""The projector that reads is killed: the one that stands by goes on in ten seconds, with nothing lost."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

import pytest

from cdc.reconcile import reconcile
from client import InventoryClient
from inventory.admin.v1 import pipeline_service_pb2 as admin
from inventory.command.v1.item_command_service_pb2 import CreateItemRequest
from inventory.command.v1.location_command_service_pb2 import CreateLocationRequest
from inventory.command.v1.stock_command_service_pb2 import AddStockRequest
from inventory.type.v1.location_pb2 import LOCATION_KIND_STORE
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT
from query_svc.read_model import ReadModel, connect
from stack.supervisor import Supervisor
from tests.stack_fixture import PROJECTORS, RunningStack

pytestmark = [pytest.mark.stack, pytest.mark.slow]

TAKE_OVER_SECONDS = 10.0
# A machine that does something else for some seconds is no finding.
ROUNDS = 3
PATIENCE = 60.0


async def test_a_standby_goes_on_where_the_killed_one_was(stack: RunningStack) -> None:
    name = uuid4().hex[:8]
    receipt = AddStockRequest(sku=name, location_id=name, quantity=1, reason=MOVEMENT_REASON_RECEIPT)
    async with (
        stack.client(name, timeout=20) as client,
        connect(stack.redis_url) as view,
    ):
        await client.create_item(CreateItemRequest(sku=name, name="Mug"))
        await client.create_location(
            CreateLocationRequest(location_id=name, name="North", kind=LOCATION_KIND_STORE)
        )
        await client.add_stock(receipt)
        await both_are_there(client)
        shown = [0]
        watching = asyncio.create_task(watch(view, name, shown))
        receiving = asyncio.create_task(receive(client, receipt))
        took: list[float] = []
        while not took or (min(took) >= TAKE_OVER_SECONDS and len(took) < ROUNDS):
            took.append(await take_over(stack, view, name, shown))
            await both_are_there(client)
        receiving.cancel()
        (added,) = await asyncio.gather(receiving, return_exceptions=True)
        assert isinstance(added, asyncio.CancelledError)
        report = await reconcile(stack.postgres_url("query"), view, wait=PATIENCE)
        watching.cancel()
    assert report.faults == []
    assert shown == sorted(shown)
    print("taken over within", ", ".join(f"{seconds:.1f} s" for seconds in took))  # noqa: T201 - shown when asked for
    assert min(took) < TAKE_OVER_SECONDS


async def take_over(stack: RunningStack, view: ReadModel, name: str, shown: list[int]) -> float:
    """Kill the projector that reads, and return the seconds until the other one shows something new."""
    victim = await asyncio.to_thread(stack.active_projector)
    supervisor, (other,) = Supervisor(stack.home), [one for one in PROJECTORS if one != victim]
    killed = time.monotonic()
    await asyncio.to_thread(stack.kill, victim)
    try:
        # Not started again before the other has shown that it reads. The supervisor stops nothing that it is
        # about to start again.
        while (await asyncio.to_thread(supervisor.states))[victim].state != "STOPPED":
            await asyncio.to_thread(supervisor.stop_program, victim)
        last = await view.level(name, name)
        assert last is not None
        async with asyncio.timeout(PATIENCE):
            while shown[-1] <= last.version:  # noqa: ASYNC110 - another task sees it
                await asyncio.sleep(0.01)
        seconds = time.monotonic() - killed
        assert await asyncio.to_thread(stack.active_projector) == other
    finally:
        await asyncio.to_thread(supervisor.start_program, victim)
    await asyncio.to_thread(stack.wait_ready, victim)
    return seconds


async def receive(client: InventoryClient, receipt: AddStockRequest) -> None:
    """Receive units, one by one, for ever."""
    while True:
        await client.add_stock(receipt)
        await asyncio.sleep(0.05)


async def watch(view: ReadModel, name: str, shown: list[int]) -> None:
    """Note every version of a level that the view shows, for ever."""
    while True:
        level = await view.level(name, name)
        if level is not None and (not shown or shown[-1] != level.version):
            shown.append(level.version)
        await asyncio.sleep(0.01)


async def both_are_there(client: InventoryClient) -> None:
    """Wait until one projector reads and the other stands by, as the status tells."""
    wanted = [admin.READER_STATE_READING, admin.READER_STATE_STANDING_BY]
    async with asyncio.timeout(PATIENCE):
        while True:
            status = await client.get_pipeline_status(admin.GetPipelineStatusRequest())
            if sorted(one.state for one in status.readers[0].processes) == wanted:
                assert status.readers[0].state == admin.READER_STATE_READING
                return
            await asyncio.sleep(0.1)
