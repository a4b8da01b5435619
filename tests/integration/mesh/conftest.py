"""A stack without change data capture: the services, their sidecars and the edge."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stack.envoy_proxy import ORIGINS_VARIABLE, SERVICES, sidecar
from tests.stack_fixture import RunningStack, running_stack

PARTS = ("postgres", "database", "valkey", "certificates", "rotation", "issuer", "audit", "edge")
ORIGIN = "http://localhost:9999"
"""The origin whose pages may call."""


@pytest.fixture(scope="session")
def mesh() -> Iterator[RunningStack]:
    """Give it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ORIGINS_VARIABLE, ORIGIN)
        with running_stack("mesh", only=(*PARTS, *SERVICES, *map(sidecar, SERVICES))) as running:
            yield running
