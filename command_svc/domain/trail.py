"""What the audit log tells of a request beside its actor: where it came from, and what it concerns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from command_svc.domain.levels import Movement

MOST_NAMES = 100
"""Items, and locations, that one entry names at most."""


class Trail(NamedTuple):
    """Where a request came from, by which method, and the items and locations that it names.

    `proof` says how its caller has proved who it is, `source` from where it called.
    """

    method: str = ""
    proof: str = "none"
    source: str = ""
    trace_id: str = ""
    skus: tuple[str, ...] = ()
    location_ids: tuple[str, ...] = ()

    def with_touched(self, movements: Iterable[Movement]) -> Trail:
        """Return the trail with the levels that the request has led to as well."""
        keys = [movement.level.key for movement in movements]
        if all(key.sku in self.skus and key.location_id in self.location_ids for key in keys):
            return self
        skus = dict.fromkeys((*self.skus, *(key.sku for key in keys)))
        location_ids = dict.fromkeys((*self.location_ids, *(key.location_id for key in keys)))
        return self._replace(skus=tuple(skus)[:MOST_NAMES], location_ids=tuple(location_ids)[:MOST_NAMES])


class Accepted(NamedTuple):
    """A request that was carried out."""

    request_id: str
    actor: str
    trail: Trail


UNKNOWN = Trail()
