"""A replica of a stack's PostgreSQL, which a test may hold up or end."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg

from stack.postgres_server import BINARIES, command, data
from tests.ports import free_port
from tests.stack_fixture import RunningStack


class PostgresReplica:
    """A hot standby that follows the stack's server."""

    def __init__(self, stack: RunningStack, port: int, process: subprocess.Popen[bytes]) -> None:
        self._stack = stack
        self._port = port
        self._process = process

    def url(self, role: str) -> str:
        """Return its address for a role."""
        parts = urlsplit(self._stack.postgres_url(role))
        return urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{self._port}"))

    def run(self, statement: str) -> None:
        """Run SQL as the superuser."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def wait_ready(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + 60
        while True:
            try:
                self.run("SELECT 1")
            except psycopg.OperationalError:
                assert self._process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            else:
                return

    def kill(self) -> None:
        """End it at once."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(30)


@contextmanager
def postgres_replica(stack: RunningStack) -> Iterator[PostgresReplica]:
    """Run a replica of a stack's database."""
    *owner, _, _, _ = command(stack.home)
    folder, port = data(stack.home).with_name("replica"), free_port()
    source = ["--dbname", stack.postgres_url("postgres"), "--pgdata", str(folder)]
    backup = [*owner, str(BINARIES / "pg_basebackup"), *source, "--write-recovery-conf", "--checkpoint=fast"]
    subprocess.run(backup, check=True, capture_output=True, cwd="/")  # noqa: S603
    server = [*owner, str(BINARIES / "postgres"), "-D", str(folder), "-c", f"port={port}"]
    with stack.home.log("replica").open("wb") as log:
        process = subprocess.Popen(server, stdout=log, stderr=log, cwd="/")  # noqa: S603
    replica = PostgresReplica(stack, port, process)
    try:
        replica.wait_ready()
        yield replica
    finally:
        replica.kill()
