"""The decisions about stock against a dictionary: any sequence of commands, in batches of any shape."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from command_svc.domain.batch import AtomicRefusalError, Submission, Verdict, decide
from command_svc.domain.commands import Command
from command_svc.domain.levels import MAX_QUANTITY, Level, LevelKey, Movement, Quantities
from command_svc.domain.refusals import InsufficientStockError, Refusal
from command_svc.domain.stock import AddStock, AdjustStock, MoveStock, RemoveStock
from tests.unit.command_svc.making import NOW, request, transaction

KEYS = [LevelKey(sku, location) for sku in ("MUG", "PEN") for location in ("WH", "ST")]
keys = st.sampled_from(KEYS)
quantities = st.one_of(st.integers(1, 20), st.sampled_from([10**12, MAX_QUANTITY]))
stock_commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(AddStock, keys, quantities, st.just("RECEIPT")),
    st.builds(RemoveStock, keys, quantities, st.just("SALE")),
    st.builds(AdjustStock, keys, st.just("COUNT"), counted=st.integers(0, 30)),
    st.builds(AdjustStock, keys, st.just("COUNT"), delta=st.integers(-20, 20).filter(bool)),
    st.builds(
        lambda sku, ends, quantity: MoveStock(
            LevelKey(sku, ends[0]), LevelKey(sku, ends[1]), quantity, "REBALANCE"
        ),
        st.sampled_from(["MUG", "PEN"]),
        st.sampled_from([("WH", "ST"), ("ST", "WH")]),
        quantities,
    ),
)
batches = st.lists(stock_commands, min_size=1, max_size=8)


def changes(command: Command, on_hand: Counter[LevelKey]) -> dict[LevelKey, int] | None:
    """Return what the command does to a plain dictionary of stock, None if it must be refused."""
    match command:
        case AddStock(key, quantity):
            wanted = {key: quantity}
        case RemoveStock(key, quantity):
            wanted = {key: -quantity}
        case AdjustStock(key, _, counted, delta):
            wanted = {key: delta if counted is None else counted - on_hand[key]}
        case MoveStock(source, destination, quantity):
            wanted = {source: -quantity, destination: quantity}
        case _:
            raise AssertionError(command)
    possible = all(0 <= on_hand[key] + delta <= MAX_QUANTITY for key, delta in wanted.items())
    return wanted if possible else None


class StockMachine(RuleBasedStateMachine):
    """Commits batches one after the other, as the store does, beside the dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.on_hand: Counter[LevelKey] = Counter()
        self.levels: dict[LevelKey, Level] = {}
        self.ledger: list[Movement] = []
        self.now = NOW

    def commit(
        self, commands: list[Command], *, atomic: bool, validate_only: bool
    ) -> list[Verdict] | AtomicRefusalError:
        """Decide on what is stored and store what was decided."""
        self.now += timedelta(seconds=1)
        working = transaction(self.levels.values(), now=self.now)
        asked = Submission(tuple(map(request, commands)), atomic, validate_only)
        verdicts: list[Verdict] | AtomicRefusalError
        try:
            verdicts = decide(working, asked)
        except AtomicRefusalError as refused:
            verdicts = refused
        for before, after in working.levels.changed():
            assert before == self.levels.get(after.key)
            self.levels[after.key] = after
        self.ledger += working.movements
        accepted = (
            0
            if isinstance(verdicts, AtomicRefusalError)
            else sum(isinstance(verdict, bytes) for verdict in verdicts)
        )
        assert len(working.records) == (0 if validate_only else accepted)
        return verdicts

    @rule(commands=batches)
    def batch(self, commands: list[Command]) -> None:
        """Each command has its own verdict and sees the ones before it."""
        verdicts = self.commit(commands, atomic=False, validate_only=False)
        assert isinstance(verdicts, list)
        for command, verdict in zip(commands, verdicts, strict=True):
            expected = changes(command, self.on_hand)
            assert isinstance(verdict, Refusal) == (expected is None)
            self.on_hand.update(expected or {})
            if isinstance(verdict, InsufficientStockError):
                key = LevelKey(verdict.figures["sku"], verdict.figures["location_id"])
                assert int(verdict.figures["available"]) == self.on_hand[key]
                assert int(verdict.figures["requested"]) > self.on_hand[key]

    @rule(commands=batches)
    def atomic_batch(self, commands: list[Command]) -> None:
        """All commands are carried out, or none."""
        trial = self.on_hand.copy()
        first_refused: int | None = None
        for index, command in enumerate(commands):
            expected = changes(command, trial)
            if expected is None:
                first_refused = index
                break
            trial.update(expected)
        outcome = self.commit(commands, atomic=True, validate_only=False)
        if first_refused is None:
            assert isinstance(outcome, list)
            self.on_hand = trial
        else:
            assert isinstance(outcome, AtomicRefusalError)
            assert outcome.index == first_refused

    @rule(commands=batches)
    def validated_batch(self, commands: list[Command]) -> None:
        """Nothing changes, but the verdicts are those of the real thing."""
        trial = self.on_hand.copy()
        verdicts = self.commit(commands, atomic=False, validate_only=True)
        assert isinstance(verdicts, list)
        for command, verdict in zip(commands, verdicts, strict=True):
            expected = changes(command, trial)
            assert isinstance(verdict, Refusal) == (expected is None)
            trial.update(expected or {})

    @invariant()
    def stock_is_what_the_dictionary_says(self) -> None:
        assert {key: level.on_hand for key, level in self.levels.items() if level.on_hand} == {
            key: quantity for key, quantity in self.on_hand.items() if quantity
        }

    @invariant()
    def ledger_explains_every_level(self) -> None:
        sums: dict[LevelKey, Quantities] = {}
        entries: Counter[LevelKey] = Counter()
        for entry in self.ledger:
            key = entry.level.key
            before = sums.get(key, Quantities())
            sums[key] = Quantities(*(a + b for a, b in zip(before, entry.delta, strict=True)))
            entries[key] += 1
            # Dense versions, and each entry's result is the sum of the deltas up to it.
            assert entry.level.version == entries[key]
            assert Quantities(*entry.level[1:5]) == sums[key]
        for key, level in self.levels.items():
            assert level.version == entries[key]
            assert Quantities(*level[1:5]) == sums[key]

    @invariant()
    def arithmetic_holds(self) -> None:
        for level in self.levels.values():
            assert 0 <= level.reserved <= level.on_hand <= MAX_QUANTITY
            assert 0 <= level.backordered <= level.backorder_limit
            assert level.in_transit >= 0


TestStock = StockMachine.TestCase
TestStock.settings = settings(max_examples=150, stateful_step_count=20)
