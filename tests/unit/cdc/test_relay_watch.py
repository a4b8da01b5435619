"""A relay whose step does not end ends its process, and no other does."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

import pytest

from cdc.relay_process import STUCK_EXIT_CODE, end_if_stuck


@dataclass
class Steps:
    """A relay that has been in its step for so long."""

    step_seconds: float


class ExitedError(Exception):
    """Stands for the end of the process."""


async def test_a_step_that_does_not_end_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(code: int) -> None:
        assert code == STUCK_EXIT_CODE
        raise ExitedError

    monkeypatch.setattr(os, "_exit", leave)
    with pytest.raises(ExitedError):
        await end_if_stuck(Steps(45), 45)
    watching = asyncio.create_task(end_if_stuck(Steps(44), 45))
    await asyncio.sleep(0.05)
    assert not watching.done()
    watching.cancel()
