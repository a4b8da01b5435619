"""A month of the audit log as a Parquet file that proves itself: every entry with its seal."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq

from audit.chain import Broken, Seal, Stored, beginning, follow
from command_svc.ledger_file import FileError
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
    """Write a new file, or over an old one, and return when it is on disk.

    Rows are as `AuditArchive.rows` yields them. Each batch becomes a row group, and is all that is held in
    memory. Raises FileError and OSError.
    """
    with path.open("wb") as file:
        try:
            with pq.ParquetWriter(file, SCHEMA, compression="zstd", write_page_checksum=True) as writer:
                for rows in batches:
                    columns = [list(column) for column in zip(*rows, strict=True)]
                    columns[_TRANSACTION] = [
                        None if value is None else str(value) for value in columns[_TRANSACTION]
                    ]
                    arrays = [
                        pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)
                    ]
                    writer.write_batch(pa.record_batch(arrays, schema=SCHEMA))
        except pa.ArrowException as error:
            raise FileError(f"{path} cannot be written: {error}") from error
        file.flush()
        os.fsync(file.fileno())
        # So that reading it back reads what the disk holds.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def prove(path: Path) -> dict[date, Head]:
    """Read a file from end to end, compute every seal anew, and return how the chain of each day ends.

    Raises FileError when it cannot be read to its end, or a seal is not that of its entry.
    """
    last: dict[date, Seal] = {}
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            if not file.schema_arrow.equals(SCHEMA):
                raise FileError(f"{path} is no file of the audit log")
            for group in range(file.num_row_groups):
                rows = zip(*(column.to_pylist() for column in file.read_row_group(group)), strict=True)
                for day, of_day in groupby(rows, key=lambda row: row[0]):
                    found = _follow(last.get(day, beginning(day)), list(of_day))
                    if isinstance(found, Broken):
                        raise FileError(f"{path}: {found.flaw.value}: {day}, seal {found.position}")
                    last[day] = found
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path} cannot be read: {error}: remove it, then try again") from error
    return {day: Head(seal.position, seal.seal) for day, seal in last.items()}


def _follow(last: Seal, rows: list[tuple[Any, ...]]) -> Seal | Broken:
    entries = [
        Stored(*row[:_ENTRY])._replace(
            transaction_id=None if row[_TRANSACTION] is None else UUID(row[_TRANSACTION])
        )
        for row in rows
    ]
    return follow(last, [Seal(row[_ENTRY], row[1], row[2], row[_ENTRY + 1]) for row in rows], entries)
