"""Processor time by part: it tells what a command costs even when others use the machine too."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.family import family

TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """Seconds of processor time by part, and of the whole machine: busy, and there to be used."""

    parts: Mapping[str, float]
    busy: float
    total: float

    def since(self, before: Usage) -> Usage:
        """Return what was used between `before` and this."""
        parts = {name: seconds - before.parts[name] for name, seconds in self.parts.items()}
        return Usage(parts, self.busy - before.busy, self.total - before.total)

    @property
    def others(self) -> float:
        """The share of the machine, 0 to 1, that was used by none of the parts."""
        return max(0.0, self.busy - sum(self.parts.values())) / self.total


def usage(parts: Mapping[str, Iterable[int]]) -> Usage:
    """Return what the processes of each part, with their children, have used up to now."""
    numbers = [int(text) for text in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    total, idle = sum(numbers), numbers[3] + numbers[4]
    seconds = {
        name: sum(_seconds(one) for pid in pids for one in family(pid)) for name, pids in parts.items()
    }
    return Usage(seconds, (total - idle) * TICK, total * TICK)


def _seconds(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0  # it has just ended, and its parent has its time
    # The name, in brackets, may hold spaces: the fields begin after it.
    own_and_of_ended_children = text.rpartition(")")[2].split()[11:15]
    return sum(map(int, own_and_of_ended_children)) * TICK
