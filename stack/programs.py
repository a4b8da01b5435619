"""Everything a stack runs, as one table: what each part is, what it needs first and when it is ready."""

from stack.home import Home
from stack.infrastructure import infrastructure
from stack.parts import Part
from stack.services import services


def parts(home: Home) -> list[Part]:
    """Return all parts of the stack, each after those it needs."""
    return [*infrastructure(home), *services(home)]
