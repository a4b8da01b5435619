"""A stack without change data capture: the services, their sidecars and the edge."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stack.envoy_proxy import SERVICES, sidecar
from tests.stack_fixture import RunningStack, running_stack

PARTS = ("postgres", "database", "valkey", "certificates", "rotation", "issuer", "audit", "edge")


@pytest.fixture(scope="session")
def mesh() -> Iterator[RunningStack]:
    """Give it."""
    with running_stack("mesh", only=(*PARTS, *SERVICES, *map(sidecar, SERVICES))) as running:
        yield running
