"""One connection to one Redis server that all callers of a process share.

In place of the client's own pool and pipelines: 3.5 times as many reads of one level by 32 callers at once,
and 4 times as many levels read by 100 (ratios within one run of `make bench` on two shared cores).
"""

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from typing import Any

from hiredis import pack_command
from redis.asyncio.client import PubSub
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import RedisError, ResponseError

from query_svc.read_model.errors import ReadModelUnavailableError, translated

Command = tuple[str | bytes | int, ...]
"""A command's name and its arguments."""


class Server:
    """Sends commands as they come, and gives each caller its answers, which return in the same order.

    Commands of one turn of the event loop leave together. A connection that breaks, or on which somebody
    waited in vain, fails everybody who waits on it; the next caller opens another. `timeout`, in seconds, is
    the longest that a call takes, connecting included.
    """

    def __init__(self, pool: ConnectionPool, timeout: float) -> None:
        self._pool = pool
        self._timeout = timeout
        self._opening = asyncio.Lock()
        self._open: _Connection | None = None
        self._replaced = 0

    @property
    def losses(self) -> int:
        """How many connections have broken. While that stays the same, it has been the same server."""
        return self._replaced + (self._open is not None and self._open.broken)

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Return the answers to the commands, a refusal among them as the error it is.

        They are sent in one go and all carried out. Raise ReadModelUnavailableError when Redis does not
        answer in time.
        """
        packed = [pack_command(command) for command in commands]  # type: ignore[arg-type] # it takes any length
        with translated():
            if self._open is not None and not self._open.broken:
                # It keeps the time itself: a timeout for each call would cost a quarter of a read.
                return await self._open.ask(packed)
            try:
                async with asyncio.timeout(self._timeout):
                    return await (await self._connection()).ask(packed)
            except TimeoutError as error:
                raise ReadModelUnavailableError(_silence(self._timeout)) from error

    def pubsub(self) -> PubSub:
        """Return what subscribes, on a connection of its own; a context manager."""
        return PubSub(self._pool, ignore_subscribe_messages=True)

    async def close(self) -> None:
        """Close the connection, and fail whoever still waits on it."""
        async with self._opening:  # who is connecting has then either got the connection or given it up
            if self._open is not None:
                self._open.close()
                await self._open.closed()

    async def _connection(self) -> "_Connection":
        if self._open is None or self._open.broken:
            async with self._opening:
                if self._open is None or self._open.broken:
                    opened = _Connection(await self._connect(), self._timeout)
                    self._replaced += self._open is not None
                    self._open = opened
        return self._open

    async def _connect(self) -> AbstractConnection:
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection


class _Connection:
    """A connection until it breaks, as when somebody has waited on it for `timeout` seconds.

    Must be made where an event loop runs.
    """

    def __init__(self, connection: AbstractConnection, timeout: float) -> None:
        self.broken = False
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout
        # Who waits for how many answers until when, in the order of the commands.
        self._waiting: deque[tuple[asyncio.Future[list[Any]], int, float]] = deque()
        # One timer for all who wait: it goes off when the first may have waited too long.
        self._watch: asyncio.TimerHandle | None = None
        self._cause = "closed"
        self._outgoing: list[bytes] = []
        self._sender: asyncio.Task[None] | None = None
        self._reader = asyncio.create_task(self._read(), name="redis answers")

    async def ask(self, packed: list[bytes]) -> list[Any]:
        """Return the answers, a refusal among them as the error it is. Raise LostError if it breaks."""
        if not packed:
            return []
        answers: asyncio.Future[list[Any]] = self._loop.create_future()
        deadline = self._loop.time() + self._timeout
        self._waiting.append((answers, len(packed), deadline))
        if self._watch is None:
            self._watch = self._loop.call_at(deadline, self._look)
        self._outgoing += packed
        if self._sender is None:
            self._sender = asyncio.create_task(self._send(), name="redis commands")
        return await answers

    def close(self) -> None:
        """Break it, and fail whoever still waits on it."""
        self._reader.cancel()
        self._break()

    def _break(self) -> None:
        self.broken = True
        if self._watch is not None:
            self._watch.cancel()
        for waiting, *_ in self._waiting:
            if not waiting.done():
                waiting.set_exception(LostError(f"the connection is lost: {self._cause}"))

    def _look(self) -> None:
        """Break it if the first who waits has waited too long; else look again when that may be."""
        self._watch = None
        if not self._waiting:
            return
        deadline = self._waiting[0][2]
        if self._loop.time() < deadline:
            self._watch = self._loop.call_at(deadline, self._look)
        else:
            self._cause = _silence(self._timeout)
            self.close()

    async def closed(self) -> None:
        """Return when it is closed."""
        await asyncio.wait([self._reader])
        # Cancelled before its first turn, the reader has closed nothing.
        await self._connection.disconnect(nowait=True)

    async def _send(self) -> None:
        try:
            while self._outgoing:
                packed, self._outgoing = b"".join(self._outgoing), []
                await self._connection.send_packed_command(packed, check_health=False)
        except RedisError:
            self.close()
        self._sender = None

    async def _read(self) -> None:
        try:
            while True:
                answers = [await self._answer()]
                waiting, count, _ = self._waiting[0]
                while len(answers) < count:
                    answers.append(await self._answer())
                self._waiting.popleft()
                if not waiting.done():  # its caller may have left
                    waiting.set_result(answers)
        except RedisError as error:
            self._cause = str(error)
        finally:
            self._break()
            if (sender := self._sender) is not None:
                sender.cancel()
                await asyncio.wait([sender])  # it may be about to write
            await self._connection.disconnect(nowait=True)

    async def _answer(self) -> object:
        try:
            return await self._connection.read_response(timeout=math.inf)
        except ResponseError as error:
            return error


def _silence(seconds: float) -> str:
    return f"no answer within {seconds} s"
