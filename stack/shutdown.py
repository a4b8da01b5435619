"""Taking a stack down, so that nothing of it is left, whatever state it was in."""

import time
from collections.abc import Callable

from stack import orphans
from stack.home import Home
from stack.supervisor import Supervisor

# The supervisor keeps the bounds of each program; this one is for a supervisor that hangs.
PATIENCE = 120.0


def down(home: Home, say: Callable[[str], None]) -> None:
    """Stop a stack's programs, the last started first, then its supervisor, then whatever is left.

    `say` is called with a line for each program that has ended.
    """
    supervisor = Supervisor(home)
    if supervisor.is_running():
        running = [name for name, state in supervisor.states().items() if state.pid]
        supervisor.shut_down()
        deadline = time.monotonic() + PATIENCE
        while orphans.pid(home, "supervisord") and time.monotonic() < deadline:
            for name in reversed(running):
                if orphans.pid(home, name) is None:
                    running.remove(name)
                    say(f"stopped {name}")
            time.sleep(0.05)
        for name in reversed(running):
            say(f"stopped {name}")
    left = orphans.end(home)
    if left:
        say(f"ended {left} processes that no supervisor held")
    for file in home.run.glob("*.pid"):
        file.unlink()
