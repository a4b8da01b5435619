"""What is stocked or sold, as it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from command_svc.domain.levels import NEVER

PHYSICAL, DIGITAL, BUNDLE = "PHYSICAL", "DIGITAL", "BUNDLE"
ACTIVE, ARCHIVED = "ACTIVE", "ARCHIVED"


class Facts(NamedTuple):
    """What an item is, for good: the part of it that decisions about stock need."""

    kind: str
    counted: bool
    lot_tracked: bool = False
    parent_sku: str = ""
    components: tuple[tuple[str, int], ...] = ()

    def recipe(self, sku: str) -> dict[str, int]:
        """Return the items that one unit takes from stock, with how many of each; none if not counted."""
        return dict(self.components) or ({sku: 1} if self.counted else {})


@dataclass(frozen=True, slots=True)
class Item:
    """Something that is stocked or sold.

    `dimensions` are length, width and height in millimetres; `components` are items and quantities of a
    bundle. `counted` is whether it has stock of its own.
    """

    sku: str
    name: str
    description: str = ""
    kind: str = PHYSICAL
    unit_of_measure: str = "each"
    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    barcodes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    state: str = ACTIVE
    version: int = 1
    create_time: datetime = NEVER
    update_time: datetime = NEVER
    counted: bool = True
    lot_tracked: bool = False
    parent_sku: str = ""
    option_values: Mapping[str, str] = field(default_factory=dict)
    dimensions: tuple[int, int, int] | None = None
    weight_grams: int = 0
    components: tuple[tuple[str, int], ...] = ()

    @property
    def facts(self) -> Facts:
        """What never changes of it."""
        return Facts(self.kind, self.counted, self.lot_tracked, self.parent_sku, self.components)
