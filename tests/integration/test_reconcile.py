"""The proof proves: a planted corruption in each place is found, and named."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import psycopg
import pytest

from cdc.reconcile import Report, reconcile
from inventory.command.v1 import item_command_service_pb2, location_command_service_pb2
from inventory.command.v1 import stock_command_service_pb2 as pb
from inventory.type.v1.location_pb2 import LOCATION_KIND_STORE
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT
from query_svc.read_model import ReadModel, connect
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack


@dataclass
class Shop:
    """An item with three entries at one place, and the means to look at it and to spoil it."""

    stack: RunningStack
    view: ReadModel
    sku: str
    place: str

    async def report(self, wait: float = 0.0) -> Report:
        """Reconcile everything."""
        return await reconcile(self.stack.postgres_url("query"), self.view, wait=wait)

    @contextmanager
    def spoilt(self, statement: str, mending: str) -> Iterator[None]:
        """Spoil by one statement, and mend by the other in the end.

        The stack's own reconciler stands still meanwhile: it would bring the view to what is spoilt, and as
        mending changes no version, nothing would bring it back.
        """
        pipeline = self.stack.pid("pipeline")
        os.kill(pipeline, signal.SIGSTOP)
        try:
            self.run(statement)
            try:
                yield
            finally:
                self.run(mending)
        finally:
            os.kill(pipeline, signal.SIGCONT)

    def run(self, statement: str) -> None:
        """Run SQL as the owner, with the item and the place as its parameters."""
        with psycopg.connect(self.stack.postgres_url("owner"), autocommit=True) as connection:
            connection.execute(statement, {"sku": self.sku, "place": self.place})


@pytest.fixture
async def shop(stack: RunningStack) -> AsyncIterator[Shop]:
    """Give a shop that reconciles."""
    sku, place = f"R-{uuid4().hex[:8]}", f"P-{uuid4().hex[:8]}"
    async with (
        stack.client("tester") as client,
        connect(stack.redis_url) as view,
    ):
        await client.create_item(item_command_service_pb2.CreateItemRequest(sku=sku, name="Mug"))
        await client.create_location(
            location_command_service_pb2.CreateLocationRequest(
                location_id=place, name="North", kind=LOCATION_KIND_STORE
            )
        )
        for quantity in (5, 6, 7):
            await client.add_stock(
                pb.AddStockRequest(
                    sku=sku, location_id=place, quantity=quantity, reason=MOVEMENT_REASON_RECEIPT
                )
            )
        shop = Shop(stack, view, sku, place)
        report = await shop.report(wait=20)
        assert report.faults == []
        yield shop


@pytest.mark.parametrize(
    ("spoil", "mend"),
    [
        ("UPDATE stock_levels SET on_hand = on_hand + 1", "UPDATE stock_levels SET on_hand = on_hand - 1"),
        ("UPDATE stock_levels SET version = version + 1", "UPDATE stock_levels SET version = version - 1"),
        (
            "UPDATE stock_movements SET on_hand_delta = on_hand_delta + 1",
            "UPDATE stock_movements SET on_hand_delta = on_hand_delta - 1",
        ),
        (
            "UPDATE stock_movements SET on_hand = on_hand + 1",
            "UPDATE stock_movements SET on_hand = on_hand - 1",
        ),
        (
            "UPDATE stock_movements SET version = version + 10",
            "UPDATE stock_movements SET version = version - 10",
        ),
    ],
)
async def test_a_spoilt_row_or_entry_is_found(shop: Shop, spoil: str, mend: str) -> None:
    where = " WHERE sku = %(sku)s AND location_id = %(place)s"
    with shop.spoilt(spoil + where, mend + where):
        report = await shop.report()
    assert report.fault_count >= 1
    assert all(fault.startswith(f"{shop.sku} at {shop.place}") for fault in report.faults)
    assert (await shop.report()).fault_count == 0


async def test_a_lost_entry_and_an_entry_without_row_are_found(shop: Shop) -> None:
    """An entry that has gone astray leaves a gap behind, and stands where there is no row."""
    with shop.spoilt(
        "UPDATE stock_movements SET sku = sku || '-X' WHERE sku = %(sku)s AND version = 2",
        "UPDATE stock_movements SET sku = %(sku)s WHERE sku = %(sku)s || '-X'",
    ):
        report = await shop.report()
    assert report.faults == [
        f"{shop.sku} at {shop.place}: the row says [18, 0, 0, 0, 3], the ledger sums up to [12, 0, 0, 0, 2]",
        f"{shop.sku} at {shop.place}: the ledger's entry 3 does not follow from the one before it",
        f"{shop.sku}-X at {shop.place}: the ledger has entries, there is no row",
    ]
    assert (await shop.report()).fault_count == 0


async def test_a_ledger_whose_beginning_is_archived_sums_up_from_its_opening(shop: Shop) -> None:
    """Two of three entries are archived: with the opening all adds up, with another one it does not."""
    shop.run(
        "WITH archived AS (DELETE FROM stock_movements WHERE sku = %(sku)s AND version <= 2 RETURNING *)"
        " INSERT INTO ledger_openings"
        " SELECT sku, location_id, version, on_hand, reserved, backordered, in_transit FROM archived"
        " WHERE version = 2"
    )
    assert (await shop.report()).faults == []
    with shop.spoilt(
        "UPDATE ledger_openings SET on_hand = on_hand + 1 WHERE sku = %(sku)s",
        "UPDATE ledger_openings SET on_hand = on_hand - 1 WHERE sku = %(sku)s",
    ):
        report = await shop.report()
    assert report.faults == [
        f"{shop.sku} at {shop.place}: the row says [18, 0, 0, 0, 3], the ledger sums up to [19, 0, 0, 0, 3]",
        f"{shop.sku} at {shop.place}: the ledger's entry 3 does not follow from the one before it",
    ]
    assert (await shop.report()).fault_count == 0


async def test_a_shop_at_work_reconciles(shop: Shop) -> None:
    """A level that changes all the time is never taken for a difference."""
    changes = 0

    async def work() -> None:
        nonlocal changes
        async with shop.stack.client("tester") as client:
            while True:
                await client.add_stock(
                    pb.AddStockRequest(
                        sku=shop.sku, location_id=shop.place, quantity=1, reason=MOVEMENT_REASON_RECEIPT
                    )
                )
                changes += 1

    workers = [asyncio.create_task(work()) for _ in range(4)]
    try:
        for _ in range(10):
            assert (await shop.report(wait=10)).faults == []
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    assert changes > 10
