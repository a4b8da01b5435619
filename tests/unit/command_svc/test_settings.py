"""What the command service does when it is told nothing."""

from __future__ import annotations

import pytest

from command_svc.config import CommandSettings
from serving.settings import load


@pytest.mark.parametrize(
    ("workers", "given", "lingers"),
    [("1", None, 0.0), ("2", None, 0.002), ("1", "0.01", 0.01), ("4", "0", 0.0)],
)
def test_only_several_workers_wait_for_company_unless_told(
    monkeypatch: pytest.MonkeyPatch, workers: str, given: str | None, lingers: float
) -> None:
    monkeypatch.setenv("INVENTORY_COMMAND_LISTEN", "127.0.0.1:8080")
    monkeypatch.setenv("INVENTORY_COMMAND_DATABASE_URL", "postgresql://localhost/inventory")
    monkeypatch.setenv("INVENTORY_COMMAND_WORKERS", workers)
    if given is not None:
        monkeypatch.setenv("INVENTORY_COMMAND_LINGER_SECONDS", given)
    assert load(CommandSettings).linger == lingers
