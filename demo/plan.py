"""What a source of orders will ask of the shop: read once before the run, kept in memory by level."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from demo.events import Item, Level, Source

# Opening stock covers this share of what will leave: without a restock the shop would run dry.
COVER = Fraction(3, 5)
# In the evening, levels at or below this share of their target are filled up again.
REORDER = Fraction(1, 2)


@dataclass(frozen=True, slots=True)
class Plan:
    """The figures of a source.

    items: every item, by SKU. target: how much each level should hold. days, orders, lines: how many.
    """

    items: Mapping[str, Item]
    target: Mapping[Level, int]
    days: int
    orders: int
    lines: int

    def is_low(self, level: Level, on_hand: int) -> bool:
        """Whether a level is to be filled up."""
        return on_hand <= self.target.get(level, 0) * REORDER


def survey(source: Source) -> Plan:
    """Read the source through once and return the plan; its memory grows with the levels alone."""
    leaving: Counter[Level] = Counter()
    days = orders = lines = 0
    for day in source.days():
        days += 1
        for order in day.orders:
            orders += 1
            lines += len(order.lines)
            for line in order.lines:
                if line.delta < 0:
                    leaving[line.sku, line.location_id] -= line.delta
    target = {level: math.ceil(quantity * COVER) for level, quantity in leaving.items()}
    return Plan(dict(source.items()), target, days, orders, lines)
