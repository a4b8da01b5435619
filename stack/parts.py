"""What a stack consists of: programs, which the supervisor keeps, and steps, done once between them."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from stack.readiness import Check


@dataclass(frozen=True)
class Program:
    """A process of the stack."""

    name: str
    command: list[str]
    ready: Check
    needs: tuple[str, ...] = ()
    # Names of stack.ports.OFFSETS: the first is its address, all must be free before it starts.
    listeners: tuple[str, ...] = ()
    # Left out of its repr: it holds passwords.
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    # Writes configuration and makes folders; run before each start.
    prepare: Callable[[], None] | None = None
    patience: float = 150
    stop_signal: str = "TERM"
    stop_wait: int = 20
    # What it is among its like at present, where several run of which one is active.
    role: Callable[[], str] | None = None
    # Standard output is kept apart from standard error, in `<name>-access.log`.
    access_log: bool = False


@dataclass(frozen=True)
class Step:
    """Work that is done once on every `up`, and may be done again."""

    name: str
    run: Callable[[], None]
    needs: tuple[str, ...] = ()


Part = Program | Step


def python(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module by this very Python."""
    return [sys.executable, "-m", module, *arguments]
