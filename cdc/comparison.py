"""What a comparison found, and how a difference is put in words. Pure."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from inventory.type.v1.stock_pb2 import StockLevel
from query_svc.read_model import Versioned
from query_svc.rows import Row

SHOWN_FAULTS = 20


class Spot(NamedTuple):
    """Where something is compared, and what kind of thing it is."""

    place: str
    kind: str

    def __str__(self) -> str:
        return f"{self.kind} in the {self.place}"


LEVELS, ENTRIES = Spot("ledger", "levels"), Spot("ledger", "entries")
LOTS, SERIALS = Spot("lots", "lots"), Spot("lots", "serials")
PROMISES = Spot("promises", "levels")
BOOKS: Final = (LEVELS, ENTRIES, LOTS, SERIALS, PROMISES)
"""What is compared of the books."""

VIEW: Final = "read model"
"""The place of what is compared with the rows of each kind."""


@dataclass(slots=True)
class Report:
    """What was compared and what differs; of the faults, the first SHOWN_FAULTS in words.

    compared: how many were looked at; lots, serials and promises are, with the ledger's levels; of lists
        nobody counts them.
    drift: how many differ, and are not only stale.
    repaired: how many were put right in the read model, because they were only stale.
    retired: how many have left the read model, because they were closed long ago.
    """

    compared: Counter[Spot] = field(default_factory=Counter)
    drift: Counter[Spot] = field(default_factory=Counter)
    repaired: Counter[Spot] = field(default_factory=Counter)
    retired: Counter[Spot] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def fault_count(self) -> int:
        """How many differences there are."""
        return self.drift.total()

    def add(self, other: "Report") -> None:
        """Count what another report counts too; its faults in words are not taken over."""
        self.compared += other.compared
        self.drift += other.drift
        self.repaired += other.repaired
        self.retired += other.retired

    def fault(self, spot: Spot, what: str) -> None:
        """Count a difference that was found at a spot."""
        self.drift[spot] += 1
        if len(self.faults) < SHOWN_FAULTS:
            self.faults.append(what)


def figures(level: StockLevel) -> list[int]:
    """Return the four quantities that the ledger follows, and the version."""
    return [level.on_hand, level.reserved, level.backordered, level.in_transit, level.version]


def ledger_faults(row: Row, expected: list[int]) -> list[str]:
    """Return what is wrong between the figures of a level's row and its entries in the ledger.

    `row` holds `sums`, the sums of the deltas and the number of the entries, archived ones included, and
    `broken_at`, the version of the first entry that does not follow from the one before it.
    """
    faults = []
    if row["sums"] != expected:
        faults.append(f"the row says {expected}, the ledger sums up to {row['sums']}")
    if row["broken_at"] is not None:
        faults.append(f"the ledger's entry {row['broken_at']} does not follow from the one before it")
    return faults


def view_fault(expected: Versioned, shown: Versioned | None) -> str:
    """Return in words how what the read model shows differs from the row."""
    if shown is None:
        return f"the row says {_summary(expected)}, the read model shows None"
    differing = [
        one.name
        for one in expected.DESCRIPTOR.fields
        if getattr(expected, one.name) != getattr(shown, one.name)
    ]
    if not differing:
        return f"the read model shows {_summary(shown)}, and not in the lists where it belongs"
    return (
        f"the row says {_summary(expected)}, the read model shows {_summary(shown)}:"
        f" they differ in {', '.join(differing)}"
    )


def _summary(message: Versioned) -> str:
    return str(figures(message)) if isinstance(message, StockLevel) else f"version {message.version}"
