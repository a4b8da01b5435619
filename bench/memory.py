"""How much memory processes hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.table import Table

from bench.family import family

KIB = 1024


def megabytes(pid: int) -> float:
    """Return the resident memory of a process and of its children, in MB; pages they share count once.

    What is shared with other programs is counted by its share (the kernel's PSS).
    """
    return sum(_pss(one) for one in family(pid)) * KIB / 1e6


def table(megabytes: Mapping[str, float]) -> Table:
    """Return the table of what each holds."""
    found = Table("memory", "MB", title="afterwards")
    for name, size in megabytes.items():
        found.add_row(name, f"{size:,.0f}")
    return found


def _pss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0
