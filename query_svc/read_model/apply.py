"""Writing the read model: only what is newer, with the position of its source in the same step."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from query_svc.read_model import functions
from query_svc.read_model.connection import open_redis
from query_svc.read_model.errors import ReadModelRefusedError, ReadModelRewoundError
from query_svc.read_model.feed_writing import FEED_ENTRIES, NOTHING, FeedPart, feed_parts
from query_svc.read_model.keys import BUCKETS, GENERATION, Keys
from query_svc.read_model.line import Command, Line
from query_svc.read_model.marks import Commits, MarkPosition
from query_svc.read_model.owned import Owned
from query_svc.read_model.rows import Changes, Row, rows_of

# A Redis that has lost the function has lost its data.
_REWOUND = ("REWOUND", "Function not found")


class Gap(NamedTuple):
    """Changes of a level that have never come: those after version `after`, up to `until`."""

    sku: str
    location_id: str
    after: int
    until: int


class Applied(NamedTuple):
    """How many changes were taken, and how many were not newer than what is there."""

    applied: int
    stale: int


class ReadModelWriter(Owned):
    """Applies the changes of one source, which are numbered by offsets, to one generation.

    Beside the data of each bucket stands the offset up to which the bucket holds the source. A call
    that finds another one there than this writer left refuses the bucket: Redis has lost data since, or
    somebody else has written.

    Call `resume` first, and again after every error: what the error left behind is not known, and what
    `resume` returns is where to read on. Redis missing is a ReadModelUnavailableError. The client must
    answer in bytes and speak RESP3; it is owned: close it, or use the writer as a context manager.
    """

    def __init__(
        self,
        redis: Redis,
        generation: str = GENERATION,
        *,
        timeout: float = 5.0,
        feed_entries: int = FEED_ENTRIES,
    ) -> None:
        self._redis = redis
        self._line = Line(redis, timeout)
        self._keys = Keys(generation)
        self._marked = MarkPosition(self._line, self._keys)
        self._feed_entries = feed_entries
        self._begun: int | None = None
        self._source = ""
        self._offsets: list[bytes] = [b""] * BUCKETS
        self._end = b""
        self._gaps: list[Gap] = []

    async def resume(self, source: str) -> int | None:
        """Return the offset from which on some bucket or mark lacks `source`; None: from the beginning."""
        await functions.load(self._line)
        self._source, self._end, self._begun = source, b"", None
        self._offsets = await self._read_offsets()
        held = [*self._offsets, await self._marked.resume(source)]
        return None if b"" in held else min(map(int, held))

    async def fill(self, goal: int) -> None:
        """Say that the view lacks what was before: it is whole with the source applied up to `goal`."""
        await self._marked.fill(goal)

    async def join(self, source: str, offset: int, as_of: int) -> int:
        """Do as `resume`, and let what has never held `source` begin at an offset.

        `as_of` is what `as_of` returns of a generation that holds everything up to that offset.
        """
        await self.resume(source)
        self._begun, self._end = offset, b"%d" % offset
        with _told():
            if not self._marked.offset:
                await self._marked.write(Commits((), as_of), self._end)
        await self._call({bucket: () for bucket, held in enumerate(self._offsets) if not held}, {})
        self._begun, self._end = None, b""
        return min(map(int, [*self._offsets, self._marked.offset]))

    async def as_of(self) -> int:
        """Return the milliseconds since 1970 up to which everything committed is marked, 0 if not known."""
        return await self._marked.as_of()

    async def apply(self, changes: Changes, offset: int, commits: Commits = Commits()) -> Applied:  # noqa: B008 - it never changes
        """Apply changes of which `offset` is the end: the next offset to read. Then mark the transactions.

        What is newer of the changes that are told goes to the feed. A level that becomes newer without them
        makes its feed begin anew.

        Two round trips. Applying something again changes nothing. The buckets that the changes touch get the
        offset, and so do the marks. Raise ReadModelRewoundError when one of them holds another offset than
        was left there, and ReadModelRefusedError when Redis does not take a change.
        """
        applied = await self.write(changes, offset)
        await self.mark(commits)
        return applied

    async def write(self, changes: Changes, offset: int) -> Applied:
        """Do the first half of `apply`: everything but the marks."""
        grouped: dict[int, list[Row]] = defaultdict(list)
        for row in rows_of(changes, self._keys):
            grouped[row.bucket].append(row)
        self._end = b"%d" % offset
        if self._begun is None:
            resumed = min(int(held or 0) for held in self._offsets)
            self._begun = resumed if changes.begun is None else changes.begun
        feed = feed_parts(changes.told, changes.levels, self._keys)
        return await self._call({bucket: grouped[bucket] for bucket in {*grouped, *feed}}, feed)

    async def mark(self, commits: Commits) -> None:
        """Do the second half of `apply`, for what was written last."""
        with _told():
            await self._marked.write(commits, self._end)

    def take_gaps(self) -> list[Gap]:
        """Return the gaps that were noticed since the last call."""
        gaps, self._gaps = self._gaps, []
        return gaps

    async def settle(self) -> None:
        """Give the offset of the last `apply` to the buckets it has not touched. One round trip at most.

        Until then they stand where they were, and `resume` would read the source again from there.
        Raise ReadModelRewoundError when one of them holds another offset than was left there.
        """
        behind = [bucket for bucket, offset in enumerate(self._offsets) if offset != self._end]
        if behind and self._end:
            await self._call(dict.fromkeys(behind, ()), {})

    async def verify(self) -> None:
        """Return when Redis answers and holds the offsets that were left there.

        Raise ReadModelRewoundError when it does not hold them.
        """
        for bucket, (held, left) in enumerate(zip(await self._read_offsets(), self._offsets, strict=True)):
            if held != left:
                raise ReadModelRewoundError(f"bucket {bucket} holds offset {held!r} where {left!r} was left")

    async def ping(self) -> None:
        """Return when Redis answers."""
        await self._line.ask([("PING",)])

    async def release(self) -> None:
        """Close the writer's own connection, and leave the client open."""
        await self._line.close()

    async def close(self) -> None:
        """Close every connection."""
        await self.release()
        await self._redis.aclose()

    async def _call(self, grouped: Mapping[int, Sequence[Row]], feed: Mapping[int, FeedPart]) -> Applied:
        commands = [
            command(
                self._keys,
                bucket,
                rows,
                feed.get(bucket, NOTHING),
                SourceProgress(
                    self._source, self._offsets[bucket], self._end, self._begun or 0, self._feed_entries
                ),
            )
            for bucket, rows in grouped.items()
        ]
        with _told():
            counts = await self._line.ask(commands)
        for (bucket, rows), (_, _, gaps) in zip(grouped.items(), counts, strict=True):
            self._offsets[bucket] = self._end
            for number, known in zip(gaps[::2], gaps[1::2], strict=True):
                row = rows[number - 1]
                sku = self._keys.sku_of_levels(row.key)
                self._gaps.append(Gap(sku, row.field, known, int(row.follows)))
        return Applied(sum(count[0] for count in counts), sum(count[1] for count in counts))

    async def _read_offsets(self) -> list[bytes]:
        offsets = await self._line.ask(
            [("HGET", self._keys.offsets(bucket), self._source) for bucket in range(BUCKETS)]
        )
        return [offset or b"" for offset in offsets]


