"""A process is killed in the middle of a run: every acknowledged command is everywhere exactly once."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from typing import cast
from uuid import uuid4

import psycopg
import pytest
from redis import Redis

from cdc.reconcile import reconcile
from client import DeadlineExceededError, InventoryClient, UnavailableError
from inventory.command.v1 import item_command_service_pb2, location_command_service_pb2
from inventory.command.v1 import stock_command_service_pb2 as pb
from inventory.query.v1 import stock_query_service_pb2
from inventory.type.v1.location_pb2 import LOCATION_KIND_STORE
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT, MOVEMENT_REASON_SALE, LevelName
from query_svc.read_model import connect
from tests.stack_fixture import RunningStack

pytestmark = [pytest.mark.stack, pytest.mark.slow]

TILLS = 8
COMMANDS = 60
OPENING = 100_000


async def sell(client: InventoryClient, seed: int, place: str, skus: list[str]) -> Counter[str]:
    """Sell through one till, repeating each command under its id until it is answered; return what sold."""
    rng = random.Random(seed)
    sold: Counter[str] = Counter()
    for number in range(COMMANDS):
        sku, quantity = rng.choice(skus), rng.randint(1, 9)
        command = pb.RemoveStockRequest(
            request_id=f"{place}-{seed}-{number}",
            sku=sku,
            location_id=place,
            quantity=quantity,
            reason=MOVEMENT_REASON_SALE,
        )
        async with asyncio.timeout(60):
            while True:
                try:
                    await client.remove_stock(command)
                    break
                except (UnavailableError, DeadlineExceededError):
                    # What was not acknowledged may or may not be there: the id finds out.
                    await asyncio.sleep(0.1)
        sold[sku] += quantity
        await asyncio.sleep(0.01)
    return sold


@pytest.mark.parametrize("victim", ["projector", "connect", "command", "broker"])
async def test_a_killed_process_costs_nothing(stack: RunningStack, victim: str) -> None:
    place = f"K-{uuid4().hex[:8]}"
    skus = [f"{place}-{number}" for number in range(5)]
    async with stack.client(place, timeout=20) as client:
        await client.create_location(
            location_command_service_pb2.CreateLocationRequest(
                location_id=place, name=victim, kind=LOCATION_KIND_STORE
            )
        )
        for sku in skus:
            await client.create_item(item_command_service_pb2.CreateItemRequest(sku=sku, name="Mug"))
            await client.add_stock(
                pb.AddStockRequest(
                    sku=sku, location_id=place, quantity=OPENING, reason=MOVEMENT_REASON_RECEIPT
                )
            )
        tills = [asyncio.create_task(sell(client, seed, place, skus)) for seed in range(TILLS)]
        await asyncio.sleep(0.5)
        assert not all(till.done() for till in tills)
        if victim == "projector":
            victim = await asyncio.to_thread(stack.active_projector)
        await asyncio.to_thread(stack.kill, victim)
        sold: Counter[str] = Counter()
        for till in tills:
            sold += await till
        await asyncio.to_thread(stack.wait_ready, victim)

        async with connect(stack.redis_url) as view:
            report = await reconcile(stack.postgres_url("query"), view, wait=60)
        assert report.faults == []
        names = [LevelName(sku=sku, location_id=place) for sku in skus]
        answer = await client.batch_get_stock_levels(
            stock_query_service_pb2.BatchGetStockLevelsRequest(names=names)
        )
    assert {level.sku: OPENING - level.on_hand for level in answer.levels} == dict(sold)
    with psycopg.connect(stack.postgres_url("query")) as connection:
        entries = connection.execute(
            "SELECT count(*), count(DISTINCT request_id) FROM stock_movements"
            " WHERE location_id = %s AND kind = 'REMOVE'",
            [place],
        ).fetchone()
    assert entries == (TILLS * COMMANDS, TILLS * COMMANDS)


async def test_an_emptied_view_is_filled_again_from_the_journal(stack: RunningStack) -> None:
    """Replayed from zero, the journal gives the same read model, byte for byte."""

    def contents(redis: Redis) -> dict[bytes, object]:
        rows = {
            key: {_general(name): value for name, value in redis.hgetall(key).items()}
            for key in redis.scan_iter(count=1000, _type="hash")
        }
        indexes = {key: redis.zrange(key, 0, -1) for key in redis.scan_iter(count=1000, _type="zset")}
        positions = {key for key in rows if key.endswith(b":offsets")}
        # The generation that is filled again is the first of its family.
        return {_general(key): held for key, held in {**rows, **indexes}.items() if key not in positions}

    async with connect(stack.redis_url) as view:
        with Redis.from_url(stack.redis_url) as redis:
            assert (await reconcile(stack.postgres_url("query"), view, wait=30)).faults == []
            before = contents(redis)
            assert before
            redis.flushall()
            assert (await reconcile(stack.postgres_url("query"), view, wait=60)).faults == []
            assert contents(redis) == before


def _general(key: bytes | str) -> bytes:
    """Return a key, or what begins with one, without the number of a rebuild."""
    return re.sub(rb"^(g\d+)r\d+:", rb"\1:", cast("bytes", key))
