"""Choosing the locations that serve what is asked for without one: arithmetic over what is free where."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

EARTH_RADIUS_KM = 6371.0


class Site(NamedTuple):
    """A location that may serve; lower priority first, `coordinates` latitude and longitude in degrees."""

    location_id: str
    priority: int
    coordinates: tuple[float, float] | None = None


class Want(NamedTuple):
    """Units asked for; each takes the items of the recipe, with so many of each: itself, or components."""

    recipe: Mapping[str, int]
    units: int


class Strategy(NamedTuple):
    """How to choose. `destination` is used by NEAREST alone."""

    name: str
    destination: tuple[float, float] | None = None


class Candidate(NamedTuple):
    """Why a site was chosen or not: the units it could serve by itself, and those it was given."""

    site: Site
    distance_km: float | None
    servable: int
    chosen: int


Free = Mapping[str, Mapping[str, int]]
"""Items that may be promised, by location and SKU."""

Serving = list[dict[str, int]]
"""Units that each location serves, for each want; never more than asked for, nor than is free."""

Left = list[int]
"""Units still asked for, for each want."""


def allocate(wants: Sequence[Want], free: Free, sites: Iterable[Site], strategy: Strategy) -> Serving:
    """Return what each site serves, as much of the wants as can be served.

    A unit comes from one site whole. Equal sites are taken in the order of priority, then of their ids, so
    that the answer is always the same.
    """
    ordered = in_order(sites, strategy)
    return _STRATEGIES[strategy.name](wants, free, ordered)


def in_order(sites: Iterable[Site], strategy: Strategy) -> list[Site]:
    """Return the sites, those that the strategy prefers first."""
    ordered = sorted(sites, key=lambda site: (site.priority, site.location_id))
    if strategy.name == "NEAREST":
        ordered.sort(key=lambda site: math.inf if (far := _distance(site, strategy)) is None else far)
    return ordered


def explain(
    wants: Sequence[Want], free: Free, sites: Iterable[Site], strategy: Strategy, serving: Serving
) -> list[Candidate]:
    """Return every site in the order of preference, with what it could serve and what it was given."""
    asked = [want.units for want in wants]
    return [
        Candidate(
            site,
            _distance(site, strategy),
            sum(_served(wants, asked, free, site)),
            sum(units.get(site.location_id, 0) for units in serving),
        )
        for site in in_order(sites, strategy)
    ]


def distance_km(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the distance over the globe between two points in degrees (haversine)."""
    (lat1, lon1), (lat2, lon2) = (tuple(map(math.radians, point)) for point in (one, other))
    half = math.sin((lat2 - lat1) / 2) ** 2
    half += math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(half)))


def whole_units(recipe: Mapping[str, int], free: Mapping[str, int]) -> int:
    """Return how many units of a recipe can be made of what is free."""
    return min(max(0, free.get(sku, 0)) // each for sku, each in recipe.items())


def _distance(site: Site, strategy: Strategy) -> float | None:
    if site.coordinates is None or strategy.destination is None:
        return None
    return distance_km(site.coordinates, strategy.destination)


def _one_after_the_other(wants: Sequence[Want], free: Free, sites: Iterable[Site]) -> Serving:
    left = [want.units for want in wants]
    serving: Serving = [{} for _ in wants]
    for site in sites:
        _give(serving, left, site, _served(wants, left, free, site))
    return serving


def _single_location(wants: Sequence[Want], free: Free, sites: list[Site]) -> Serving:
    asked = [want.units for want in wants]
    whole = next((site for site in sites if _served(wants, asked, free, site) == asked), None)
    return _one_after_the_other(wants, free, [whole] if whole else sites)


def _fewest_splits(wants: Sequence[Want], free: Free, sites: list[Site]) -> Serving:
    """Take the site that serves most of what is left, again and again.

    The fewest possible is a set cover, which has no fast exact answer; greedy needs one site wherever one
    is enough, and is close otherwise.
    """
    left = [want.units for want in wants]
    rest = list(sites)
    serving: Serving = [{} for _ in wants]
    while rest and any(left):
        best = max(rest, key=lambda site: sum(_served(wants, left, free, site)))
        served = _served(wants, left, free, best)
        if not any(served):
            break
        _give(serving, left, best, served)
        rest.remove(best)
    return serving


def _served(wants: Sequence[Want], left: Left, free: Free, site: Site) -> list[int]:
    """Return the units of each want that a site serves; wants that share an item take it in their order."""
    there = Counter(free.get(site.location_id, {}))
    served = []
    for want, asked in zip(wants, left, strict=True):
        units = min(asked, whole_units(want.recipe, there)) if asked else 0
        for sku, each in want.recipe.items():
            there[sku] -= units * each
        served.append(units)
    return served


def _give(serving: Serving, left: Left, site: Site, served: Sequence[int]) -> None:
    for index, units in enumerate(served):
        if units:
            serving[index][site.location_id] = units
            left[index] -= units


_STRATEGIES: dict[str, Callable[[Sequence[Want], Free, list[Site]], Serving]] = {
    "SINGLE_LOCATION": _single_location,
    "NEAREST": _one_after_the_other,
    "PRIORITY": _one_after_the_other,
    "FEWEST_SPLITS": _fewest_splits,
}
