"""Reads a shop's order lines from a CSV file, and says of every row what became of it.

The columns are those of the Online Retail data set (doi 10.1057/dbm.2012.17). What a row is, as nine months
of that shop's rows tell:

    invoice  quantity  price, customer       is
    C...     < 0       any                   a return: the goods are back
    other    < 0       priced or customer    a return without the C
    other    < 0       free, nobody          a write-off; the description says why (see NOTES)
    other    > 0       free, nobody, alone   stock that turned up or was corrected: each such row has an
                                             invoice of its own, and a note or nothing as description
    other    > 0       anything else         a sale; free lines among others are parts of sets

Codes that differ only in case carry the same descriptions throughout: they are one SKU, in capitals. An item
is named by the first priced row that describes it, otherwise by its SKU: descriptions of free rows are notes.
Sales to nobody are the web shop's, served by the dark store; of the customers every fourth buys in the store,
the others from the warehouse, where goods are written off and turn up too.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TextIO, cast

from demo.events import DARK_STORE, STORE, WAREHOUSE, Day, Item, Line, Order
from demo.rows import COLUMNS, Row, Unusable, UnusableRowError, parse
from inventory.type.v1 import stock_pb2

# A longer day comes in parts, so that memory stays bounded whatever the file holds.
DAY_ROWS = 50_000
EXAMPLES = 5

NOTES = tuple(
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (
            "damage|thrown|throw away|broken|crack|crush|smash|wet|rust|mould|smudge|faulty",
            stock_pb2.MOVEMENT_REASON_DAMAGE,
        ),
        ("sample|show ?room|display|given away", stock_pb2.MOVEMENT_REASON_SAMPLE),
        (r"^\W*$|lost|missing|mia\b|mystery", stock_pb2.MOVEMENT_REASON_LOSS),
    )
)
"""Notes on write-offs and what they mean; any other note corrects a mistake."""


class OrderFileError(Exception):
    """The file as a whole cannot be read as order lines; the message says why."""


@dataclass(slots=True)
class SetAside:
    """How many rows were set aside for one reason, and the first few different ones in words."""

    rows: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Intake:
    """What became of the rows read so far: rows_read == rows_used + rows_set_aside."""

    rows_read: int = 0
    rows_used: int = 0
    set_aside: dict[Unusable, SetAside] = field(default_factory=dict)

    @property
    def rows_set_aside(self) -> int:
        """The sum over all reasons."""
        return sum(one.rows for one in self.set_aside.values())

    def refuse(self, error: UnusableRowError) -> None:
        """Count a row that cannot be used."""
        one = self.set_aside.setdefault(error.reason, SetAside())
        one.rows += 1
        if len(one.examples) < EXAMPLES and error.example not in one.examples:
            one.examples.append(error.example)


class OrderFile:
    """A source of orders: the first `limit` days (all when None) of a CSV file, plain or .gz.

    Rows of one day must stand together; a date that comes back later is a day of its own.
    `intake` tells what became of the rows of the newest reading.
    """

    def __init__(self, path: Path, limit: int | None = None) -> None:
        self._path = path
        self._limit = limit
        self._items: dict[str, Item] = {}
        self.intake = Intake()

    def items(self) -> Mapping[str, Item]:
        """Return every item read so far, by SKU."""
        return self._items

    def days(self) -> Iterator[Day]:
        """Read the file from its beginning, a day in memory at a time. Raises OrderFileError."""
        self.intake = Intake()
        try:
            with self._open() as file:
                for number, (day, rows) in enumerate(self._days_of_rows(file), start=1):
                    yield Day(day, tuple(_orders(rows)))
                    if number == self._limit:
                        return
        except (OSError, EOFError, zlib.error) as error:
            raise OrderFileError(f"{self._path}: {error}") from error

    def _open(self) -> TextIO:
        # A byte that is no UTF-8 spoils a name, not the run.
        if self._path.suffix == ".gz":
            return cast(
                "TextIO", gzip.open(self._path, "rt", encoding="utf-8-sig", errors="replace", newline="")
            )
        return self._path.open(encoding="utf-8-sig", errors="replace", newline="")

    def _days_of_rows(self, file: TextIO) -> Iterator[tuple[date, list[Row]]]:
        rows: list[Row] = []
        for row in self._rows(file):
            if rows and (row.time.date() != rows[0].time.date() or len(rows) == DAY_ROWS):
                yield rows[0].time.date(), rows
                rows = []
            rows.append(row)
            self.intake.rows_used += 1
        if rows:
            yield rows[0].time.date(), rows

    def _rows(self, file: TextIO) -> Iterator[Row]:
        reader = csv.DictReader(file)
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise OrderFileError(f"{self._path}: the columns {', '.join(missing)} are missing")
        now = datetime.now(UTC)
        while True:
            try:
                fields = next(reader)
                row = parse(cast("Mapping[str | None, Any]", fields), now)
            except StopIteration:
                return
            except csv.Error as error:
                self.intake.refuse(UnusableRowError(Unusable.SHAPE, str(error)))
            except UnusableRowError as error:
                self.intake.refuse(error)
            else:
                self._name(row)
                yield row
            self.intake.rows_read += 1

    def _name(self, row: Row) -> None:
        known = self._items.get(row.sku)
        if known is None or known.name == known.sku:
            described = row.price > 0 and row.description
            self._items[row.sku] = Item(row.sku, row.description if described else row.sku)


def _orders(rows: list[Row]) -> Iterator[Order]:
    """Gather a day's rows by invoice, in the order in which the invoices begin."""
    invoices: dict[str, list[Row]] = {}
    for row in rows:
        invoices.setdefault(row.invoice, []).append(row)
    for invoice, together in invoices.items():
        yield Order(invoice, tuple(_line(row, alone=len(together) == 1) for row in together))


def _line(row: Row, *, alone: bool) -> Line:
    if row.quantity < 0 and (row.is_cancellation or not row.is_free_to_nobody):
        return Line(row.sku, _place(row), -row.quantity, stock_pb2.MOVEMENT_REASON_RETURN, row.time)
    if row.quantity < 0:
        return Line(row.sku, WAREHOUSE, row.quantity, _write_off_reason(row.description), row.time)
    if alone and row.is_free_to_nobody:
        found = "found" in row.description.lower()
        reason = stock_pb2.MOVEMENT_REASON_FOUND if found else stock_pb2.MOVEMENT_REASON_CORRECTION
        return Line(row.sku, WAREHOUSE, row.quantity, reason, row.time)
    return Line(row.sku, _place(row), -row.quantity, stock_pb2.MOVEMENT_REASON_SALE, row.time)


def _write_off_reason(note: str) -> stock_pb2.MovementReason.ValueType:
    for pattern, reason in NOTES:
        if pattern.search(note):
            return reason
    return stock_pb2.MOVEMENT_REASON_CORRECTION


def _place(row: Row) -> str:
    if not row.customer:
        return DARK_STORE
    return STORE if zlib.crc32(row.customer.encode()) % 4 == 0 else WAREHOUSE
