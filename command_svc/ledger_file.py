"""A month of the ledger as a Parquet file: written in a stream, read back to be believed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

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


class FileError(Exception):
    """The file cannot be written, or is not what it should be."""


def schema(columns: Sequence[Column]) -> pa.Schema:
    """Return the schema for columns of the ledger; FileError when there is a type it does not know."""
    for column in columns:
        if column.kind not in TYPES:
            raise FileError(f"column {column.name} has type {column.kind}, which the archive does not know")
    return pa.schema([(column.name, TYPES[column.kind]) for column in columns])


def write(path: Path, columns: Sequence[Column], batches: Iterable[list[tuple[Any, ...]]]) -> None:
    """Write a new file, or over an old one, and return when it is on disk.

    Each batch becomes a row group, and is all that is held in memory. Raises FileError and OSError.
    """
    shape = schema(columns)
    with path.open("wb") as file:
        try:
            with pq.ParquetWriter(file, shape, compression="zstd", write_page_checksum=True) as writer:
                for rows in batches:
                    writer.write_batch(pa.record_batch(list(_arrays(shape, rows)), schema=shape))
        except pa.ArrowException as error:
            raise FileError(f"{path} cannot be written: {error}") from error
        file.flush()
        os.fsync(file.fileno())
        # So that reading it back reads what the disk holds.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def totals(path: Path) -> Totals:
    """Read a file from end to end and return its totals, as ledger_month_totals() defines them.

    Raises FileError when it cannot be read to its end.
    """
    entries = checksum = 0
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = sorted(file.schema_arrow.names)
            for group in range(file.num_row_groups):
                texts = [_texts(column) for column in file.read_row_group(group, columns=names).select(names)]
                for row in zip(*texts, strict=True):
                    entries += 1
                    digest = hashlib.sha256("".join(row).encode()).digest()
                    checksum += int.from_bytes(digest[:8], signed=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path} cannot be read: {error}: remove it, then try again") from error
    return Totals(entries, checksum)


def _arrays(shape: pa.Schema, rows: list[tuple[Any, ...]]) -> Iterator[pa.Array]:
    for field, values in zip(shape, zip(*rows, strict=True), strict=True):
        if pa.types.is_string(field.type):
            yield pa.array((None if value is None else str(value) for value in values), field.type)
        else:
            yield pa.array(values, field.type)


def _texts(column: pa.ChunkedArray) -> list[str]:
    """Return each value as its part of the text that is hashed."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    return ["-" if text is None else f"{len(text)}:{text}" for text in column.cast(pa.string()).to_pylist()]
