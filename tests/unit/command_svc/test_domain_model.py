"""The whole domain against the model: any sequence of commands, alone or together, while time goes by."""

from __future__ import annotations

import random
from collections.abc import Sequence
from copy import copy
from datetime import timedelta
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from command_svc.domain.batch import AtomicRefusalError, Request, Stamp, Submission, Verdict, decide
from command_svc.domain.commands import Command, Outcome
from command_svc.domain.levels import Level
from command_svc.domain.orders import OrderOutcome
from command_svc.domain.refusals import Refusal, RequestIdReusedError
from command_svc.domain.reservations import Resolution, free_expired
from command_svc.domain.scope import Scope
from command_svc.domain.transaction import OutOfReachError, Transaction
from command_svc.domain.transfers import TransferOutcome
from tests.unit.command_svc.making import NOW, encode, request
from tests.unit.command_svc.memory_store import MemoryStore
from tests.unit.command_svc.model.asking import ITEMS, LOCATIONS, Asker
from tests.unit.command_svc.model.looking import Auditor
from tests.unit.command_svc.model.rules import Model

STOCK = ("add", "add", "remove", "adjust", "move", "policy")
PROMISES = ("reserve", "reserve", "confirm", "cancel_hold", "extend")
SALES = ("place", "place", "fulfill", "cancel_sale", "give_back")
TRANSFERS = ("dispatch", "arrive", "arrive", "call_back")
CATALOG = ("create_item", "edit_item", "archive", "create_place", "edit_place", "deactivate")
ANYTHING = STOCK + PROMISES + SALES + TRANSFERS
DAYS = {
    "all": ANYTHING,
    "sales": STOCK + SALES,
    "promises": STOCK + PROMISES,
    "transfers": STOCK + TRANSFERS,
    "no deliveries": SALES + PROMISES + TRANSFERS,
    "catalogue": ANYTHING + CATALOG,
}
chance = st.integers(0, 2**64).map(random.Random)


def insides(working: Transaction) -> list[object]:
    """Return all that a transaction holds, to tell whether it has changed."""
    hidden = {"_undo", "_ids"}
    return [copy(getattr(working, slot)) for slot in Transaction.__slots__ if slot not in hidden]


def as_list(verdicts: list[Verdict] | AtomicRefusalError) -> list[Verdict]:
    """Return what stands: nothing of what was refused as a whole."""
    return verdicts if isinstance(verdicts, list) else []


