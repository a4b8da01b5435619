"""Which generation of the read model is read, and which are written: one value in Redis, changed in one step.

A rebuild fills a new generation while the present one is read, and lets go of that when all read the new one.
Every step of it is a new value in the place of the one that was seen: so it can be left off anywhere and
gone on with by anyone, and who was overtaken notices.
"""

import json
import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import cast

from redis.asyncio import Redis

from query_svc.read_model.connection import open_redis
from query_svc.read_model.keys import GENERATION, Keys
from query_svc.read_model.line import Line
from query_svc.read_model.owned import Owned

LOOK_SECONDS = 1.0
"""A reader or writer learns of a change within this time, or before it does anything after that."""

_SWAP = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


class Phase(StrEnum):
    """How far a rebuild has come."""

    IDLE = "idle"
    JOINING = "joining"
    """The projector is to apply the stream to the new generation too."""
    FILLING = "filling"
    COMPARING = "comparing"
    SWITCHED = "switched"
    """The new one is live; the former is written for those who still read it."""
    REMOVING = "removing"


@dataclass(frozen=True, slots=True)
class Plan:
    """The generations there are, and the progress of a rebuild.

    `other` is the one that is being filled, or from SWITCHED on the former one; empty while IDLE. `kind` and
    `after` tell up to where rows have been filled in or compared, `rows` how many that were.
    """

    live: str
    phase: Phase = Phase.IDLE
    other: str = ""
    number: int = 0
    """How many rebuilds have been begun."""
    kind: str = ""
    after: tuple[str, ...] | None = None
    rows: int = 0

    @property
    def written(self) -> tuple[str, ...]:
        """The generations that the stream is applied to, the live one first."""
        others = self.phase not in (Phase.IDLE, Phase.REMOVING)
        return (self.live, self.other) if others else (self.live,)


class Generations(Owned):
    """Keeps the plan of a family of generations, whose first member has the family's own name.

    Raises ReadModelUnavailableError when Redis does not answer. The client is owned: close it, or use this
    as a context manager.
    """

    def __init__(self, redis: Redis, family: str = GENERATION, *, timeout: float = 5.0) -> None:
        self.family = family
        self._redis = redis
        self._line = Line(redis, timeout)
        self._key = f"{family}:generations"
        self._raw: dict[Plan, bytes] = {}

    async def read(self) -> Plan:
        """Return the present plan."""
        (raw,) = await self._line.ask([("GET", self._key)])
        plan = Plan(self.family) if raw is None else _decoded(raw)
        self._raw = {plan: raw or b""}
        return plan

    async def swap(self, seen: Plan, plan: Plan) -> bool:
        """Put a plan in the place of the one that was read last; False if another one is there by now."""
        (done,) = await self._line.ask([("EVAL", _SWAP, 1, self._key, self._raw[seen], _encoded(plan))])
        if done:
            self._raw = {plan: _encoded(plan)}
        return bool(done)

    async def close(self) -> None:
        """Close every connection."""
        await self._line.close()
        await self._redis.aclose()


class LiveKeys:
    """The keys of the generation that is to be read, looked up again where that was LOOK_SECONDS ago.

    So even a process that was asleep reads nothing from a generation that was removed meanwhile.
    """

    def __init__(self, line: Line, family: str) -> None:
        self._line = line
        self._family = family
        self._keys: Keys | None = None
        self._looked = 0.0

    async def get(self) -> Keys:
        """Return the keys; another round trip where it is time to look. Raise ReadModelUnavailableError."""
        now = time.monotonic()
        if self._keys is None or now - self._looked > LOOK_SECONDS:
            (raw,) = await self._line.ask([("GET", f"{self._family}:generations")])
            live = self._family if raw is None else _decoded(raw).live
            if self._keys is None or self._keys.generation != live:
                self._keys = Keys(live)
            self._looked = now
        return self._keys


def _encoded(plan: Plan) -> bytes:
    return json.dumps(asdict(plan), separators=(",", ":")).encode()


def _decoded(raw: object) -> Plan:
    fields = json.loads(cast("bytes", raw))
    after = fields.pop("after")
    return Plan(**(fields | {"phase": Phase(fields["phase"])}), after=None if after is None else tuple(after))


def connect_generations(url: str, *, family: str = GENERATION, timeout: float = 5.0) -> Generations:
    """Return the generations in the Redis at `url`; nothing is connected yet."""
    return Generations(open_redis(url, timeout), family, timeout=timeout)
