"""What is compared with what, and how a difference is put in words. Pure."""

from dataclasses import dataclass, field

from inventory.type.v1.item_pb2 import Item
from inventory.type.v1.location_pb2 import Location
from inventory.type.v1.stock_pb2 import StockLevel
from query_svc.rows import Row

SHOWN_FAULTS = 20


@dataclass(slots=True)
class Report:
    """What was compared and what differs; of the faults, the first SHOWN_FAULTS in words."""

    levels: int = 0
    entries: int = 0
    items: int = 0
    locations: int = 0
    fault_count: int = 0
    faults: list[str] = field(default_factory=list)

    def fault(self, what: str) -> None:
        """Count a difference."""
        self.fault_count += 1
        if len(self.faults) < SHOWN_FAULTS:
            self.faults.append(what)


def figures(level: StockLevel) -> list[int]:
    """Return the four quantities that the ledger follows, and the version."""
    return [level.on_hand, level.reserved, level.backordered, level.in_transit, level.version]


def ledger_faults(row: Row, level: StockLevel) -> list[str]:
    """Return what is wrong between a level's row and its entries in the ledger.

    `row` holds `sums`, the sums of the deltas and the number of the entries, archived ones included, and
    `broken_at`, the version of the first entry that does not follow from the one before it.
    """
    faults = []
    if row["sums"] != figures(level):
        faults.append(f"the row says {figures(level)}, the ledger sums up to {row['sums']}")
    if row["broken_at"] is not None:
        faults.append(f"the ledger's entry {row['broken_at']} does not follow from the one before it")
    return faults


def view_fault(expected: StockLevel | Item | Location, shown: StockLevel | Item | Location | None) -> str:
    """Return in words how what the read model shows differs from the row."""
    if shown is None:
        return f"the row says {_summary(expected)}, the read model shows None"
    differing = [
        one.name
        for one in expected.DESCRIPTOR.fields
        if getattr(expected, one.name) != getattr(shown, one.name)
    ]
    return (
        f"the row says {_summary(expected)}, the read model shows {_summary(shown)}:"
        f" they differ in {', '.join(differing)}"
    )


def _summary(message: StockLevel | Item | Location) -> str:
    return str(figures(message)) if isinstance(message, StockLevel) else f"version {message.version}"
