"""The upkeep as the service runs it: what is missing or kept too long is an alarm, and commands go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from psycopg import sql
from structlog.testing import capture_logs

from command_svc import upkeep
from command_svc.config import CommandSettings
from command_svc.server import assemble
from serving.settings import load
from tests.integration.command_svc.partitions import (
    Connection,
    add_partition,
    make_slot,
    old_partitions,
    today,
)
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@asynccontextmanager
async def service(
    database: RunningStack, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[health_pb2_grpc.HealthStub]:
    """Run a command service that looks after the schema all the time; give its health."""
    monkeypatch.setattr(upkeep, "ROUND_SECONDS", 0.5)
    monkeypatch.setattr(upkeep, "PARTITIONS_EVERY", timedelta(seconds=1))
    for name, value in {
        "LISTEN": "127.0.0.1:0",
        "DATABASE_URL": database.postgres_url("command"),
        "DRAIN_SECONDS": "0",
        "GRACE_SECONDS": "1",
    }.items():
        monkeypatch.setenv(f"INVENTORY_COMMAND_{name}", value)
    async with assemble(load(CommandSettings)) as server:
        port = await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield health_pb2_grpc.HealthStub(channel)
        await server.shut_down()


async def becomes(health: health_pb2_grpc.HealthStub, name: str, status: int) -> None:
    """Wait for a status; TimeoutError when it does not come."""
    async with asyncio.timeout(15):
        watch = health.Watch(health_pb2.HealthCheckRequest(service=name))  # type: ignore[attr-defined]
        async for response in watch:
            if response.status == status:
                return


async def test_missing_partitions_are_an_alarm_of_their_own(
    database: RunningStack, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with capture_logs() as logged:
        async with service(database, monkeypatch) as health:
            await becomes(health, upkeep.HEALTH_NAME, SERVING)
            owner.execute("REVOKE EXECUTE ON FUNCTION create_partitions() FROM inventory_command")
            try:
                for days in range(2, 8):
                    name = f"journal_{today() + timedelta(days=days):%Y%m%d}"
                    owner.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
                await becomes(health, upkeep.HEALTH_NAME, NOT_SERVING)
                await becomes(health, "", SERVING)
            finally:
                owner.execute("GRANT EXECUTE ON FUNCTION create_partitions() TO inventory_command")
            await becomes(health, upkeep.HEALTH_NAME, SERVING)
    (alarm,) = [entry for entry in logged if entry["event"] == "upkeep alarm"]
    assert alarm["log_level"] == "error"
    assert alarm["alarm"] == "partitions of journal"
    assert "SELECT create_partitions()" in alarm["remedy"]
    assert [entry["alarm"] for entry in logged if entry["event"] == "upkeep alarm is over"] == [
        alarm["alarm"]
    ]


async def test_what_the_connector_does_not_confirm_stays_and_is_an_alarm(
    database: RunningStack, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with capture_logs() as logged:
        async with service(database, monkeypatch) as health:
            await becomes(health, upkeep.HEALTH_NAME, SERVING)
            name = add_partition(owner, "journal", 9)
            await becomes(health, upkeep.HEALTH_NAME, NOT_SERVING)
            await becomes(health, "", SERVING)
            assert old_partitions(owner) == {name}
            make_slot(database)
            owner.execute(
                "UPDATE upkeep_jobs SET success_time = now() - interval '11 minutes' WHERE job = 'expiry'"
            )
            await becomes(health, upkeep.HEALTH_NAME, SERVING)
    assert old_partitions(owner) == set()
    (alarm,) = [entry for entry in logged if entry["event"] == "upkeep alarm"]
    assert alarm["alarm"] == "expiry of journal"
    assert name in alarm["problem"]
    assert "'inventory'" in alarm["remedy"]
