"""A stack whose services run in another number of processes for a while."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from stack import boot, programs
from stack.parts import Part, Program
from tests.stack_fixture import RunningStack

VARIABLE = "INVENTORY_STACK_WORKERS"


@contextmanager
def workers(stack: RunningStack, count: int) -> Iterator[None]:
    """Run the services in `count` processes each, behind the same addresses; then as before."""
    before = os.environ.get(VARIABLE)
    try:
        _restart(stack, str(count))
        yield
    finally:
        _restart(stack, before)


def _restart(stack: RunningStack, count: str | None) -> None:
    if count is None:
        os.environ.pop(VARIABLE, None)
    else:
        os.environ[VARIABLE] = count
    everything = programs.parts(stack.home)
    wanted = [part for part in everything if isinstance(part, Program)]
    # What has other settings now is restarted, and all are waited for.
    boot.up(stack.home, everything, list[Part](wanted), lambda _part, _seconds: None)
