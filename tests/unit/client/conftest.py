"""A scripted service, and a client that knows it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from client import InventoryClient
from tests.unit.client.scripted_service import FAST, Service


@pytest.fixture
async def service() -> AsyncIterator[tuple[Service, str]]:
    """Give the service, and its address."""
    script = Service()
    async with script.served() as address:
        yield script, address


@pytest.fixture
async def client(service: tuple[Service, str]) -> AsyncIterator[InventoryClient]:
    """Give a client that tries again at once."""
    async with InventoryClient(service[1], actor="test", timeout=60, retry=FAST) as connected:
        yield connected
