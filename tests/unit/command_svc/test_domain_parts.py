"""Parts of the domain by themselves, against arithmetic that is plain to see."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_svc.domain import backorders, lots, sourcing
from command_svc.domain.levels import CLOCKWORK, Level
from command_svc.domain.lot import Lot, LotKey
from command_svc.domain.promises import OPEN, Allocation, Order
from command_svc.domain.refusals import InsufficientStockError
from command_svc.domain.sourcing import Site, Strategy, Want
from command_svc.domain.transaction import Transaction
from tests.unit.command_svc.making import MUG, NOW, transaction

TODAY = NOW.date()
days = st.none() | st.integers(-3, 3).map(lambda number: TODAY + timedelta(days=number))
held_lots = st.lists(st.tuples(days, st.integers(0, 5), st.integers(0, 3)), max_size=5)


def with_lots(given_lots: Sequence[tuple[date | None, int, int]]) -> Transaction:
    """Return a transaction with a level of lots: their dates, what is free of them and what is promised."""
    working = transaction()
    for number, (day, free, reserved) in enumerate(given_lots):
        key = LotKey(*MUG, f"L{number}")
        working.lots[key] = Lot(key, day, free + reserved, reserved)
    on_hand = sum(free + reserved for _, free, reserved in given_lots)
    reserved = sum(reserved for *_, reserved in given_lots)
    working.levels[MUG] = Level(MUG, on_hand, reserved, version=1, update_time=NOW, lot_tracked=True)
    return working


@given(given_lots=held_lots, units=st.integers(1, 12), expired=st.booleans())
def test_units_are_taken_first_expired_first_out(
    given_lots: list[tuple[date | None, int, int]], units: int, *, expired: bool
) -> None:
    working = with_lots(given_lots)
    # Every free unit by itself, in the order in which they must go.
    queue = sorted(
        (day or date.max, f"L{number}")
        for number, (day, free, _) in enumerate(given_lots)
        for _ in range(free)
        if expired or day is None or day >= TODAY
    )
    if len(queue) < units:
        with pytest.raises(InsufficientStockError) as short:
            lots.take(working, working.levels[MUG], units, None, expired=expired)
        assert short.value.figures["available"] == str(len(queue))
        return
    parts = lots.take(working, working.levels[MUG], units, None, expired=expired)
    assert [part.lot_id for part in parts for _ in range(part.units)] == [lot for _, lot in queue[:units]]
    assert len({part.lot_id for part in parts}) == len(parts)
    assert all(part.units for part in parts)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3)), max_size=5),
    st.integers(0, 5),
    st.integers(0, 3),
    st.integers(1, 12),
    st.permutations(range(5)),
)
def test_who_has_waited_longest_is_given_all_before_the_next(
    orders: list[tuple[int, int]], there: int, kept: int, came: int, shuffled: list[int]
) -> None:
    working = transaction()
    waiting = sum(units for units, _ in orders)
    working.levels[MUG] = Level(
        MUG, there + kept + came, there, waiting, backorder_limit=waiting, version=1, update_time=NOW
    )
    for number in (index for index in shuffled if index < len(orders)):
        units, shipped = orders[number]
        allocation = Allocation(MUG, units + shipped, backordered=units, shipped=shipped)
        age = NOW - timedelta(days=9 - number)
        order = Order(UUID(int=number), OPEN, (), (allocation,), "", "", "", 1, age, age)
        working.orders[order.order_id] = order
    before = dict(working.orders)

    level = backorders.fill(working, working.levels[MUG], "", came, CLOCKWORK)

    queue = [number for number, (units, _) in enumerate(orders) for _ in range(units)]
    for number, (units, _) in enumerate(orders):
        given_units = queue[:came].count(number)
        order = working.orders[UUID(int=number)]
        assert order.waits_at(MUG) == units - given_units
        (allocation,) = order.allocations
        assert (allocation.reserved, allocation.quantity) == (
            given_units,
            before[UUID(int=number)].allocations[0].quantity,
        )
        assert order.version == (2 if given_units else 1)
    given_out = min(came, waiting)
    assert (level.reserved, level.backordered, level.on_hand) == (
        there + given_out,
        waiting - given_out,
        there + kept + came,
    )


sites = st.lists(
    st.builds(
        Site,
        st.sampled_from("ABCDE"),
        st.integers(0, 2),
        st.none() | st.tuples(st.floats(-90, 90), st.floats(-180, 180)),
    ),
    max_size=5,
    unique_by=lambda site: site.location_id,
)
recipes = st.dictionaries(st.sampled_from(["MUG", "PEN"]), st.integers(1, 3), min_size=1)
wants = st.lists(st.builds(Want, recipes, st.integers(1, 6)), min_size=1, max_size=3)
stock = st.dictionaries(
    st.sampled_from("ABCDE"), st.dictionaries(st.sampled_from(["MUG", "PEN"]), st.integers(-2, 9))
)
strategies = st.sampled_from(
    [
        Strategy("SINGLE_LOCATION"),
        Strategy("PRIORITY"),
        Strategy("FEWEST_SPLITS"),
        Strategy("NEAREST", (48.1, 11.6)),
    ]
)


@given(wants, stock, sites, strategies)
def test_no_site_serves_more_than_it_has_nor_than_is_wanted(
    wanted: list[Want], free: dict[str, dict[str, int]], there: list[Site], strategy: Strategy
) -> None:
    serving = sourcing.allocate(wanted, free, there, strategy)
    left = [want.units - sum(units.values()) for want, units in zip(wanted, serving, strict=True)]
    assert min(left) >= 0
    for site in there:
        rest = dict(free.get(site.location_id, {}))
        for want, units in zip(wanted, serving, strict=True):
            for sku, each in want.recipe.items():
                rest[sku] = rest.get(sku, 0) - each * units.get(site.location_id, 0)
        assert all(units >= 0 or units == free[site.location_id].get(sku, 0) for sku, units in rest.items())
        # Nothing that is still wanted stays where it could have come from.
        for want, missing in zip(wanted, left, strict=True):
            assert not missing or sourcing.whole_units(want.recipe, rest) == 0
    assert {place for units in serving for place in units} <= {site.location_id for site in there}


@given(wants, stock, sites)
def test_one_site_serves_all_wherever_one_can(
    wanted: list[Want], free: dict[str, dict[str, int]], there: list[Site]
) -> None:
    need = {sku: sum(want.units * want.recipe.get(sku, 0) for want in wanted) for sku in ("MUG", "PEN")}
    able = [
        site
        for site in there
        if all(free.get(site.location_id, {}).get(sku, 0) >= units for sku, units in need.items() if units)
    ]
    for name in ("SINGLE_LOCATION", "FEWEST_SPLITS"):
        serving = sourcing.allocate(wanted, free, there, Strategy(name))
        if able:
            first = min(able, key=lambda site: (site.priority, site.location_id)).location_id
            assert serving == [{first: want.units} for want in wanted]


@given(sites, strategies)
def test_the_order_of_preference_does_not_depend_on_the_order_they_are_given_in(
    there: list[Site], strategy: Strategy
) -> None:
    ordered = sourcing.in_order(there, strategy)
    assert ordered == sourcing.in_order(reversed(there), strategy)
    if strategy.name == "NEAREST":
        unknown = [site.coordinates is None for site in ordered]
        assert unknown == sorted(unknown)
    else:
        assert ordered == sorted(there, key=lambda site: (site.priority, site.location_id))


def test_the_nearest_comes_first_and_distances_are_those_of_the_globe() -> None:
    berlin, munich, hamburg = (52.52, 13.405), (48.137, 11.575), (53.551, 9.994)
    assert sourcing.distance_km(berlin, munich) == pytest.approx(504, abs=1)
    assert sourcing.distance_km((0, 179.5), (0, -179.5)) == pytest.approx(111, abs=1)
    there = [Site("M", 0, munich), Site("H", 9, hamburg), Site("?", 0)]
    ordered = sourcing.in_order(there, Strategy("NEAREST", berlin))
    assert [site.location_id for site in ordered] == ["H", "M", "?"]


@given(wants, stock, sites, strategies)
def test_the_explanation_is_what_was_chosen(
    wanted: list[Want], free: dict[str, dict[str, int]], there: list[Site], strategy: Strategy
) -> None:
    serving = sourcing.allocate(wanted, free, there, strategy)
    told = sourcing.explain(wanted, free, there, strategy, serving)
    assert [one.site for one in told] == sourcing.in_order(there, strategy)
    for one in told:
        assert one.chosen == sum(units.get(one.site.location_id, 0) for units in serving)
        alone = sourcing.allocate(wanted, free, [one.site], Strategy("PRIORITY"))
        assert one.servable == sum(sum(units.values()) for units in alone)
