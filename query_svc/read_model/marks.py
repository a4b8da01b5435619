"""Which transactions the view holds: a stream of marks, written behind what they stand for."""

from collections.abc import Sequence
from typing import NamedTuple

from redis.asyncio import Redis

from query_svc.read_model import functions
from query_svc.read_model.connection import open_redis
from query_svc.read_model.generations import LiveKeys
from query_svc.read_model.keys import GENERATION, Keys
from query_svc.read_model.line import Command, Line
from query_svc.read_model.owned import Owned

ID_BYTES = 16
KEPT_MILLISECONDS = 5 * 60 * 1000
"""Marks are kept of the transactions of this time before the newest."""
PAGE = 200


class Commits(NamedTuple):
    """Whole transactions: their ids, of 16 bytes each, and when the newest was recorded.

    The time is in milliseconds since 1970, 0 when there is none.
    """

    ids: Sequence[bytes] = ()
    record_time: int = 0


class Mark(NamedTuple):
    """What the view has come to hold.

    ids: the transactions that came with it.
    as_of: everything committed until then is in the view; in milliseconds since 1970, 0 if not known.
    whole: false while the view is being filled: then much is missing that was committed long before.
    """

    ids: Sequence[bytes]
    as_of: int
    whole: bool


class MarkPosition:
    """How far the marks of one source are written: as a bucket's position, and kept with it in step."""

    def __init__(self, line: Line, keys: Keys) -> None:
        self._line = line
        self._keys = keys
        self._source = ""
        self._offset = b""

    @property
    def offset(self) -> bytes:
        """The offset up to which transactions are marked, empty if none ever was."""
        return self._offset

    async def as_of(self) -> int:
        """Return the milliseconds since 1970 up to which the view holds everything, 0 if not known."""
        (held,) = await self._line.ask([("HGET", self._keys.mark_positions, "as_of")])
        return int(held or 0)

    async def resume(self, source: str) -> bytes:
        """Return the offset up to which the source's transactions are marked, empty if none ever was."""
        (held,) = await self._line.ask([("HGET", self._keys.mark_positions, source)])
        self._source, self._offset = source, held or b""
        return self._offset

    async def fill(self, goal: int) -> None:
        """Say that the view lacks what was before: it is whole once the source is applied up to `goal`."""
        await self._line.ask([("HSET", self._keys.mark_positions, f"{self._source}:goal", goal)])

    async def write(self, commits: Commits, offset: bytes) -> None:
        """Mark transactions, of which `offset` is the end. All of them must have been applied.

        Raise ResponseError REWOUND when another offset is there than was left.
        """
        arguments = (
            self._source,
            self._offset,
            offset,
            commits.record_time,
            KEPT_MILLISECONDS,
            b"".join(commits.ids),
        )
        keys = (self._keys.mark_positions, self._keys.marks)
        await self._line.ask([("FCALL", functions.MARK, len(keys), *keys, *arguments)])
        self._offset = offset


class Marks(Owned):
    """Follows the marks of the live generation, on a connection of its own. One reader at a time.

    Every method raises ReadModelUnavailableError when Redis does not answer in time.
    """

    def __init__(self, redis: Redis, generation: str = GENERATION, *, timeout: float = 1.0) -> None:
        self._redis = redis
        self._line = Line(redis, timeout)
        self._wait = int(timeout * 500)
        self._live = LiveKeys(self._line, generation)
        self._generation = ""
        self._last: bytes = b"0"

    def rewind(self) -> None:
        """Begin again with the oldest mark there is."""
        self._last = b"0"

    async def read(self) -> list[Mark]:
        """Return the next marks, at most PAGE; wait for the first, half the timeout at most."""
        keys = await self._live.get()
        if keys.generation != self._generation:
            # What another generation has marked is numbered otherwise.
            self._generation, self._last = keys.generation, b"0"
        command: Command = ("XREAD", "BLOCK", self._wait, "COUNT", PAGE, "STREAMS", keys.marks, self._last)
        (answer,) = await self._line.ask([command])
        if not answer:
            return []
        (entries,) = answer.values()
        self._last = entries[-1][0]
        return [_mark(*entry) for entry in entries]

    async def close(self) -> None:
        """Close the connection."""
        await self._line.close()
        await self._redis.aclose()


async def newest(line: Line, keys: Keys) -> Mark | None:
    """Return the newest mark, None if there is none."""
    (answer,) = await line.ask([("XREVRANGE", keys.marks, "+", "-", "COUNT", 1)])
    return _mark(*answer[0]) if answer else None


def connect_marks(url: str, *, generation: str = GENERATION, timeout: float = 1.0) -> Marks:
    """Return the marks in the Redis at `url` (see open_redis); nothing is connected yet."""
    return Marks(open_redis(url, timeout), generation, timeout=timeout)


def _mark(name: bytes, fields: Sequence[bytes]) -> Mark:
    values = dict(zip(fields[::2], fields[1::2], strict=True))
    ids = values[b"ids"]
    return Mark(
        [ids[start : start + ID_BYTES] for start in range(0, len(ids), ID_BYTES)],
        int(name.partition(b"-")[0]),
        values[b"whole"] == b"1",
    )
