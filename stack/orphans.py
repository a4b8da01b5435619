"""Finding the processes of a stack without its supervisor: whatever happened, `down` leaves none behind.

Each program is started by a launcher that notes, in the stack's folder, its process id and its time of start,
which together name one process for ever. Children are found by their process group and by a variable that
every process of a stack inherits. Nothing else is ever signalled.
"""

import os
import signal
import time
from pathlib import Path

from stack.home import Home

MARK = "INVENTORY_STACK_PROCESS"
PATIENCE = 15.0

# Run by sh with the file as $0 and the program's command behind it. The process id and the 22nd field of its
# stat, the time of its start, stay the same across exec.
LAUNCHER = (
    "read -r _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ start _ < /proc/$$/stat;"
    ' echo "$$ $start" > "$0.new" && mv "$0.new" "$0" && exec "$@"'
)
# Of the fields behind the command's name, which is the second field and may hold anything.
START_FIELD = 22 - 3


def find(home: Home) -> list[int]:
    """Return the ids of this stack's living processes, the supervisor's included."""
    noted = {file.stem: _noted(file) for file in home.run.glob("*.pid")}
    leaders = {pid(home, name) for name in noted} - {None}
    groups = {number for number, _ in noted.values()}
    return [one for one in _all() if one in leaders or (_group(one) in groups and _is_marked(home, one))]


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
    number, start = _noted(home.run / f"{program}.pid")
    # The supervisor notes its own id alone; its environment tells that it is ours.
    ours = _start(number) == start if start else _is_marked(home, number)
    return number if ours else None


def _noted(file: Path) -> tuple[int, str]:
    try:
        words = file.read_text().split()
    except FileNotFoundError:  # or gone in this very moment
        words = []
    return (int(words[0]), words[1] if len(words) > 1 else "") if words else (0, "")


def _start(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    # A zombie has ended; its parent only has not looked yet.
    return None if fields[0] == "Z" else fields[START_FIELD]


def _is_marked(home: Home, pid: int) -> bool:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return f"{MARK}={home.folder}".encode() in environment.split(b"\0")


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
