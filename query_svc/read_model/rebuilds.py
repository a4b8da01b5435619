"""What is known of rebuilds beside the plan: who began the last one, and who is at work on it.

None of it decides what is read or written; that the plan does, also where two are at work at once.
"""

import json
from dataclasses import asdict, dataclass, fields
from typing import cast

from redis.asyncio import Redis

from query_svc.read_model.connection import open_redis
from query_svc.read_model.keys import GENERATION
from query_svc.read_model.line import Line
from query_svc.read_model.owned import Owned

LEASE_SECONDS = 5.0
"""Who is at work says so again within this time, or is taken for dead."""

_KEEP = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
_LEAVE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""


@dataclass(frozen=True, slots=True)
class RebuildRecord:
    """What is known of the last rebuild; times are seconds since 1970, 0 for not yet.

    number: the plan's.
    attended: whether the pipeline's process takes it up by itself when it is left.
    error: why it stands still, empty while it does not.
    """

    number: int
    actor: str
    start_time: float
    end_time: float = 0.0
    attended: bool = False
    error: str = ""


class Rebuilds(Owned):
    """Keeps the record of the last rebuild of a family of generations, and the lease of who is at work on it.

    Raises ReadModelUnavailableError when Redis does not answer. The client is owned: close it, or use this
    as a context manager.
    """

    def __init__(self, redis: Redis, family: str = GENERATION, *, timeout: float = 5.0) -> None:
        self._redis = redis
        self._line = Line(redis, timeout)
        self._record_key = f"{family}:rebuild"
        self._lease_key = f"{family}:rebuild:lease"

    async def record(self) -> RebuildRecord | None:
        """Return the record, None before the first rebuild."""
        (raw,) = await self._line.ask([("GET", self._record_key)])
        if raw is None:
            return None
        known = {one.name for one in fields(RebuildRecord)}
        told = json.loads(cast("bytes", raw))
        # A later version may tell more.
        return RebuildRecord(**{name: value for name, value in told.items() if name in known})

    async def write(self, record: RebuildRecord) -> None:
        """Put a record in the place of the former one."""
        encoded = json.dumps(asdict(record), separators=(",", ":")).encode()
        await self._line.ask([("SET", self._record_key, encoded)])

    async def take(self, holder: str) -> bool:
        """Take the lease for LEASE_SECONDS; False while anybody has it."""
        milliseconds = int(LEASE_SECONDS * 1000)
        (done,) = await self._line.ask([("SET", self._lease_key, holder, "NX", "PX", milliseconds)])
        return done is not None

    async def keep(self, holder: str) -> bool:
        """Have the lease for LEASE_SECONDS more; False when it is lost."""
        milliseconds = int(LEASE_SECONDS * 1000)
        (done,) = await self._line.ask([("EVAL", _KEEP, 1, self._lease_key, holder, milliseconds)])
        return bool(done)

    async def leave(self, holder: str) -> None:
        """Give the lease back, if it is this holder's."""
        await self._line.ask([("EVAL", _LEAVE, 1, self._lease_key, holder)])

    async def is_taken(self) -> bool:
        """Tell whether anybody has the lease."""
        (found,) = await self._line.ask([("EXISTS", self._lease_key)])
        return bool(found)

    async def close(self) -> None:
        """Close every connection."""
        await self._line.close()
        await self._redis.aclose()


def connect_rebuilds(url: str, *, family: str = GENERATION, timeout: float = 5.0) -> Rebuilds:
    """Return what is known of rebuilds in the Redis at `url`; nothing is connected yet."""
    return Rebuilds(open_redis(url, timeout), family, timeout=timeout)
