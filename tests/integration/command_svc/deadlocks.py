"""The proof that the database had to break no deadlock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.stack_fixture import RunningStack


@contextmanager
def no_deadlock(stack: RunningStack) -> Iterator[None]:
    """Fail if the database had to break a deadlock meanwhile."""

    def deadlocks() -> tuple[int, int]:
        with psycopg.connect(stack.postgres_url("postgres")) as connection:
            ((counted,),) = connection.execute("SELECT sum(deadlocks)::bigint FROM pg_stat_database")
        # The log is sooner: what a backend has counted is seen a moment after it ends.
        return counted, stack.home.log("postgres").read_text(errors="replace").count("deadlock detected")

    before = deadlocks()
    yield
    assert deadlocks() == before