class DomainMachine(RuleBasedStateMachine):
    """Commits transactions one after the other, as the lane does, beside the model."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore(ITEMS, LOCATIONS)
        self.model = Model(NOW, ITEMS, LOCATIONS)
        self.outcomes: dict[str, Outcome] = {}
        self.answered: list[tuple[Request, bytes]] = []
        self.auditor = Auditor(self.store)

    def request(self, command: Command) -> Request:
        """Return a request whose outcome is kept."""
        asked = request(command)

        def keep(outcome: Outcome, stamp: Stamp | None) -> bytes:
            self.outcomes[asked.request_id] = outcome
            return encode(outcome, stamp)

        return Request(asked.request_id, asked.fingerprint, asked.actor, command, keep)

    def commit(self, submissions: Sequence[Submission]) -> list[Submission]:
        """Decide all in one transaction; return those that need one of their own."""
        working = self.store.read(Scope.of(submissions))
        apart: list[Submission] = []
        for asked in submissions:
            mark, before = working.mark(), insides(working)
            verdicts: list[Verdict] | AtomicRefusalError = []
            try:
                verdicts = decide(working, asked)
            except AtomicRefusalError as refused:
                verdicts = refused
            except OutOfReachError:
                working.undo_to(mark)
                assert len(submissions) > 1
                apart.append(asked)
            if verdicts:
                self.check(asked, verdicts)
            if asked.validate_only or not any(isinstance(one, bytes) for one in as_list(verdicts)):
                assert insides(working) == before
        self.store.keep(working)
        self.auditor.look(self.model)
        return apart

    def check(self, asked: Submission, verdicts: list[Verdict] | AtomicRefusalError) -> None:
        """Hold the verdicts against the model's."""
        before = self.model.copy() if asked.atomic or asked.validate_only else self.model
        for index, one in enumerate(asked.requests):
            reason = self.model.apply(one.command, self.new_id(one))
            verdict: Verdict = b""
            if isinstance(verdicts, list):
                verdict = verdicts[index]
            elif index == verdicts.index:
                verdict = verdicts.refusal
            assert (verdict.reason if isinstance(verdict, Refusal) else "") == reason, one.command
            if reason and asked.atomic:
                break
            if isinstance(verdict, bytes) and isinstance(verdicts, list) and not asked.validate_only:
                self.answered.append((one, verdict))
        if asked.validate_only or isinstance(verdicts, AtomicRefusalError):
            self.model = before

    def new_id(self, asked: Request) -> UUID | None:
        """Return the id of what a request has made, if it was accepted."""
        match self.outcomes.get(asked.request_id):
            case Resolution(reservation):
                return reservation.reservation_id
            case OrderOutcome(order):
                return order.order_id
            case TransferOutcome(transfer):
                return transfer.transfer_id
            case _:
                return None

    def ask(self, rng: random.Random, kinds: Sequence[str]) -> None:
        """Ask one command."""
        command = Asker(rng, self.model).command(kinds)
        asked = Submission((self.request(command),))
        self.commit([asked])
        self.check_outcome(asked.requests[0])

    def check_outcome(self, asked: Request) -> None:
        """Check that the answer tells what has been kept."""
        outcome = self.outcomes.get(asked.request_id)
        levels: tuple[Level, ...] = ()
        match outcome:
            case Level():
                levels = (outcome,)
            case Resolution(reservation, levels):
                assert reservation == self.store.reservations[reservation.reservation_id]
            case OrderOutcome(order, levels):
                assert order == self.store.orders[order.order_id]
            case TransferOutcome(transfer, levels):
                assert transfer == self.store.transfers[transfer.transfer_id]
        for level in levels:
            assert level == self.store.levels[level.key]

    @initialize(rng=chance)
    def open_up(self, rng: random.Random) -> None:
        """Begin with something on the shelves."""
        for _ in range(20):
            self.ask(rng, ("add", "add", "policy"))

    @rule(rng=chance, size=st.integers(1, 30), day=st.sampled_from(sorted(DAYS)))
    def alone(self, rng: random.Random, size: int, day: str) -> None:
        """Each command has a transaction of its own."""
        for _ in range(size):
            self.ask(rng, DAYS[day])
            self.meanwhile(rng)

    @rule(rng=chance, size=st.integers(1, 10))
    def together(self, rng: random.Random, size: int) -> None:
        """Commands of several callers share a transaction; one that is out of reach gets its own."""
        for _ in range(size):
            asker = Asker(rng, self.model)
            submissions = [
                Submission(
                    (self.request(asker.command(ANYTHING + CATALOG)),), validate_only=rng.random() < 0.2
                )
                for _ in range(rng.randint(2, 4))
            ]
            for apart in self.commit(submissions):
                self.commit([apart])
            self.meanwhile(rng)

    @rule(rng=chance, size=st.integers(1, 10), atomic=st.booleans(), validate_only=st.booleans())
    def batches(self, rng: random.Random, size: int, *, atomic: bool, validate_only: bool) -> None:
        """Commands of one caller share a transaction: all or none, or only to be judged."""
        for _ in range(size):
            asker = Asker(rng, self.model)
            commands = [asker.command(ANYTHING) for _ in range(rng.randint(1, 4))]
            assert not self.commit([Submission(tuple(map(self.request, commands)), atomic, validate_only)])
            self.meanwhile(rng)

    def meanwhile(self, rng: random.Random) -> None:
        """Let time go by, and what goes with it."""
        happens = rng.choices(["", "wait", "sweep", "repeat"], [80, 10, 5, 5])[0]
        if happens == "wait":
            self.store.now += timedelta(minutes=rng.choice([20, 60, 60, 24 * 60]))
            self.model.now = self.store.now
        elif happens == "sweep":
            working = self.store.read(Scope(reservations=set(self.store.reservations)))
            free_expired(working)
            self.store.keep(working)
            self.model.expire()
        elif happens == "repeat" and self.answered:
            self.repeat(*rng.choice(self.answered))
        self.auditor.look(self.model)

    def repeat(self, asked: Request, answer: bytes) -> None:
        """Get a repeated request's answer again; another body under its id is refused."""
        other = Request(asked.request_id, b"another", asked.actor, asked.command, asked.encode)
        both = Submission((asked, other))
        working = self.store.read(Scope.of([both]))
        again, reused = decide(working, both)
        assert again == answer
        assert isinstance(reused, RequestIdReusedError)
        assert working.is_empty


TestDomain = DomainMachine.TestCase
TestDomain.settings = settings(
    max_examples=150, stateful_step_count=12, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
