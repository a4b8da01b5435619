"""A view that is as far behind as a test lets it be, and the queries answered from it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from cdc.projector import project
from command_svc.domain.levels import LevelKey
from command_svc.domain.stock import AddStock
from inventory.query.v1 import consistency_pb2 as pb
from inventory.query.v1 import stock_query_service_pb2 as stock
from inventory.query.v1.order_query_service_pb2_grpc import OrderQueryServiceStub
from inventory.query.v1.stock_query_service_pb2_grpc import StockQueryServiceStub
from query_svc.read_model import ReadModelWriter
from serving import tokens
from tests.integration.command_svc.story import Story

if TYPE_CHECKING:
    from inventory.query.v1.order_query_service_pb2_grpc import OrderQueryServiceAsyncStub
    from inventory.query.v1.stock_query_service_pb2_grpc import StockQueryServiceAsyncStub

NO_TOKEN = pb.Consistency()
FULLY = pb.Consistency(fully_consistent=True)


class World:
    """The query service, and the projector's work done by hand."""

    def __init__(self, channel: grpc.aio.Channel, story: Story, writer: ReadModelWriter) -> None:
        self.stub: StockQueryServiceAsyncStub = StockQueryServiceStub(channel)
        self.orders: OrderQueryServiceAsyncStub = OrderQueryServiceStub(channel)
        self.story = story
        self._writer = writer

    async def project(self) -> None:
        """Apply what the view has not applied of the journal."""
        rows = self.story.ask("SELECT payload FROM journal ORDER BY create_time, id, part")
        start = await self._writer.resume("journal")
        if start is None:
            await self._writer.fill(len(rows))
        done = project([bytes(row["payload"]) for row in rows[start or 0 :]])
        assert done.fault is None
        await self._writer.apply(done.changes, len(rows), done.commits)
        await self._writer.settle()

    def token(self) -> str:
        """Return the token of the newest transaction."""
        (row,) = self.story.ask(
            "SELECT journal.id, create_time, installation.id AS installation_id FROM journal, installation"
            " ORDER BY create_time DESC LIMIT 1"
        )
        return tokens.encode(row["id"], row["create_time"], row["installation_id"])

    def newest(self) -> pb.Consistency:
        """Return the demand for the newest transaction."""
        return pb.Consistency(at_least_as_fresh=self.token())

    async def ask(self, level: LevelKey, consistency: pb.Consistency = NO_TOKEN) -> tuple[int, pb.Freshness]:
        """Return what is on hand, and how fresh that is."""
        request = stock.GetStockLevelRequest(
            sku=level.sku, location_id=level.location_id, consistency=consistency
        )
        answer = await self.stub.GetStockLevel(request, timeout=5)
        return answer.level.on_hand, answer.freshness

    async def until(self, level: LevelKey, source: pb.Source.ValueType) -> pb.Freshness:
        """Ask until the answer comes from a source."""
        async with asyncio.timeout(20):
            while True:
                try:
                    _, freshness = await self.ask(level)
                    if freshness.source == source:
                        return freshness
                except grpc.aio.AioRpcError as error:
                    assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017 - until it is back
                await asyncio.sleep(0.05)


async def level_of(story: Story) -> LevelKey:
    """Return a level that holds 7."""
    level = LevelKey(await story.item("mug"), await story.place("north"))
    await story.all(AddStock(level, 7, "RECEIPT"))
    return level


async def refused(call: Awaitable[object]) -> str:
    """Return the reason of a refusal."""
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await call
    info = error_details_pb2.ErrorInfo()
    packed = dict(refusal.value.trailing_metadata() or ())["grpc-status-details-bin"]
    assert status_pb2.Status.FromString(packed).details[0].Unpack(info)
    return str(info.reason)
