"""Taking a stack down, so that nothing of it is left, whatever state it was in."""

import time
from collections.abc import Callable

from stack import orphans
from stack.home import Home
from stack.infrastructure import infrastructure
from stack.parts import Program
from stack.supervisor import Supervisor

# The supervisor keeps the bounds of each program; this one is for a supervisor that hangs.
PATIENCE = 120.0
POLL = 0.02

Say = Callable[[str], None]


def down(home: Home, say: Say) -> None:
    """Stop a stack's programs, then its supervisor, then whatever is left.

    Inventory itself goes first and all at once, then what it stands on, the last started first.
    `say` is called with a line for each program that has ended.
    """
    supervisor = Supervisor(home)
    if supervisor.is_running():
        deadline = time.monotonic() + PATIENCE
        # Not left to the supervisor: it goes on by one program a second, those that do not run included.
        for names in _waves(home, supervisor):
            for name in names:
                supervisor.stop_program(name, wait=False)
            _wait(home, names, deadline, say)
        supervisor.shut_down()
        _wait(home, ["supervisord"], deadline, lambda _: None)
    left = orphans.end(home)
    if left:
        say(f"ended {left} processes that no supervisor below")
    for file in home.run.glob("*.pid"):
        file.unlink(missing_ok=True)


def _waves(home: Home, supervisor: Supervisor) -> list[list[str]]:
    running = {name for name, state in supervisor.states().items() if state.pid}
    below = [part.name for part in infrastructure(home) if isinstance(part, Program)]
    return [
        sorted(running - set(below)),
        *([name] for name in reversed(below) if name in running),
    ]


def _wait(home: Home, names: list[str], deadline: float, say: Say) -> None:
    left = list(names)
    while left and time.monotonic() < deadline:
        for name in [name for name in left if orphans.pid(home, name) is None]:
            left.remove(name)
            say(f"stopped {name}")
        time.sleep(POLL)