@contextmanager
def _told() -> Iterator[None]:
    """Raise what says that Redis has lost data as ReadModelRewoundError, else as ReadModelRefusedError."""
    try:
        yield
    except ResponseError as error:
        if str(error).startswith(_REWOUND):
            raise ReadModelRewoundError(str(error)) from error
        raise ReadModelRefusedError(str(error)) from error


class SourceProgress(NamedTuple):
    """How far a source has been read: what the offsets must hold and what they are to; empty for no source.

    `begun` is where it began to be read; a feed keeps `feed_entries`.
    """

    source: str = ""
    held: bytes = b""
    end: bytes = b""
    begun: int = 0
    feed_entries: int = FEED_ENTRIES


NO_SOURCE = SourceProgress()


def command(
    keys: Keys, bucket: int, rows: Sequence[Row], feed: FeedPart, progress: SourceProgress = NO_SOURCE
) -> Command:
    """Return the call that applies rows of one bucket, and tells its feed.

    Of no source, there is NOTHING to tell: the function itself sees what the feed lacks then.
    """
    names = {name for indexes in {row.indexes for row in rows} for name in indexes}
    called = [keys.offsets(bucket), keys.entries(bucket), keys.feed(bucket), keys.ahead(bucket)]
    called += [row.key for row in rows]
    called += feed.keys
    called += [keys.of_bucket(bucket, name) for name in names]
    arguments: list[str | bytes | int] = [*progress[:3], len(rows)]
    for row in rows:
        arguments += (row.field, row.value, row.kept, row.current, row.follows)
    arguments += (progress.begun, progress.feed_entries, *feed.arguments)
    return ("FCALL", functions.APPLY, len(called), *called, *arguments)


def connect_writer(
    url: str, *, generation: str = GENERATION, timeout: float = 5.0, feed_entries: int = FEED_ENTRIES
) -> ReadModelWriter:
    """Return a writer to the Redis at `url` (see open_redis); nothing is connected yet.

    A call takes at most `timeout` seconds, connecting included. A bucket's feed keeps about `feed_entries`
    changes.
    """
    return ReadModelWriter(open_redis(url, timeout), generation, timeout=timeout, feed_entries=feed_entries)
