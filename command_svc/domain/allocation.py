"""Finding the units behind a promise: lines asked for, with or without a location, as levels and lots."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from command_svc.domain import lots, sourcing
from command_svc.domain.levels import LevelKey
from command_svc.domain.lot import LotChoice, Part
from command_svc.domain.refusals import InsufficientStockError, ItemArchivedError, ItemNotStockedError
from command_svc.domain.sourcing import Candidate, Strategy, Want
from command_svc.domain.transaction import OutOfReachError

if TYPE_CHECKING:
    from command_svc.domain.transaction import Transaction


class WantedLine(NamedTuple):
    """Units asked for: at one location, or (None) wherever the strategy finds them; of one lot, or any."""

    sku: str
    location_id: str | None
    quantity: int
    lot_id: str = ""


class Terms(NamedTuple):
    """How lines are to be served.

    `backorder` also takes what levels allow beyond what is there; `partial` takes less than asked for.
    """

    strategy: Strategy
    use_safety_stock: bool = False
    backorder: bool = False
    partial: bool = False


@dataclass(slots=True)
class Found:
    """Units that stand behind a promise: ready ones by level and lot, and backordered ones by level."""

    ready: Counter[tuple[LevelKey, str]] = field(default_factory=Counter)
    backordered: Counter[LevelKey] = field(default_factory=Counter)
    candidates: list[Candidate] = field(default_factory=list)

    @property
    def keys(self) -> list[LevelKey]:
        """The levels that it touches."""
        return list(dict.fromkeys([*(key for key, _ in self.ready), *self.backordered]))


def find(transaction: Transaction, lines: Sequence[WantedLine], terms: Terms) -> Found:
    """Return the units behind the lines; lines that share a level are served from it one after the other.

    Nothing is entered. Raises the refusals of `Transaction.open_level` and `lots.free`, and
    InsufficientStockError when a line is short and may not be; a promise of nothing at all is always
    short.
    """
    for line in lines:
        if line.location_id is None and transaction.is_new_bundle(line.sku):
            raise OutOfReachError(line.sku)  # nobody knew whose levels to look for
    search = _Search(transaction, terms)
    wants = [Want(_recipe(transaction, line.sku), line.quantity) for line in lines]
    left = [want.units for want in wants]
    for index, line in enumerate(lines):
        if line.location_id is not None:
            left[index] -= search.at(wants[index], line.location_id, left[index], line.lot_id)
    search.anywhere(wants, lines, left)
    if terms.backorder and any(left):
        search.room = True
        for index, line in enumerate(lines):
            if line.location_id is not None and not line.lot_id:
                left[index] -= search.at(wants[index], line.location_id, left[index])
        search.anywhere(wants, lines, left)
    found = search.found()
    short = next((index for index, units in enumerate(left) if units), None)
    if short is not None and (not terms.partial or not found.keys):
        line = lines[short]
        key = LevelKey(line.sku, line.location_id or "")
        raise InsufficientStockError(key, line.quantity, line.quantity - left[short], lot_id=line.lot_id)
    return found


def keys_of(transaction: Transaction, lines: Iterable[WantedLine]) -> set[LevelKey]:
    """Return the levels that may serve the lines, as far as they are known."""
    keys: set[LevelKey] = set()
    for line in lines:
        for sku in _recipe(transaction, line.sku):
            if line.location_id is not None:
                keys.add(LevelKey(sku, line.location_id))
            else:
                keys.update(key for key in transaction.levels if key.sku == sku)
    return keys


def _recipe(transaction: Transaction, sku: str) -> Mapping[str, int]:
    facts = transaction.fact(sku)
    recipe = facts.recipe(sku)
    for one in (sku, *recipe):
        if one in transaction.archived:
            raise ItemArchivedError(one)
    if not recipe:
        raise ItemNotStockedError(sku, facts.kind)
    return recipe


class _Search:
    """What has been taken so far of what is free; with `room`, of what may be backordered too."""

    def __init__(self, transaction: Transaction, terms: Terms) -> None:
        self._transaction = transaction
        self._terms = terms
        self._taken: Counter[LevelKey] = Counter()
        self._parts: Counter[tuple[LevelKey, str]] = Counter()
        self._candidates: list[Candidate] = []
        self.room = False

    def at(self, want: Want, location_id: str, units: int, lot_id: str = "") -> int:
        """Take up to `units` of a want at a location; return how many there were."""
        keys = {sku: LevelKey(sku, location_id) for sku in want.recipe}
        for key in keys.values():
            self._transaction.open_level(key)
        served = min(
            units, sourcing.whole_units(want.recipe, {s: self._free(k, lot_id) for s, k in keys.items()})
        )
        self._take(want, location_id, served, lot_id)
        return served

    def anywhere(self, wants: Sequence[Want], lines: Sequence[WantedLine], left: list[int]) -> None:
        """Take what is left of the lines without a location, where the strategy says."""
        open_ones = [index for index, line in enumerate(lines) if line.location_id is None and left[index]]
        asked = [wants[index]._replace(units=left[index]) for index in open_ones]
        if not asked:
            return
        sites = self._transaction.sites.values()
        free: dict[str, dict[str, int]] = defaultdict(dict)
        skus = {sku for want in asked for sku in want.recipe}
        for key in self._transaction.levels:
            if key.sku in skus and key.location_id in self._transaction.sites:
                free[key.location_id][key.sku] = self._free(key)
        serving = sourcing.allocate(asked, free, sites, self._terms.strategy)
        candidates = sourcing.explain(asked, free, sites, self._terms.strategy, serving)
        self._candidates = _merged(self._candidates, candidates)
        for index, want, locations in zip(open_ones, asked, serving, strict=True):
            for location_id, units in locations.items():
                self._take(want, location_id, units)
                left[index] -= units

    def found(self) -> Found:
        """Return what was taken, apart into what is there and what is not."""
        found = Found(candidates=self._candidates)
        for key, units in self._taken.items():
            ready = min(units, self._there(key))
            if ready < units:
                found.backordered[key] = units - ready
            named = {lot: count for (level, lot), count in self._parts.items() if level == key}
            for part in self._split(key, ready, named):
                found.ready[key, part.lot_id] += part.units
        return found

    def _split(self, key: LevelKey, units: int, named: Mapping[str, int]) -> Iterable[Part]:
        """Yield the lots that `units` of a level come from: those named, the rest first expired first."""
        level = self._transaction.level(key)
        if not level.lot_tracked:
            return [Part("", units)] if units else []
        parts = [Part(lot_id, count) for lot_id, count in named.items()]
        rest = units - sum(named.values())
        for part in lots.take(self._transaction, level, units, LotChoice()) if rest else []:
            # Taken as if all were free to choose, less what is named already.
            given = min(rest, max(0, part.units - named.get(part.lot_id, 0)))
            rest -= given
            if given:
                parts.append(Part(part.lot_id, given))
        return parts

    def _take(self, want: Want, location_id: str, units: int, lot_id: str = "") -> None:
        for sku, each in want.recipe.items():
            if units:
                key = LevelKey(sku, location_id)
                self._taken[key] += units * each
                if lot_id:
                    self._parts[key, lot_id] += units * each

    def _free(self, key: LevelKey, lot_id: str = "") -> int:
        free = self._there(key)
        if self.room:
            level = self._transaction.level(key)
            free += level.backorder_limit - level.backordered
        free -= self._taken[key]
        if lot_id:
            of_lot = lots.free(self._transaction, self._transaction.level(key), lot_id)
            free = min(free, of_lot - self._parts[key, lot_id])
        return free

    def _there(self, key: LevelKey) -> int:
        level = self._transaction.level(key)
        there = lots.free(self._transaction, level)
        return max(0, there if self._terms.use_safety_stock else there - level.safety_stock)


def _merged(before: list[Candidate], after: list[Candidate]) -> list[Candidate]:
    """Return the candidates of two rounds, what each could serve and was given added up."""
    rounds = {one.site.location_id: one for one in before}
    return [
        one._replace(
            servable=one.servable + rounds[one.site.location_id].servable,
            chosen=one.chosen + rounds[one.site.location_id].chosen,
        )
        if one.site.location_id in rounds
        else one
        for one in after
    ]
