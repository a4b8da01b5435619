"""The way to the database is cut for a while, without its restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from command_svc.domain.stock import AddStock, RemoveStock
from command_svc.store.errors import StoreError
from tests.door import Door
from tests.integration.command_svc.lanes import ask, lane, store
from tests.integration.command_svc.shop import Row, Shop

pytestmark = pytest.mark.stack


@pytest.fixture
async def door(shop: Shop) -> AsyncIterator[Door]:
    """Give an open way to the database."""
    async with Door.to(shop.url) as door:
        yield door


@pytest.mark.slow
async def test_the_database_is_found_again_at_once_however_long_it_was_away(shop: Shop, door: Door) -> None:
    async with store(door.instead(shop.url)) as one:

        async def answers() -> bool:
            """Ask as health does."""
            try:
                async with asyncio.timeout(1):
                    await one.ping()
            except (StoreError, TimeoutError):
                return False
            return True

        assert await answers()
        await door.shut()
        away_since = time.monotonic()
        while time.monotonic() < away_since + 9:
            assert not await answers()
            await asyncio.sleep(0.5)
        await door.open()
        back_since = time.monotonic()
        while not await answers():
            assert time.monotonic() < back_since + 3
        assert await answers()


async def test_a_commit_whose_answer_was_lost_is_not_carried_out_again(shop: Shop, door: Door) -> None:
    """The connection breaks at every point of a transaction in turn; the tries after it find out."""
    await shop.carry_out(AddStock(shop.north, 1000, "RECEIPT"))
    async with lane(door.instead(shop.url)) as batcher:
        for number in range(40):
            asked = shop.one(RemoveStock(shop.north, 1, "SALE"), f"cut-{number}")
            answering = asyncio.create_task(ask(batcher, [asked]))
            await asyncio.sleep(number * 0.00015)
            await door.cut()
            ((answer,),) = await answering
            assert isinstance(answer, bytes)
    assert shop.audit() == {shop.north: Row(960, 41)}
