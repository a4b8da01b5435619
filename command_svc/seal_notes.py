"""The last seals of days that are over, noted where who administers the database cannot write.

A day that was rewritten as a whole, seals and all, is found by such a note alone. Notes go into the log, into
a folder if there is one, and onto the page of metrics: whoever keeps one of these keeps a proof.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import structlog
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from command_svc.store.upkeep import SealedDay

log = structlog.get_logger()


class SealNotes(Collector):
    """Notes days in `folder`, a file for each; without one, in log and metrics alone."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._newest: SealedDay | None = None
        self._logged: set[SealedDay] = set()

    def note(self, days: Sequence[SealedDay]) -> list[SealedDay]:
        """Note days, the oldest first; return those that had been noted otherwise. Raises OSError."""
        for day in days:
            if day not in self._logged:
                log.info("audit day sealed", day=str(day.day), entries=day.entries, seal=day.seal.hex())
        self._logged = set(days)
        self._newest = days[-1] if days else self._newest
        return [] if self._folder is None else list(_contradicted(self._folder, days))

    def collect(self) -> Iterable[Metric]:
        """Tell the seal of the newest day that is over, with its number of entries."""
        seal = GaugeMetricFamily(
            "inventory_audit_day_seal",
            "Entries of the newest day of the audit log that is over, and the last seal of its chain.",
            labels=["day", "seal"],
        )
        if self._newest is not None:
            seal.add_metric([str(self._newest.day), self._newest.seal.hex()], self._newest.entries)
        return [seal]


def _contradicted(folder: Path, days: Iterable[SealedDay]) -> Iterator[SealedDay]:
    for day in days:
        file, text = folder / f"{day.day}.seal", f"{day.day} {day.entries} {day.seal.hex()}\n"
        if file.exists():
            if file.read_text() != text:
                yield day
            continue
        draft = folder / f".{day.day}.{os.getpid()}"
        with draft.open("w") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        draft.rename(file)
