"""A way to a server, through which all its bytes go, and that can be shut."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit


class Door:
    """Takes connections on an address of its own and passes them on; an asynchronous context manager.

    `own` is that address; by default a free port of the loopback.
    """

    def __init__(self, address: str, own: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._own_host, self._own_port = own
        self._server: asyncio.Server | None = None
        self._ways: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.shut()

    @classmethod
    def to(cls, url: str) -> Self:
        """Return a way to the server of a URL."""
        return cls(urlsplit(url).netloc.rpartition("@")[2])

    def instead(self, url: str) -> str:
        """Return a URL that leads here, and is otherwise the same."""
        parts = urlsplit(url)
        user, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{user}{at}{self.address}").geturl()

    @property
    def address(self) -> str:
        """Where to knock; it stays the same."""
        return f"{self._own_host}:{self._own_port}"

    async def open(self) -> None:
        """Let through."""
        self._server = await asyncio.start_server(self._enter, self._own_host, self._own_port)
        self._own_port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """End every connection, as a network does that fails, and take no new one."""
        if self._server is not None:
            self._server.close()
        for writer in self._ways.values():
            writer.transport.abort()
        await asyncio.gather(*self._ways, return_exceptions=True)

    async def cut(self) -> None:
        """End every connection; new ones are let through."""
        await self.shut()
        await self.open()

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._host, self._port)
        ways = [
            asyncio.create_task(_pass(reader, back)),
            asyncio.create_task(_pass(there, writer)),
        ]
        for way, end in zip(ways, (back, writer), strict=True):
            self._ways[way] = end
            way.add_done_callback(self._ways.pop)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):  # a connection that is ended by force says so to both sides
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
