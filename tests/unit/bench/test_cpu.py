"""What processes have used, some of which end while it is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench import cpu


@pytest.mark.parametrize("error", [FileNotFoundError, ProcessLookupError])
def test_a_process_that_ends_while_it_is_read_has_used_nothing_of_its_own(
    monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    """The kernel tells so when the file is opened, or once it is read."""
    read = Path.read_text
    ended = 2**22 + 1  # more than any id of a process

    def reading(path: Path) -> str:
        if str(ended) in path.parts:
            raise error
        return read(path)

    monkeypatch.setattr(Path, "read_text", reading)
    found = cpu.usage({"ended": [ended], "this": [os.getpid()]}).parts
    assert found["ended"] == 0
    assert found["this"] > 0
