"""What is done to a generation beside the stream of changes: filled, looked at as it is stored, put right."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from redis.asyncio import Redis

from query_svc.read_model import functions, scan
from query_svc.read_model.apply import Applied, command
from query_svc.read_model.connection import open_redis
from query_svc.read_model.feed_writing import NOTHING
from query_svc.read_model.index_maintenance import IndexMaintenance
from query_svc.read_model.keys import BUCKETS, Keys
from query_svc.read_model.line import Command, Line
from query_svc.read_model.naming import KINDS, Name, empty_row, entries_of, message_of, name_of, stored_row
from query_svc.read_model.owned import Owned
from query_svc.read_model.rows import Changes, Row, Versioned, rows_of
from query_svc.read_model.values import version_of

_Look = tuple[str, str]
"""A command that answers with one thing for each of several names, and the key it is about."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored of a thing, beside what should be: its value, None if there is none, and its entries."""

    expected: Row
    value: bytes | None
    entries: bytes
    unlisted: tuple[str, ...]
    """Indexes in which it does not stand, though it should."""

    @property
    def version(self) -> int:
        """Return the version that is stored, 0 if there is none."""
        return version_of(self.value) if self.value else 0

    @property
    def matches(self) -> bool:
        """Tell whether it is stored as it should be, entries in indexes included."""
        return (
            self.value == self.expected.value
            and self.entries.decode() == self.expected.current
            and not self.unlisted
        )


