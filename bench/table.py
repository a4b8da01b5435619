"""Rows of a benchmark, each measured in several rounds, as a table and as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path
from typing import Literal

from rich.table import Table

from bench.pipeline import Lag


@dataclass(frozen=True)
class Reading:
    """One round of one row: commands or levels a second, seconds that half and 99 % of calls did not pass.

    cpu: seconds of processor time for each, by part. others: the share of the machine that other programs
    used meanwhile.
    """

    rate: float
    p50: float
    p99: float
    cpu: Mapping[str, float]
    others: float
    lag: Lag | None = None


@dataclass(frozen=True)
class Against:
    """What a row is held against: another row (or several: the fastest), the ratio wanted (0: none).

    `label` is what they are called in the table.
    """

    label: str
    rows: tuple[str, ...]
    target: float = 0.0


@dataclass(frozen=True)
class Wanted:
    """What a row is to reach, in itself: commands a second, most seconds of p99 and of the view's delay."""

    rate: float = 0.0
    p99: float = inf
    behind: float = inf


NOTHING = Wanted()


@dataclass
class Row:
    """A row: what is measured, what it is held against and is to reach, its readings by round."""

    name: str
    against: tuple[Against, ...] = ()
    wanted: Wanted = NOTHING
    readings: list[Reading] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Commands a second, in the middle of the rounds."""
        return self.middle("rate")

    def middle(self, figure: Literal["rate", "p50", "p99"]) -> float:
        """Return a figure of the readings, in the middle of the rounds."""
        return float(statistics.median(getattr(one, figure) for one in self.readings))

    def cost(self, part: str) -> float:
        """Return the seconds of processor time that a part spends on a command."""
        return float(statistics.median(one.cpu[part] for one in self.readings))


class Results:
    """Rows in their order, filled round by round. Ratios are those of one round, then their median."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = {row.name: row for row in rows}

    def add(self, name: str, reading: Reading) -> None:
        """Take in a round of a row."""
        self.rows[name].readings.append(reading)

    def ratios(self, row: Row, against: Against) -> list[float]:
        """Return the row's ratio in each round."""
        others = [self.rows[name].readings for name in against.rows]
        return [
            reading.rate / max(other.rate for other in rivals)
            for reading, *rivals in zip(row.readings, *others, strict=True)
        ]

    def table(self, title: str, counted: str, parts: Sequence[str]) -> Table:
        """Return the table: medians of the rounds, the least and the most, what is missed, what it costs.

        `counted` is what the rates count.
        """
        cost = f"µs of CPU each:\n{', '.join(parts)}"
        headers = ["path", f"{counted}/s", "p50 ms", "p99 ms", "ratio", cost, "others' CPU"]
        watched = any(one.lag for row in self.rows.values() for one in row.readings)
        if watched:
            headers.append("view behind s")
        table = Table(*headers, title=title)
        for row in self.rows.values():
            rates = [one.rate for one in row.readings]
            wanted = row.wanted
            table.add_row(
                row.name,
                judged(
                    f"{row.median:,.0f} ({min(rates):,.0f}-{max(rates):,.0f})",
                    f">= {wanted.rate:,.0f}" if wanted.rate else "",
                    reached=row.median >= wanted.rate,
                ),
                f"{row.middle('p50') * 1e3:.1f}",
                judged(
                    f"{row.middle('p99') * 1e3:.1f}",
                    f"< {wanted.p99 * 1e3:,.0f}" if wanted.p99 < inf else "",
                    reached=row.middle("p99") < wanted.p99,
                ),
                "\n".join(self._compared(row, against) for against in row.against),
                ", ".join(f"{row.cost(part) * 1e6:,.0f}" for part in parts),
                f"{statistics.mean(one.others for one in row.readings):.0%}",
                *([_behind(row)] if watched else []),
            )
        return table

    def write(self, path: Path, more: dict[str, object]) -> None:
        """Write every reading and ratio, and what else there is, as JSON."""
        rows = [
            {
                **asdict(row),
                "ratios": {one.label: self.ratios(row, one) for one in row.against},
            }
            for row in self.rows.values()
        ]
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({**more, "rows": rows}, indent=1) + "\n")

    def _compared(self, row: Row, against: Against) -> str:
        ratios = self.ratios(row, against)
        middle = statistics.median(ratios)
        return judged(
            f"{middle:.2f} x {against.label} ({min(ratios):.2f}-{max(ratios):.2f})",
            f">= {against.target:g}" if against.target else "",
            reached=middle >= against.target,
        )


def _behind(row: Row) -> str:
    lags = [one.lag for one in row.readings if one.lag is not None]
    if not lags:
        return ""
    longest, bound = max(lag.longest for lag in lags), row.wanted.behind
    return judged(f"{longest:.2f}", f"< {bound:g}" if bound < inf else "", reached=longest < bound)


def judged(text: str, wanted: str, *, reached: bool) -> str:
    """Return the text with what is wanted of it, if anything is."""
    if not wanted:
        return text
    return f"[green]{text}, {wanted}[/green]" if reached else f"[red]{text}, MISSED {wanted}[/red]"
