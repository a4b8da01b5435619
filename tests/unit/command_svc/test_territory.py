"""Where a command has handled units decides, and only what its caller has brought about counts."""

from __future__ import annotations

import pytest

from command_svc.domain.commands import Command
from command_svc.domain.levels import CLOCKWORK, NEVER, Cause, Level, LevelKey, Movement, Quantities, Why
from command_svc.domain.refusals import LocationNotAllowedError
from command_svc.domain.stock import MoveStock, SetStockPolicy
from command_svc.domain.territory import hold, named
from tests.unit.command_svc.making import MUG, MUG_AT_STORE

CALLER = Cause("clerk", "r-1")
HERE = frozenset({"WH"})


def moved(key: LevelKey, cause: Cause = CALLER, **delta: int) -> Movement:
    """Return an entry of the ledger."""
    return Movement(Why("ANY", "ANY", cause), Quantities(**delta), Level(key), "", NEVER)


@pytest.mark.parametrize(
    "movements",
    [
        [moved(MUG, on_hand=-1)],
        [moved(MUG)],
        # Units leave for another location.
        [moved(MUG, on_hand=-2), moved(MUG_AT_STORE, in_transit=2)],
        # What expired meanwhile was at the other location, too.
        [moved(MUG, on_hand=-2), moved(MUG_AT_STORE, CLOCKWORK, reserved=-3)],
        # Units are expected from a supplier.
        [moved(MUG, in_transit=2)],
    ],
)
def test_what_was_handled_here_is_allowed(movements: list[Movement]) -> None:
    hold(movements, HERE)
    with pytest.raises(LocationNotAllowedError):
        hold(movements, {"ST"})


@pytest.mark.parametrize(
    "movements",
    [
        [moved(MUG, on_hand=-1), moved(MUG_AT_STORE, on_hand=1)],
        [moved(MUG, in_transit=-1), moved(MUG_AT_STORE, in_transit=1)],
        [moved(MUG, reserved=1), moved(MUG_AT_STORE, backordered=1)],
    ],
)
def test_what_was_handled_at_two_places_needs_both(movements: list[Movement]) -> None:
    hold(movements, {"WH", "ST"})
    for own in (HERE, {"ST"}, frozenset[str]()):
        with pytest.raises(LocationNotAllowedError):
            hold(movements, own)


def test_what_led_to_nothing_is_not_taken_on_trust() -> None:
    for movements in ([], [moved(MUG, CLOCKWORK, reserved=-1)]):
        with pytest.raises(LocationNotAllowedError):
            hold(movements, HERE)


@pytest.mark.parametrize(
    ("command", "places"),
    [(MoveStock(MUG, MUG_AT_STORE, 1, "REBALANCE"), ["WH", "ST"]), (SetStockPolicy(MUG), ["WH"])],
)
def test_a_command_names_its_places(command: Command, places: list[str]) -> None:
    assert list(named(command)) == places
