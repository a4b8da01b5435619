"""A month of the audit log as a Parquet file that proves itself: every entry with its seal."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa

from audit.chain import Broken, Seal, Stored, beginning, follow
from command_svc import parquet_file
from command_svc.parquet_file import FileError
from command_svc.store.audit_archive import Head

_TEXTS = ("method", "verdict", "actor", "proof", "source", "request_id", "trace_id")
SCHEMA = pa.schema(
    [
        ("day", pa.date32()),
        ("transaction_number", pa.int64()),
        ("entry_id", pa.int64()),
        ("record_time", pa.timestamp("us", tz="UTC")),
        *((name, pa.string()) for name in _TEXTS),
        ("skus", pa.list_(pa.string())),
        ("location_ids", pa.list_(pa.string())),
        ("transaction_id", pa.string()),
        ("calls", pa.int64()),
        ("position", pa.int64()),
        ("seal", pa.binary()),
    ]
)
_ENTRY = len(Stored._fields)
_TRANSACTION = Stored._fields.index("transaction_id")


def write(path: Path, batches: Iterable[list[tuple[Any, ...]]]) -> None:
    """Write rows, as `AuditArchive.rows` yields them, to a file, as `parquet_file.write` does."""
    parquet_file.write(path, SCHEMA, batches)


def prove(path: Path) -> dict[date, Head]:
    """Read a file from end to end, compute every seal anew, and return how the chain of each day ends.

    Raises FileError when it cannot be read to its end, or a seal is not that of its entry.
    """
    last: dict[date, Seal] = {}
    with parquet_file.opened(path) as file:
        if not file.schema_arrow.equals(SCHEMA):
            raise FileError(f"{path} is no file of the audit log")
        for group in range(file.num_row_groups):
            rows = zip(*(column.to_pylist() for column in file.read_row_group(group)), strict=True)
            for day, of_day in groupby(rows, key=lambda row: row[0]):
                found = _follow(last.get(day, beginning(day)), list(of_day))
                if isinstance(found, Broken):
                    raise FileError(f"{path}: {found.flaw.value}: {day}, seal {found.position}")
                last[day] = found
    return {day: Head(seal.position, seal.seal) for day, seal in last.items()}


def _follow(last: Seal, rows: list[tuple[Any, ...]]) -> Seal | Broken:
    entries = [
        Stored(*row[:_ENTRY])._replace(
            transaction_id=None if row[_TRANSACTION] is None else UUID(row[_TRANSACTION])
        )
        for row in rows
    ]
    return follow(last, [Seal(row[_ENTRY], row[1], row[2], row[_ENTRY + 1]) for row in rows], entries)
