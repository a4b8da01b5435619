"""The way to the database is cut for a while, without its restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from command_svc.domain.stock import AddStock, RemoveStock
from command_svc.store.errors import StoreError
from tests.integration.command_svc.lanes import ask, lane, store
from tests.integration.command_svc.shop import Row, Shop

pytestmark = pytest.mark.stack


class Door:
    """A way to the database that can be shut."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._port = 0

    @property
    def url(self) -> str:
        """The address of the database behind the door."""
        name, _, _ = self._url.netloc.rpartition(":")
        return self._url._replace(netloc=f"{name}:{self._port}").geturl()

    async def open(self) -> None:
        """Let through; the address stays the same."""
        self._server = await asyncio.start_server(self._enter, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """End every connection and take no new one."""
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._url.hostname, self._url.port)
        self._writers |= {writer, back}
        await asyncio.gather(_copy(reader, back), _copy(there, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture
async def door(shop: Shop) -> AsyncIterator[Door]:
    """Give an open door to the database."""
    door = Door(shop.url)
    await door.open()
    yield door
    await door.shut()


@pytest.mark.slow
async def test_the_database_is_found_again_at_once_however_long_it_was_away(door: Door) -> None:
    async with store(door.url) as one:

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
    async with lane(door.url) as batcher:
        for number in range(40):
            asked = shop.one(RemoveStock(shop.north, 1, "SALE"), f"cut-{number}")
            answering = asyncio.create_task(ask(batcher, [asked]))
            await asyncio.sleep(number * 0.00015)
            await door.shut()
            await door.open()
            ((answer,),) = await answering
            assert isinstance(answer, bytes)
    assert shop.audit() == {shop.north: Row(960, 41)}
