"""A month of the ledger as a Parquet file, and its totals."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from command_svc import parquet_file
from command_svc.parquet_file import FileError
from command_svc.store.archive import Column, Totals

# PostgreSQL's name of a type, and what becomes of it.
TYPES: dict[str, pa.DataType] = {
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "integer": pa.int32(),
    "text": pa.string(),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
    "uuid": pa.string(),
}


def schema(columns: Sequence[Column]) -> pa.Schema:
    """Return the schema for columns of the ledger; FileError when there is a type it does not know."""
    for column in columns:
        if column.kind not in TYPES:
            raise FileError(f"column {column.name} has type {column.kind}, which the archive does not know")
    return pa.schema([(column.name, TYPES[column.kind]) for column in columns])


def write(path: Path, columns: Sequence[Column], batches: Iterable[list[tuple[Any, ...]]]) -> None:
    """Write entries to a file, as `parquet_file.write` does."""
    parquet_file.write(path, schema(columns), batches)


def totals(path: Path) -> Totals:
    """Read a file from end to end and return its totals, as ledger_month_totals() defines them.

    Raises FileError when it cannot be read to its end.
    """
    entries = checksum = 0
    with parquet_file.opened(path) as file:
        names = sorted(file.schema_arrow.names)
        for group in range(file.num_row_groups):
            texts = [_texts(column) for column in file.read_row_group(group, columns=names).select(names)]
            for row in zip(*texts, strict=True):
                entries += 1
                digest = hashlib.sha256("".join(row).encode()).digest()
                checksum += int.from_bytes(digest[:8], signed=True)
    return Totals(entries, checksum)


def _texts(column: pa.ChunkedArray) -> list[str]:
    """Return each value as its part of the text that is hashed."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    return ["-" if text is None else f"{len(text)}:{text}" for text in column.cast(pa.string()).to_pylist()]
