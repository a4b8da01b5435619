"""Choosing the locations that serve units asked for without one. Pure arithmetic over what is free where."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

EARTH_RADIUS_KM = 6371.0


class Site(NamedTuple):
    """A location that may serve; lower priority first, `coordinates` latitude and longitude in degrees."""

    location_id: str
    priority: int
    coordinates: tuple[float, float] | None = None


Free = Mapping[str, Mapping[str, int]]
"""Units that may be promised, by location and SKU."""

Demand = Mapping[str, int]
"""Units asked for, by SKU."""

Allocation = dict[tuple[str, str], int]
"""Units by SKU and location; never more than asked for, nor than is free."""


class Strategy(NamedTuple):
    """How to choose. `destination` is used by NEAREST alone."""

    name: str
    destination: tuple[float, float] | None = None


def allocate(demand: Demand, free: Free, sites: Iterable[Site], strategy: Strategy) -> Allocation:
    """Return what each site serves, as much of the demand as can be served.

    Equal sites are taken in the order of priority, then of their ids, so that the answer is always the same.
    """
    ordered = sorted(sites, key=lambda site: (site.priority, site.location_id))
    return _STRATEGIES[strategy.name](demand, free, ordered, strategy)


def distance_km(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the distance over the globe between two points in degrees (haversine)."""
    (lat1, lon1), (lat2, lon2) = (tuple(map(math.radians, point)) for point in (one, other))
    half = math.sin((lat2 - lat1) / 2) ** 2
    half += math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(half)))


def _in_order(demand: Demand, free: Free, sites: Iterable[Site], _strategy: Strategy) -> Allocation:
    left = dict(demand)
    allocation: Allocation = {}
    for site in sites:
        for sku, units in _served(left, free, site).items():
            allocation[sku, site.location_id] = units
            left[sku] -= units
    return allocation


def _single_location(demand: Demand, free: Free, sites: list[Site], strategy: Strategy) -> Allocation:
    whole = [site for site in sites if _served(demand, free, site) == demand]
    return _in_order(demand, free, whole[:1] or sites, strategy)


def _nearest(demand: Demand, free: Free, sites: list[Site], strategy: Strategy) -> Allocation:
    def distance(site: Site) -> float:
        if site.coordinates is None or strategy.destination is None:
            return math.inf
        return distance_km(site.coordinates, strategy.destination)

    return _in_order(demand, free, sorted(sites, key=distance), strategy)


def _fewest_splits(demand: Demand, free: Free, sites: list[Site], _strategy: Strategy) -> Allocation:
    """Take the site that serves most of what is left, again and again.

    The fewest possible is a set cover, which has no fast exact answer; greedy needs one site wherever one
    is enough, and is close otherwise.
    """
    left = dict(demand)
    rest = list(sites)
    allocation: Allocation = {}
    while rest and any(left.values()):
        best = max(rest, key=lambda site: sum(_served(left, free, site).values()))
        served = _served(left, free, best)
        if not served:
            break
        for sku, units in served.items():
            allocation[sku, best.location_id] = units
            left[sku] -= units
        rest.remove(best)
    return allocation


def _served(demand: Demand, free: Free, site: Site) -> dict[str, int]:
    there = free.get(site.location_id, {})
    units = {sku: min(wanted, there.get(sku, 0)) for sku, wanted in demand.items()}
    return {sku: count for sku, count in units.items() if count > 0}


_STRATEGIES: dict[str, Callable[[Demand, Free, list[Site], Strategy], Allocation]] = {
    "SINGLE_LOCATION": _single_location,
    "NEAREST": _nearest,
    "PRIORITY": _in_order,
    "FEWEST_SPLITS": _fewest_splits,
}
