"""What the run counts and times, in bounded memory."""

from __future__ import annotations

import math
import time
from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

SAMPLES = 20_000


class Latencies:
    """Durations in seconds; beyond SAMPLES of them, a fair sample."""

    def __init__(self) -> None:
        self.count = 0
        self._samples = array("d")
        self._random = Random(0)  # noqa: S311 - picks samples

    def add(self, seconds: float) -> None:
        """Take in one duration."""
        self.count += 1
        if len(self._samples) < SAMPLES:
            self._samples.append(seconds)
        elif (place := self._random.randrange(self.count)) < SAMPLES:
            self._samples[place] = seconds

    def quantile(self, share: float) -> float:
        """Return the duration that `share` (0 to 1) of all do not pass; NaN when there are none."""
        if not self._samples:
            return math.nan
        ordered = sorted(self._samples)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Take in how long the block takes, however it ends."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(time.perf_counter() - start)


@dataclass
class Measurements:
    """The figures of one run.

    orders: documents carried out. commands: stock commands that were answered, accepted or refused.
    refused: of them refused, by reason. selling_commands, selling_seconds: the commands of the days of
    orders, and how long these took.
    """

    unary: Latencies = field(default_factory=Latencies)
    batches: Latencies = field(default_factory=Latencies)
    queries: Latencies = field(default_factory=Latencies)
    visible_busy: Latencies = field(default_factory=Latencies)
    visible_quiet: Latencies = field(default_factory=Latencies)
    orders: int = 0
    commands: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    selling_commands: int = 0
    selling_seconds: float = 0.0
