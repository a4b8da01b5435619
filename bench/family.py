"""A process and all that it has started."""

from __future__ import annotations

from pathlib import Path


def family(pid: int) -> list[int]:
    """Return the id of a process and those of its children, and of theirs; its own alone if it has ended."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return [pid]
    return [pid, *(one for child in children for one in family(int(child)))]
