"""Walking everything that there is, a page at a time and in no order.

What is there throughout is found, perhaps more than once; what comes or goes meanwhile may be. Commands of
Redis 7.0 alone.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from redis.exceptions import ResponseError

from query_svc.read_model.line import Command, Line

COUNT = 500
# Of each of several sorted sets at once; a small one comes whole.
MEMBERS = 64


async def keys(line: Line, pattern: str) -> AsyncIterator[list[bytes]]:
    """Yield the keys that match, of every node of a cluster."""
    for server in await line.servers():
        async for page in _pages(
            lambda cursor: ("SCAN", cursor, "MATCH", pattern, "COUNT", COUNT), server.ask
        ):
            yield page


async def fields(line: Line, key: str) -> AsyncIterator[list[bytes]]:
    """Yield the fields of a hash."""
    async for page in _pages(lambda cursor: ("HSCAN", key, cursor, "COUNT", COUNT), line.ask):
        yield page[::2]


async def members(line: Line, keys: Sequence[str]) -> AsyncIterator[list[tuple[str, bytes]]]:
    """Yield the members of several sorted sets, each with the key of its set; one round trip a page."""
    cursors = dict.fromkeys(keys, b"0")
    while cursors:
        answers = await line.ask(
            [("ZSCAN", key, cursor, "COUNT", MEMBERS) for key, cursor in cursors.items()]
        )
        found = list(zip(cursors, answers, strict=True))
        if page := [(key, name) for key, (_, scored) in found for name in scored[::2]]:
            yield page
        cursors = {key: cursor for key, (cursor, _) in found if cursor != b"0"}


async def _pages(
    command: Callable[[bytes], Command], ask: Callable[[list[Command]], Awaitable[list[Any]]]
) -> AsyncIterator[list[bytes]]:
    cursor = b"0"
    while True:
        (answer,) = await ask([command(cursor)])
        if isinstance(answer, ResponseError):
            raise answer
        cursor, page = answer
        if page:
            yield page
        if cursor == b"0":
            return
