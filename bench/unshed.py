"""Stacks that shed nothing, for benches that ask how much a service can carry."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import yaml

from stack import limits
from stack.envoy_proxy import LIMITS_VARIABLE

# As many as the edge lets through to a service.
EVERYTHING = 2048


@contextmanager
def unshed() -> Iterator[None]:
    """Have the stacks that are started meanwhile shed nothing."""
    table = yaml.safe_load(limits.TABLE.read_text())
    table["shedding"]["least"] = table["shedding"]["most"] = EVERYTHING
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(table, file)
        file.flush()
        os.environ[LIMITS_VARIABLE] = file.name
        try:
            yield
        finally:
            del os.environ[LIMITS_VARIABLE]
