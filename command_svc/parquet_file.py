"""Rows in a Parquet file: written in a stream, read back to be believed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


class FileError(Exception):
    """The file cannot be written, or is not what it should be."""


def write(path: Path, shape: pa.Schema, batches: Iterable[list[tuple[Any, ...]]]) -> None:
    """Write a new file, or over an old one, and return when it is on disk.

    Rows have the fields of `shape`, in its order. Each batch becomes a row group, and is all that is held in
    memory. Raises FileError and OSError.
    """
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


@contextmanager
def opened(path: Path) -> Iterator[pq.ParquetFile]:
    """Give a file to be read from end to end; raises FileError when it cannot be."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path} cannot be read: {error}: remove it, then try again") from error


def _arrays(shape: pa.Schema, rows: list[tuple[Any, ...]]) -> Iterator[pa.Array]:
    for field, values in zip(shape, zip(*rows, strict=True), strict=True):
        if pa.types.is_string(field.type):
            yield pa.array((None if value is None else str(value) for value in values), field.type)
        else:
            yield pa.array(values, field.type)
