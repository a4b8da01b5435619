"""A way to Postgres that counts the statements of each connection and stops exactly where it is told."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

SSL_REQUEST = 80_877_103
GSS_REQUEST = 80_877_104
READY = b"Z\x00\x00\x00\x05I"
"""How the server says that it has done all it was sent, and that no transaction is open."""


@dataclass
class Stop:
    """Where one connection stops: at a statement by its number, from 1, or the first that begins so.

    The `statement` and what follows it do not reach the server, or, if `answered`, they do and the server's
    answers to them do not come back. `reached` is set when nothing moves any more: an answer that is held
    has then been given; if it is not `awaited`, the statement has only just been sent. The first connection
    that comes so far has `taken` it; others pass.
    """

    statement: int | str
    answered: bool = False
    awaited: bool = True
    taken: bool = False
    reached: asyncio.Event = field(default_factory=asyncio.Event)


class WireProxy:
    """Listens on a port of its own and passes everything on to the database at `url`.

    `stop` is for the connections that are made after it was set; `statements` are those of each connection.
    """

    def __init__(self, url: str) -> None:
        self._there = urlsplit(url)
        self._port = 0
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.stop: Stop | None = None
        self.statements: list[list[str]] = []

    @property
    def url(self) -> str:
        """The address of the database behind the proxy."""
        name, _, _ = self._there.netloc.rpartition(":")
        return self._there._replace(netloc=f"{name}:{self._port}").geturl()

    def cut(self) -> None:
        """End every connection, on both sides."""
        for connection in self._connections:
            connection.cut()

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        server = await asyncio.open_connection(self._there.hostname, self._there.port)
        self.statements.append([])
        connection = _Connection((reader, writer), server, self.stop, self.statements[-1])
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            self._tasks.discard(task)


@asynccontextmanager
async def wire_proxy(url: str) -> AsyncIterator[WireProxy]:
    """Run a proxy in front of the database at `url`."""
    proxy = WireProxy(url)
    server = await asyncio.start_server(proxy._enter, "127.0.0.1", 0)  # noqa: SLF001 - its own
    proxy._port = server.sockets[0].getsockname()[1]  # noqa: SLF001
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
        await asyncio.gather(*proxy._tasks)  # noqa: SLF001


class _Connection:
    """One connection, both ways, until either side ends."""

    def __init__(
        self,
        client: Streams,
        server: Streams,
        stop: Stop | None,
        statements: list[str],
    ) -> None:
        self._client, self._to_client = client
        self._server, self._to_server = server
        self._stop = stop
        self._statements = statements
        self._prepared: dict[bytes, str] = {}
        self._bound = ""
        self._holds_requests = False
        self._holds_answers = False

    def cut(self) -> None:
        self._to_client.transport.abort()
        self._to_server.transport.abort()

    async def run(self) -> None:
        ways = [asyncio.create_task(self._requests()), asyncio.create_task(self._answers())]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        self.cut()
        await asyncio.gather(*ways)

    async def _requests(self) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while await self._greeting() in {SSL_REQUEST, GSS_REQUEST}:
                pass
            while True:
                head = await self._client.readexactly(5)
                kind, (length,) = head[:1], struct.unpack("!I", head[1:])
                body = await self._client.readexactly(length - 4)
                self._note(kind, body)
                if not self._holds_requests:
                    self._to_server.write(head + body)
                if self._holds_answers and self._stop is not None and not self._stop.awaited and kind == b"S":
                    self._stop.reached.set()

    async def _greeting(self) -> int:
        head = await self._client.readexactly(8)
        length, code = struct.unpack("!II", head)
        self._to_server.write(head + await self._client.readexactly(length - 8))
        return int(code)

    def _note(self, kind: bytes, body: bytes) -> None:
        """Take note of a message, and stop before or after it."""
        match kind:
            case b"P":
                name, statement, _ = body.split(b"\0", 2)
                self._prepared[name] = statement.decode().strip()
                return
            case b"B":
                self._bound = self._prepared[body.split(b"\0", 2)[1]]
                return
            case b"E":
                self._statements.append(self._bound)
            case b"Q":
                self._statements.append(body.rstrip(b"\0").decode().strip())
            case _:
                return
        if self._stop is None or self._stop.taken or not self._is_here():
            return
        self._stop.taken = True
        if self._stop.answered:
            self._holds_answers = True
        else:
            self._holds_requests = True
            self._stop.reached.set()

    def _is_here(self) -> bool:
        assert self._stop is not None
        if isinstance(self._stop.statement, str):
            return self._statements[-1].startswith(self._stop.statement)
        return len(self._statements) == self._stop.statement

    async def _answers(self) -> None:
        held = b""
        with suppress(OSError):
            while data := await self._server.read(65_536):
                if not self._holds_answers:
                    self._to_client.write(data)
                    continue
                held += data
                if self._stop is not None and held.endswith(READY):
                    self._stop.reached.set()
