"""Finding the processes of a stack without its supervisor: whatever happened, `down` leaves none behind.

Every process of a stack inherits one environment variable that holds the stack's folder, and is the leader
or a member of a process group whose id is in a file of that folder. Only a process that fits both is ever
signalled.
"""

import os
import signal
import time
from pathlib import Path

from stack.home import Home

MARK = "INVENTORY_STACK_PROCESS"
PATIENCE = 15.0


def find(home: Home) -> list[int]:
    """Return the ids of this stack's living processes, the supervisor's included."""
    noted = {int(text) for file in home.run.glob("*.pid") if (text := file.read_text().strip()).isdecimal()}
    mark = f"{MARK}={home.folder}".encode()
    return [pid for pid in _all() if (pid in noted or _group(pid) in noted) and mark in _environment(pid)]


def end(home: Home) -> int:
    """End what `find` finds, politely first, and return how many there were."""
    found = find(home)
    # PostgreSQL's fast shutdown; at TERM it would wait for its clients.
    database = pid(home, "postgres")
    _signal([one for one in found if one == database], signal.SIGINT)
    _signal([one for one in found if one != database], signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    while (left := find(home)) and time.monotonic() < deadline:
        time.sleep(0.1)
    _signal(left, signal.SIGKILL)
    return len(found)


def pid(home: Home, program: str) -> int | None:
    """Return the id of a program's living process, or None."""
    file = home.run / f"{program}.pid"
    text = file.read_text().strip() if file.exists() else ""
    alive = text.isdecimal() and f"{MARK}={home.folder}".encode() in _environment(int(text))
    return int(text) if alive else None


def _signal(pids: list[int], number: signal.Signals) -> None:
    for one in pids:
        try:
            os.kill(one, number)
        except ProcessLookupError:
            continue


def _all() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return -1


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
