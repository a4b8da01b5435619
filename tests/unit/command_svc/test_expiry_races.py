"""Whatever races with the end of a hold, in whatever order: it is resolved once, and everybody is told."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import pytest

from command_svc import sweeper
from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.batch import decide
from command_svc.domain.commands import Command
from command_svc.domain.promises import CANCELLED, CONFIRMED, EXPIRED, PENDING
from command_svc.domain.refusals import Refusal
from command_svc.domain.reservations import (
    CancelReservation,
    ConfirmReservation,
    ExtendReservation,
    ReserveStock,
)
from command_svc.domain.scope import Scope
from command_svc.domain.sourcing import Strategy
from command_svc.domain.stock import AddStock
from tests.unit.command_svc.making import MUG, NOW, submission
from tests.unit.command_svc.memory_store import MemoryStore

UNITS = 5
MINUTE = timedelta(minutes=1)
INSTANT = timedelta(microseconds=1)
HOLD = ReserveStock((WantedLine(MUG.sku, MUG.location_id, UNITS),), MINUTE, Terms(Strategy("PRIORITY")))
STEPS = ("confirm", "cancel", "extend", "sweep", "rival")


class Race:
    """A hold of all there is, what is done to it step by step, and what must come of it."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.carry_out(AddStock(MUG, UNITS, "RECEIPT"))
        self.carry_out(HOLD)
        (self.hold,) = self.store.reservations
        self.end = NOW + MINUTE
        self.state = PENDING
        self.rival = False

    async def run(self, steps: tuple[str, ...], passed_before: int) -> None:
        """Take the steps; the hold's first time is over just before one of them."""
        for number, step in enumerate(steps):
            self.store.now = NOW + MINUTE - (INSTANT if number < passed_before else timedelta())
            if step == "sweep":
                await sweeper.sweep(self.store)
                if self.state == PENDING and self.is_over:
                    self.state = EXPIRED
            else:
                assert self.carry_out(self.command(step)) == self.expected(step)
            assert self.store.reservations[self.hold].state == self.state
        level = self.store.levels[MUG]
        assert level.on_hand == (0 if self.state == CONFIRMED else UNITS)
        assert level.reserved == UNITS * ((self.state == PENDING) + self.rival)

    def carry_out(self, command: Command) -> str:
        """Carry out a command in a transaction of its own; return why it is refused, "" if it is not."""
        asked = submission(command)
        working = self.store.read(Scope.of([asked]))
        (verdict,) = decide(working, asked)
        self.store.keep(working)
        return verdict.reason if isinstance(verdict, Refusal) else ""

    def command(self, step: str) -> Command:
        """Return what a step asks for."""
        commands: dict[str, Command] = {
            "confirm": ConfirmReservation(self.hold),
            "cancel": CancelReservation(self.hold),
            "extend": ExtendReservation(self.hold, MINUTE),
            "rival": HOLD,
        }
        return commands[step]

    def expected(self, step: str) -> str:
        """Return what a step must be told, having noted what it does."""
        if step == "rival":
            self.rival = self.state in {CANCELLED, EXPIRED} or (self.state == PENDING and self.is_over)
            if self.rival and self.state == PENDING:
                self.state = EXPIRED  # freed by the command in whose way it was
            return "" if self.rival else "INSUFFICIENT_STOCK"
        if self.state == EXPIRED or (self.state == PENDING and self.is_over):
            return "RESERVATION_EXPIRED"
        if self.state != PENDING:
            return "RESERVATION_RESOLVED"
        if step == "extend":
            self.end = self.store.now + MINUTE
        else:
            self.state = CONFIRMED if step == "confirm" else CANCELLED
        return ""

    @property
    def is_over(self) -> bool:
        """Whether the hold's time is over: at its end, not only after it."""
        return self.end <= self.store.now


@pytest.mark.parametrize("passed_before", range(len(STEPS) + 1))
async def test_a_hold_is_resolved_once_whatever_races_with_its_end(passed_before: int) -> None:
    ends = set()
    for steps in permutations(STEPS):
        race = Race()
        await race.run(steps, passed_before)
        ends.add(race.state)
    assert (ends == {EXPIRED}) == (passed_before == 0)
