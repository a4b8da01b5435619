"""What a comparison found, and how a difference is put in words. Pure."""

from collections import Counter
from dataclasses import dataclass, field

from inventory.type.v1.stock_pb2 import StockLevel
from query_svc.read_model import Versioned
from query_svc.rows import Row

SHOWN_FAULTS = 20


@dataclass(slots=True)
class Report:
    """What was compared and what differs; of the faults, the first SHOWN_FAULTS in words.

    compared: how many of each kind of thing, entries of the ledger among them.
    by_place: how many differences were found in the ledger, the lots, the promises, the read model.
    repaired: how many of each kind were put right in the read model, because they were only stale.
    retired: how many of each kind have left the read model, because they were closed long ago.
    """

    compared: Counter[str] = field(default_factory=Counter)
    by_place: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    retired: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def fault_count(self) -> int:
        """How many differences there are."""
        return self.by_place.total()

    def fault(self, place: str, what: str) -> None:
        """Count a difference that was found at a place."""
        self.by_place[place] += 1
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
