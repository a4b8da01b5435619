"""The pipeline as it runs, looked at through the front door; and the events of a command, told in public."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest

from cdc.topics import STOCK_EVENTS
from client import DeadLetterNotFoundError, InventoryClient, RebuildUnderWayError, UnavailableError
from inventory.admin.v1 import pipeline_service_pb2 as pb
from inventory.command.v1.item_command_service_pb2 import CreateItemRequest
from inventory.command.v1.location_command_service_pb2 import CreateLocationRequest
from inventory.command.v1.stock_command_service_pb2 import AddStockRequest
from inventory.event.v1.stock_event_pb2 import StockEvent
from inventory.type.v1.location_pb2 import LOCATION_KIND_STORE
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT
from tests.integration.relay_world import PARTITIONS, read, until
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack

PATIENCE = 30.0


@pytest.fixture
async def client(stack: RunningStack) -> AsyncIterator[InventoryClient]:
    async with stack.client("operator", timeout=PATIENCE) as client:
        yield client


async def test_everything_runs_and_the_view_is_fresh(client: InventoryClient) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            status = await client.get_pipeline_status(pb.GetPipelineStatusRequest())
            if status.HasField("view_age") and status.view_age.ToTimedelta().total_seconds() < 1:
                break
            await asyncio.sleep(0.2)
    assert [(one.name, one.state) for one in status.readers] == [
        ("inventory.projector", pb.READER_STATE_READING),
        ("inventory.relay", pb.READER_STATE_READING),
    ]
    assert all(len(one.partitions) == 1 for one in status.readers)
    projectors, relays = (sorted(one.state for one in reader.processes) for reader in status.readers)
    assert projectors == [pb.READER_STATE_READING, pb.READER_STATE_STANDING_BY]
    assert relays == [pb.READER_STATE_READING]
    assert status.connector.state == "RUNNING"
    assert [task.state for task in status.connector.tasks] == ["RUNNING"]
    assert status.slot.active
    assert status.slot.wal_status in {"reserved", "extended"}
    assert not status.unavailable


async def test_every_process_shows_its_metrics_and_the_pipeline_no_drift(stack: RunningStack) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as browser:
        for name in ("command", "query", "projector", "projector-standby", "relay", "pipeline"):
            page = (await browser.get(f"http://{stack.metrics(name)}/metrics")).raise_for_status().text
            assert "process_resident_memory_bytes" in page
    drift = [line for line in page.splitlines() if line.startswith("inventory_drift{")]
    assert len(drift) > 10
    assert all(line.endswith(" 0.0") for line in drift), drift
    assert 'inventory_connector_state{part="task 0",state="RUNNING"} 1.0' in page
    for name in ("consumer_lag_records{", "slot_retained_bytes{", "view_age_seconds ", "dead_letters{"):
        assert f"\ninventory_{name}" in page
    assert "\ninventory_reconciliation_cycle_age_seconds " in page


async def test_a_dead_letter_that_is_not_there_has_its_reason(client: InventoryClient) -> None:
    with pytest.raises(DeadLetterNotFoundError):
        await client.replay_dead_letters(pb.ReplayDeadLettersRequest(dead_letter_ids=["none"]))


async def test_the_reconciliation_tells_what_it_has_compared(client: InventoryClient) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = await client.get_reconciliation(pb.GetReconciliationRequest())
            if answer.HasField("last"):
                break
            await asyncio.sleep(0.2)
    assert answer.cycle_count >= 1
    assert answer.last.start_time.ToDatetime() <= answer.last.end_time.ToDatetime()
    assert list(answer.last.findings) == []
    spots = {(one.place, one.kind) for one in answer.last.counts}
    assert spots >= {("ledger", "levels"), ("lots", "serials"), ("promises", "levels")}
    assert spots >= {("read model", kind) for kind in ("items", "locations", "levels", "lots", "orders")}
    assert not sum(one.drift_count for one in answer.totals)
    assert not answer.waiting_for


async def test_a_rebuild_goes_on_whatever_becomes_of_the_process(
    stack: RunningStack, client: InventoryClient
) -> None:
    begun = (await client.start_rebuild(pb.StartRebuildRequest())).rebuild
    assert begun.running
    assert begun.actor == "operator"
    with pytest.raises(RebuildUnderWayError) as refused:
        await client.start_rebuild(pb.StartRebuildRequest())
    assert refused.value.metadata["generation"] == begun.generation
    assert refused.value.metadata["actor"] == "operator"
    stack.kill("pipeline")
    states = set()
    async with asyncio.timeout(3 * PATIENCE):
        while pb.REBUILD_STATE_DONE not in states:
            # While it starts again, nobody is there to tell.
            with contextlib.suppress(UnavailableError):
                status = await client.get_pipeline_status(pb.GetPipelineStatusRequest())
                states.add(status.rebuild.state)
            await asyncio.sleep(0.1)
    assert len(states) > 1
    assert status.rebuild.generation == begun.generation
    assert status.rebuild.start_time == begun.start_time
    assert status.rebuild.end_time.ToDatetime() > begun.start_time.ToDatetime()
    assert not status.rebuild.error


async def test_what_a_command_does_is_told_in_public(stack: RunningStack, client: InventoryClient) -> None:
    name = uuid4().hex[:8]
    await client.create_item(CreateItemRequest(sku=f"MUG-{name}", name="Mug"))
    await client.create_location(
        CreateLocationRequest(location_id=f"place-{name}", name="Place", kind=LOCATION_KIND_STORE)
    )
    answer = await client.add_stock(
        AddStockRequest(
            sku=f"MUG-{name}", location_id=f"place-{name}", quantity=5, reason=MOVEMENT_REASON_RECEIPT
        )
    )
    key = f"MUG-{name}@place-{name}"

    def told() -> list[StockEvent]:
        records = read(stack.bootstrap_servers, STOCK_EVENTS, PARTITIONS)
        return [StockEvent.FromString(one.value[6:]) for one in records if one.key == key]

    await asyncio.to_thread(until, lambda: bool(told()))
    (event,) = told()
    assert event.stock_added.quantity == 5
    assert event.level == answer.level
    assert event.entry.actor == "operator"
