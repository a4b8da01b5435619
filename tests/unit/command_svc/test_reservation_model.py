"""Promises against a dictionary: any sequence of holds, resolutions, sales and passing time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.batch import Request, Stamp, Submission, decide
from command_svc.domain.commands import Command, Outcome
from command_svc.domain.levels import Level, LevelKey
from command_svc.domain.promises import Reservation
from command_svc.domain.refusals import (
    ExceedsReservationError,
    InsufficientStockError,
    Refusal,
    ReservationExpiredError,
    ReservationResolvedError,
)
from command_svc.domain.reservations import (
    CancelReservation,
    ConfirmedLine,
    ConfirmReservation,
    ExtendReservation,
    ReserveStock,
    Resolution,
    free_expired,
)
from command_svc.domain.sourcing import Site, Strategy
from command_svc.domain.stock import AddStock, RemoveStock, SetStockPolicy
from command_svc.domain.transaction import Transaction
from tests.unit.command_svc.making import NOW, request, transaction

KEYS = [LevelKey(sku, location) for sku in ("MUG", "PEN") for location in ("WH", "ST")]
SITES = {"WH": Site("WH", 1, (52.5, 13.4)), "ST": Site("ST", 2, (48.1, 11.6))}
STRATEGIES = [
    Strategy("SINGLE_LOCATION"),
    Strategy("PRIORITY"),
    Strategy("FEWEST_SPLITS"),
    Strategy("NEAREST", (48.0, 11.0)),
]
wanted_lines = st.builds(
    WantedLine,
    st.sampled_from(["MUG", "PEN"]),
    st.sampled_from(["WH", "ST", None]),
    st.integers(1, 6),
    st.just(""),
)
times_to_live = st.integers(1, 5).map(lambda minutes: timedelta(minutes=minutes))


@dataclass
class Hold:
    """What the dictionary knows of a reservation."""

    held: Counter[LevelKey]
    expire_time: datetime
    state: str = "PENDING"


class ReservationMachine(RuleBasedStateMachine):
    """Commits one command after the other, as the store does, beside the dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.levels: dict[LevelKey, Level] = {}
        self.reservations: dict[UUID, Reservation] = {}
        self.on_hand: Counter[LevelKey] = Counter()
        self.safety: Counter[LevelKey] = Counter()
        self.holds: dict[UUID, Hold] = {}
        self.now = NOW

    def open(self) -> Transaction:
        """Return a transaction that has read everything."""
        working = transaction(self.levels.values(), now=self.now)
        working.reservations.update(self.reservations)
        working.sites = SITES
        return working

    def close(self, working: Transaction) -> None:
        """Store what was decided."""
        for _, level in working.levels.changed():
            self.levels[level.key] = level
        for _, reservation in working.reservations.changed():
            self.reservations[reservation.reservation_id] = reservation

    def commit(self, command: Command) -> Resolution | Level | Refusal:
        """Decide on one command; return its outcome."""
        outcomes: list[Outcome] = []

        def encode(outcome: Outcome, _stamp: Stamp | None) -> bytes:
            outcomes.append(outcome)
            return b""

        asked = request(command)
        asked = Request(asked.request_id, asked.fingerprint, asked.actor, command, encode)
        working = self.open()
        (verdict,) = decide(working, Submission((asked,)))
        if isinstance(verdict, Refusal):
            assert working.is_empty
            return verdict
        self.close(working)
        outcome = outcomes[0]
        assert isinstance(outcome, Resolution | Level)
        return outcome

    def held(self, key: LevelKey) -> int:
        """Return what unexpired holds keep at a level."""
        return sum(hold.held[key] for hold in self.holds.values() if self.is_live(hold))

    def is_live(self, hold: Hold) -> bool:
        """Tell whether a hold still keeps something from others."""
        return hold.state == "PENDING" and hold.expire_time > self.now

    def free(self, key: LevelKey, *, use_safety_stock: bool) -> int:
        """Return what may be promised at a level."""
        available = self.on_hand[key] - self.held(key)
        return available if use_safety_stock else max(0, available - self.safety[key])

    @rule(key=st.sampled_from(KEYS), quantity=st.integers(1, 10))
    def add(self, key: LevelKey, quantity: int) -> None:
        assert isinstance(self.commit(AddStock(key, quantity, "RECEIPT")), Level)
        self.on_hand[key] += quantity

    @rule(key=st.sampled_from(KEYS), units=st.integers(0, 3))
    def set_safety_stock(self, key: LevelKey, units: int) -> None:
        assert isinstance(self.commit(SetStockPolicy(key, safety_stock=units)), Level)
        self.safety[key] = units

    @rule(key=st.sampled_from(KEYS), quantity=st.integers(1, 6))
    def remove(self, key: LevelKey, quantity: int) -> None:
        """Take what no live hold keeps, expired holds or not."""
        outcome = self.commit(RemoveStock(key, quantity, "SALE"))
        if quantity > self.on_hand[key] - self.held(key):
            assert isinstance(outcome, InsufficientStockError)
        else:
            assert isinstance(outcome, Level)
            self.on_hand[key] -= quantity

    @rule(
        lines=st.lists(wanted_lines, min_size=1, max_size=4),
        time_to_live=times_to_live,
        allow_partial=st.booleans(),
        use_safety_stock=st.booleans(),
        strategy=st.sampled_from(STRATEGIES),
    )
    def reserve(
        self,
        lines: list[WantedLine],
        time_to_live: timedelta,
        *,
        allow_partial: bool,
        use_safety_stock: bool,
        strategy: Strategy,
    ) -> None:
        """All is promised if there is enough of it, in whichever place where none was named."""
        terms = Terms(strategy, use_safety_stock=use_safety_stock, partial=allow_partial)
        command = ReserveStock(tuple(lines), time_to_live, terms)
        free = {key: self.free(key, use_safety_stock=use_safety_stock) for key in KEYS}
        fixed: Counter[LevelKey] = Counter()
        anywhere: Counter[str] = Counter()
        for sku, location_id, quantity, _ in lines:
            if location_id is None:
                anywhere[sku] += quantity
            else:
                fixed[LevelKey(sku, location_id)] += quantity
        granted = {key: max(0, min(quantity, free[key])) for key, quantity in fixed.items()}
        enough = granted == fixed
        total = sum(granted.values())
        for sku, quantity in anywhere.items():
            left = sum(max(0, free[key] - granted.get(key, 0)) for key in KEYS if key.sku == sku)
            enough = enough and left >= quantity
            total += min(left, quantity)
        outcome = self.commit(command)
        if total == 0 or not (enough or allow_partial):
            assert isinstance(outcome, InsufficientStockError)
            return
        assert isinstance(outcome, Resolution)
        promised = Counter({line.key: line.quantity for line in outcome.reservation.lines})
        assert promised.total() == total
        for key, quantity in promised.items():
            assert quantity <= free[key]
        if enough:
            for sku in ("MUG", "PEN"):
                asked = sum(line.quantity for line in lines if line.sku == sku)
                assert sum(quantity for key, quantity in promised.items() if key.sku == sku) == asked
        reservation_id = outcome.reservation.reservation_id
        assert reservation_id not in self.holds
        self.holds[reservation_id] = Hold(promised, self.now + time_to_live)

    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        """Promised units leave the shelf, in parts if asked."""
        if not self.holds:
            return
        reservation_id = data.draw(st.sampled_from(list(self.holds)))
        hold = self.holds[reservation_id]
        units = Counter(
            data.draw(st.dictionaries(st.sampled_from(KEYS), st.integers(1, 6)))
            if data.draw(st.booleans())
            else {}
        )
        release_rest = data.draw(st.booleans())
        asked = tuple(ConfirmedLine(key, quantity) for key, quantity in units.items())
        outcome = self.commit(ConfirmReservation(reservation_id, asked, release_rest))
        if not self.is_live(hold):
            self.check_refused(hold, outcome)
        elif any(units[key] > hold.held[key] for key in units):
            assert isinstance(outcome, ExceedsReservationError)
        else:
            assert isinstance(outcome, Resolution)
            taken = units or hold.held.copy()
            self.on_hand.subtract(taken)
            hold.held = Counter() if release_rest else hold.held - taken
            if not hold.held.total():
                hold.state = "CONFIRMED"

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if not self.holds:
            return
        reservation_id = data.draw(st.sampled_from(list(self.holds)))
        hold = self.holds[reservation_id]
        outcome = self.commit(CancelReservation(reservation_id))
        if self.is_live(hold):
            hold.state, hold.held = "CANCELLED", Counter()
        else:
            self.check_refused(hold, outcome)

    @rule(data=st.data(), time_to_live=times_to_live)
    def extend(self, data: st.DataObject, time_to_live: timedelta) -> None:
        if not self.holds:
            return
        reservation_id = data.draw(st.sampled_from(list(self.holds)))
        hold = self.holds[reservation_id]
        outcome = self.commit(ExtendReservation(reservation_id, time_to_live))
        if self.is_live(hold):
            hold.expire_time = self.now + time_to_live
        else:
            self.check_refused(hold, outcome)

    @rule(minutes=st.integers(1, 4))
    def wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule()
    def sweep(self) -> None:
        working = self.open()
        free_expired(working)
        self.close(working)
        for reservation in self.reservations.values():
            assert reservation.state != "PENDING" or not reservation.is_expired(self.now)

    def check_refused(self, hold: Hold, outcome: Resolution | Level | Refusal) -> None:
        """Check that a resolved one says how it was resolved, an expired one that it expired."""
        if hold.state == "PENDING":
            assert isinstance(outcome, ReservationExpiredError)
        else:
            assert isinstance(outcome, ReservationResolvedError)
            assert outcome.figures["state"] == hold.state

    @invariant()
    def levels_are_what_the_dictionary_says(self) -> None:
        for key, level in self.levels.items():
            assert level.on_hand == self.on_hand[key]
            # Reserved counts expired holds until somebody frees them, never more.
            unswept = sum(
                hold.held[key]
                for reservation_id, hold in self.holds.items()
                if hold.state == "PENDING" and self.reservations[reservation_id].state == "PENDING"
            )
            assert level.reserved == unswept
            assert 0 <= level.reserved <= level.on_hand

    @invariant()
    def reservations_are_what_the_dictionary_says(self) -> None:
        for reservation_id, hold in self.holds.items():
            reservation = self.reservations[reservation_id]
            held = Counter({line.key: line.held for line in reservation.lines if line.held})
            if reservation.state == "EXPIRED":
                assert hold.state == "PENDING"
                assert hold.expire_time <= self.now
            else:
                assert reservation.state == hold.state
                assert held == +hold.held


TestReservations = ReservationMachine.TestCase
TestReservations.settings = settings(max_examples=150, stateful_step_count=30)