class Maintenance(Owned):
    """Works on one generation, whoever else writes to it: versions decide, and what is replaced was seen.

    Raises ReadModelUnavailableError when Redis does not answer. The client must answer in bytes and speak
    RESP3; it is owned: close it, or use this as a context manager.
    """

    def __init__(self, redis: Redis, generation: str, *, timeout: float = 5.0) -> None:
        self.generation = generation
        self._redis = redis
        self._line = Line(redis, timeout)
        self._keys = Keys(generation)
        self.indexes = IndexMaintenance(self._line, self._keys)
        """The same for what stands in the indexes."""

    async def put(self, changes: Changes) -> Applied:
        """Take what is newer than what is there. One round trip."""
        grouped: dict[int, list[Row]] = defaultdict(list)
        for row in rows_of(changes, self._keys):
            grouped[row.bucket].append(row)
        commands = [command(self._keys, bucket, rows, NOTHING) for bucket, rows in grouped.items()]
        counts = await functions.call(self._line, commands)
        return Applied(sum(count[0] for count in counts), sum(count[1] for count in counts))

    async def shows(self, kind: str, things: Sequence[Versioned]) -> bool:
        """Tell whether all things of a kind are stored as they should be. One round trip.

        Quicker than `stored`, for whole answers are compared.
        """
        fields: dict[str, list[str]] = defaultdict(list)
        values: dict[str, list[bytes | None]] = defaultdict(list)
        members: dict[str, list[str]] = defaultdict(list)
        for row in rows_of(Changes.of(kind, things), self._keys):
            fields[row.key].append(row.field)
            values[row.key].append(row.value)
            entries = self._keys.entries(row.bucket)
            fields[entries].append(f"{row.key}\0{row.field}")
            values[entries].append(row.current.encode() or None)
            for index, name in entries_of(row):
                members[self._keys.of_bucket(row.bucket, index)].append(name)
        hashes: list[Command] = [("HMGET", key, *names) for key, names in fields.items()]
        listed: list[Command] = [("ZMSCORE", key, *names) for key, names in members.items()]
        answers = await self._line.ask([*hashes, *listed])
        return answers[: len(hashes)] == list(values.values()) and not any(
            None in scores for scores in answers[len(hashes) :]
        )

    async def stored(self, kind: str, things: Sequence[Versioned]) -> list[Stored]:
        """Return what is stored of things of a kind, which is a field of Changes. One round trip."""
        rows = list(rows_of(Changes.of(kind, things), self._keys))
        looks = [self._looks(row) for row in rows]
        # One command for each key; its answers come in the order in which they are wanted.
        wanted: dict[_Look, list[str]] = defaultdict(list)
        for row, (value, text, scores) in zip(rows, looks, strict=True):
            wanted[value].append(row.field)
            wanted[text].append(f"{row.key}\0{row.field}")
            for score, _, name in scores:
                wanted[score].append(name)
        answers = await self._line.ask([(*of, *names) for of, names in wanted.items()])
        found = {of: iter(answer) for of, answer in zip(wanted, answers, strict=True)}
        return [
            Stored(
                row,
                next(found[value]),
                next(found[text]) or b"",
                tuple([index for score, index, _ in scores if next(found[score]) is None]),
            )
            for row, (value, text, scores) in zip(rows, looks, strict=True)
        ]

    async def replace(self, stored: Stored) -> bool:
        """Put what should be in the place of what was seen; False if something else is there by now."""
        row = stored.expected
        former = "" if stored.value is None else self._kept(row, stored.value)
        return await self._replace([(row, stored.value or b"", row.value, former)]) > 0

    async def remove(self, kind: str, name: Name) -> Versioned | None:
        """Take away what is stored of a name, which nothing should be, and return it; None if it was gone."""
        row = empty_row(self._keys, kind, name)
        (value,) = await self._line.ask([("HGET", row.key, row.field)])
        if value is None or not await self._replace([(row, value, b"", self._kept(row, value))]):
            return None
        try:
            return message_of(kind, name, value)
        except DecodeError:
            return KINDS[kind]()

    async def retire(self, kind: str, versions: Mapping[Name, int]) -> int:
        """Take away what is stored of some names, up to the version of each; return how many that were.

        What has become newer stays. Each goes with its entries in the indexes, in one step. Two round trips.
        """
        rows = [empty_row(self._keys, kind, name) for name in versions]
        values = await self._line.ask([("HGET", row.key, row.field) for row in rows])
        return await self._replace(
            [
                (row, value, b"", self._kept(row, value))
                for row, value, version in zip(rows, values, versions.values(), strict=True)
                if value is not None and version_of(value) <= version
            ]
        )

    async def names(self, kind: str) -> AsyncIterator[list[Name]]:
        """Yield the name of everything of a kind there is, in pages and in no order; some may come twice.

        Many round trips. What comes or goes meanwhile may or may not be among them.
        """
        if kind not in {"levels", "lots"}:
            for bucket in range(BUCKETS):
                key = self._keys.of_bucket(bucket, kind)
                async for fields in scan.fields(self._line, key):
                    yield [(field.decode(),) for field in fields]
            return
        pattern = self._keys.of_skus(kind)
        async for keys in scan.keys(self._line, pattern):
            found = await self._line.ask([("HKEYS", key) for key in keys])
            yield [
                (self._keys.sku_of_levels(key.decode()), *field.decode().split("\0"))
                for key, fields in zip(keys, found, strict=True)
                for field in fields
            ]

    def message(self, kind: str, stored: Stored, name: Name) -> Versioned | None:
        """Return what is stored as a message; None if there is none, or none that can be decoded."""
        try:
            return None if stored.value is None else message_of(kind, name, stored.value)
        except DecodeError:
            return None

    async def joined(self) -> bool:
        """Tell whether a projector applies the stream to every bucket."""
        sizes = await self._line.ask([("HLEN", self._keys.offsets(bucket)) for bucket in range(BUCKETS)])
        return all(sizes)

    async def discard(self) -> int:
        """Remove some of the generation's keys and return how many; 0 when none is left.

        The offsets go first: whoever still means to write here is refused.
        """
        positions = [self._keys.offsets(bucket) for bucket in range(BUCKETS)]
        await self._line.ask([("DEL", key) for key in [*positions, self._keys.mark_positions]])
        async for keys in scan.keys(self._line, self._keys.pattern()):
            await self._line.ask([("UNLINK", key) for key in keys])
            return len(keys)
        return 0

    async def release(self) -> None:
        """Close its own connection, and leave the client open."""
        await self._line.close()

    async def close(self) -> None:
        """Close every connection."""
        await self.release()
        await self._redis.aclose()

    async def _replace(self, replacements: Sequence[tuple[Row, bytes, bytes, str]]) -> int:
        """Put values in the place of those that were seen; return in how many places they were still there.

        Each is a row, the value that was seen, the one to put, and the entries for ever of the former.
        """
        commands = [functions.replacement(self._keys, *one) for one in replacements]
        return sum(await functions.call(self._line, commands)) if commands else 0

    def _looks(self, row: Row) -> tuple[_Look, _Look, list[tuple[_Look, str, str]]]:
        """Return where to look for a row's value, for its entries as text and for each entry.

        Of an entry, its index and the member too.
        """
        scores = [
            (("ZMSCORE", self._keys.of_bucket(row.bucket, index)), index, name)
            for index, name in entries_of(row)
        ]
        return ("HMGET", row.key), ("HMGET", self._keys.entries(row.bucket)), scores

    def _kept(self, row: Row, value: bytes) -> str:
        """Return the entries that a stored value has for ever, as far as it can be decoded."""
        stored = stored_row(self._keys, *name_of(row), value)
        return stored.kept if stored else ""


def connect_maintenance(url: str, generation: str, *, timeout: float = 5.0) -> Maintenance:
    """Return the maintenance of a generation in the Redis at `url`; nothing is connected yet."""
    return Maintenance(open_redis(url, timeout), generation, timeout=timeout)
