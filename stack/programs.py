"""Everything a stack runs, as one table: what each part is, what it needs first and when it is ready."""

from collections.abc import Collection

from stack.errors import StackError
from stack.home import Home
from stack.infrastructure import infrastructure
from stack.parts import Part
from stack.services import services

INFRA = "infra"


def parts(home: Home) -> list[Part]:
    """Return all parts of the stack, each after those it needs."""
    return [*infrastructure(home), *services(home)]


def chosen(home: Home, names: Collection[str]) -> list[Part]:
    """Return the parts that have these names, INFRA for those that Inventory stands on.

    Raises StackError, with all names that there are, when one is none of them.
    """
    everything = parts(home)
    known = {part.name for part in everything}
    for name in names:
        if name not in known | {INFRA}:
            there = ", ".join([INFRA, *(part.name for part in everything)])
            raise StackError(f"there is no part {name!r} of the stack: choose from {there}")
    wanted = {*names, *(part.name for part in infrastructure(home) if INFRA in names)}
    return [part for part in everything if part.name in wanted]
