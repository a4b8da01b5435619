"""Applying the stream to every generation that is written: the live one, and the one a rebuild works on."""

from redis.asyncio import Redis

from query_svc.read_model.apply import Applied, Gap, ReadModelWriter
from query_svc.read_model.connection import open_redis
from query_svc.read_model.errors import ReadModelRewoundError
from query_svc.read_model.feed_writing import FEED_ENTRIES
from query_svc.read_model.generations import Generations, Plan
from query_svc.read_model.keys import GENERATION
from query_svc.read_model.marks import Commits
from query_svc.read_model.owned import Owned
from query_svc.read_model.rows import Changes


class GenerationsWriter(Owned):
    """Writes what a ReadModelWriter does, to all generations of the plan; its contract is the same.

    A plan that has changed is reported by `verify` as a ReadModelRewoundError: `resume` takes it up.
    """

    def __init__(
        self,
        redis: Redis,
        family: str = GENERATION,
        *,
        timeout: float = 5.0,
        feed_entries: int = FEED_ENTRIES,
    ) -> None:
        self._redis = redis
        self._feed_entries = feed_entries
        self._timeout = timeout
        self._generations = Generations(redis, family, timeout=timeout)
        self._plan = Plan(family)
        self._writers: dict[str, ReadModelWriter] = {}

    async def resume(self, source: str) -> int | None:
        """Return the offset from which on some generation lacks `source`; None: from the beginning.

        A generation that is new begins where the live one is: what came before is filled in from the rows.
        """
        plan = await self._generations.read()
        former = self._writers
        self._writers = {name: former.get(name) or self._writer(name) for name in plan.written}
        for name in former.keys() - self._writers.keys():
            await former[name].release()
        self._plan = plan
        live = await self._live.resume(source)
        offsets, as_of = [live], await self._live.as_of()
        for name, writer in self._writers.items():
            if name != plan.live:
                offsets.append(await writer.join(source, live or 0, as_of))
        known = [offset for offset in offsets if offset is not None]
        return min(known) if len(known) == len(offsets) else None

    async def fill(self, goal: int) -> None:
        """Say that the live generation lacks what was before: it is whole with the source up to `goal`."""
        await self._live.fill(goal)

    async def apply(self, changes: Changes, offset: int, commits: Commits = Commits()) -> Applied:  # noqa: B008 - it never changes
        """Apply changes of which `offset` is the end, then mark the transactions.

        What is marked in one generation is applied in all: who has seen the mark may read another one by
        now. Returns what came of it in the live one.
        """
        applied = {name: await writer.write(changes, offset) for name, writer in self._writers.items()}
        for writer in self._writers.values():
            await writer.mark(commits)
        return applied[self._plan.live]

    def take_gaps(self) -> list[Gap]:
        """Return the gaps that were noticed in the live generation since the last call.

        One that is being filled lacks much that is still to come.
        """
        gaps = {name: writer.take_gaps() for name, writer in self._writers.items()}
        return gaps[self._plan.live]

    async def settle(self) -> None:
        """Give the offset of the last `apply` to all buckets."""
        for writer in self._writers.values():
            await writer.settle()

    async def verify(self) -> None:
        """Return when the plan is the same, and every generation holds the offsets that were left there."""
        if (plan := await self._generations.read()).written != self._plan.written:
            raise ReadModelRewoundError(f"the generations to write are {plan.written} now")
        for writer in self._writers.values():
            await writer.verify()

    async def ping(self) -> None:
        """Return when Redis answers."""
        await self._generations.read()

    async def close(self) -> None:
        """Close every connection."""
        for writer in self._writers.values():
            await writer.release()
        await self._generations.close()

    @property
    def _live(self) -> ReadModelWriter:
        return self._writers[self._plan.live]

    def _writer(self, generation: str) -> ReadModelWriter:
        return ReadModelWriter(
            self._redis, generation, timeout=self._timeout, feed_entries=self._feed_entries
        )


def connect_generations_writer(
    url: str, *, family: str = GENERATION, timeout: float = 5.0, feed_entries: int = FEED_ENTRIES
) -> GenerationsWriter:
    """Return a writer to the Redis at `url` (see open_redis); nothing is connected yet.

    A bucket's feed keeps about `feed_entries` changes.
    """
    return GenerationsWriter(open_redis(url, timeout), family, timeout=timeout, feed_entries=feed_entries)
