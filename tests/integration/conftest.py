"""What the tests on the whole stack share."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from stack.readiness import grpc_health
from tests.ports import free_port
from tests.stack_fixture import RunningStack, running_stack

ROWS = Path(__file__).with_name("rows.sql")


@pytest.fixture(scope="module")
def database() -> Iterator[RunningStack]:
    """Give a database alone, with rows whose books agree in every table that the read model shows."""
    with running_stack("rows", only=("postgres", "database")) as stack:
        with psycopg.connect(stack.postgres_url("owner")) as connection:
            connection.execute(ROWS.read_bytes())
        yield stack


@pytest.fixture(scope="module")
def second(stack: RunningStack) -> Iterator[str]:
    """Give the address of a second command service on the same database."""
    address = f"127.0.0.1:{free_port()}"
    environment = os.environ | {
        "INVENTORY_COMMAND_LISTEN": address,
        "INVENTORY_COMMAND_DATABASE_URL": stack.postgres_url("command"),
        "INVENTORY_COMMAND_DRAIN_SECONDS": "0",
    }
    log = stack.home.log("command-second")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "command_svc"], env=environment, stdout=output, stderr=output
        )
        try:
            ready, deadline = grpc_health(address), time.monotonic() + 30
            while (missing := ready()) is not None:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, missing
                time.sleep(0.1)
            yield address
        finally:
            process.terminate()
            process.wait(30)
