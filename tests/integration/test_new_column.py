"""A new column on its way from the migration to the queries, while programs of before and after it run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import grpc
import httpx
import psycopg
import pytest
from google.protobuf.message import Message

from inventory.journal.v1.transaction_pb2 import Transaction
from inventory.query.v1.catalog_query_service_pb2 import GetItemRequest, GetItemResponse
from inventory.query.v1.consistency_pb2 import SOURCE_VIEW
from stack.readiness import grpc_health
from tests.integration.projector_world import until
from tests.later import later_of
from tests.ports import free_port
from tests.redis_server import RedisServer, binaries, redis_server
from tests.stack_fixture import RunningStack, running_stack
from tests.stock import item

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(300)]

SKU = "MUG-1"
PARTS = ("postgres", "database", "broker", "topics", "registry", "subjects", "connect", "connector")
ITEM = """
INSERT INTO items (sku, name, description, kind, unit_of_measure, categories, tags, barcodes, metadata, state,
    version, create_time, update_time)
VALUES (%s, 'Mug', '', 'PHYSICAL', 'each', '{}', '{}', '{}', '{}', 'ACTIVE', 1, now(), now())
"""
MIGRATION = "ALTER TABLE items ADD COLUMN colour text NOT NULL DEFAULT ''"


class World:
    """Capture that runs, a Redis, and the programs of two releases in between."""

    def __init__(self, stack: RunningStack, redis: RedisServer, folder: Path) -> None:
        self.owner = psycopg.connect(stack.postgres_url("owner"), autocommit=True)
        self._folder = folder
        self._registry = f"{stack.registry_url}/apis/ccompat/v7"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._environment = os.environ | {
            "INVENTORY_CDC_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
            "INVENTORY_CDC_REDIS_URL": redis.url,
            "INVENTORY_CDC_DATABASE_URL": stack.postgres_url("query"),
            "INVENTORY_QUERY_REDIS_URL": redis.url,
            "INVENTORY_QUERY_DATABASE_URL": stack.postgres_url("query"),
        }

    def start(self, *program: str, later: bool) -> tuple[subprocess.Popen[bytes], str]:
        """Start a program of the present release or of the later one; return it with its address."""
        address = f"127.0.0.1:{free_port()}"
        with (self._folder / f"{program[0]}-{len(self._processes)}.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - of our own
                [sys.executable, "-m", *(["tests.later"] if later else []), *program],
                env=self._environment | {"INVENTORY_CDC_LISTEN": address, "INVENTORY_QUERY_LISTEN": address},
                stdout=log,
                stderr=log,
            )
        self._processes.append(process)
        return process, address

    def reading(self, *, later: bool) -> subprocess.Popen[bytes]:
        """Start a projector, and wait until it reads."""
        process, address = self.start("cdc", "projector", later=later)
        healthy = grpc_health(address)
        until(lambda: healthy() is None)
        return process

    def commit(self, version: int, colour: str) -> None:
        """Do what the later command service does when an item gets a colour."""
        transaction_id = uuid4()
        record = cast("Any", later_of(Transaction.DESCRIPTOR)(transaction_id=str(transaction_id)))
        record.part = record.part_count = 1
        record.record_time.GetCurrentTime()
        record.items.add().MergeFromString(item(SKU, version).SerializeToString())
        record.items[0].colour = colour
        with self.owner.transaction():
            self.owner.execute(
                "UPDATE items SET version = %s, colour = %s WHERE sku = %s", (version, colour, SKU)
            )
            self.owner.execute(
                "INSERT INTO journal (id, part, part_count, payload, create_time)"
                " VALUES (%s, 1, 1, %s, now())",
                (transaction_id, record.SerializeToString()),
            )

    def fields(self) -> list[set[str]]:
        """Return the fields of the items in the catalogue, schema by schema."""
        subject = f"{self._registry}/subjects/inventory.catalog.items-value/versions"
        found = []
        for version in httpx.get(subject, trust_env=False).json():
            schema = httpx.get(f"{subject}/{version}", trust_env=False).json()["schema"]
            found.append({field["name"] for field in json.loads(schema)["fields"]})
        return found

    def close(self) -> None:
        """End every program."""
        for process in self._processes:
            process.kill()
            process.wait()
        self.owner.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Give a world in which there is an item without a colour."""
    with (
        running_stack("new-column", only=PARTS) as stack,
        redis_server(binaries()["valkey"], tmp_path) as redis,
    ):
        world = World(stack, redis, tmp_path)
        try:
            world.owner.execute(ITEM, [SKU])
            yield world
        finally:
            world.close()


def seen(address: str, kind: type[Message]) -> Callable[[], tuple[int, str, bool]]:
    """Return what asks a query service: the item's version and colour, and whether the view answers."""
    channel = grpc.insecure_channel(address)
    get = channel.unary_unary(
        "/inventory.query.v1.CatalogQueryService/GetItem",
        request_serializer=GetItemRequest.SerializeToString,
        response_deserializer=kind.FromString,
    )

    def ask() -> tuple[int, str, bool]:
        try:
            answer = cast("Any", get(GetItemRequest(sku=SKU), timeout=10, wait_for_ready=True))
        except grpc.RpcError as error:
            assert cast("grpc.Call", error).code() is grpc.StatusCode.NOT_FOUND  # noqa: PT017 - not yet
            return 0, "", False
        return answer.item.version, getattr(answer.item, "colour", ""), answer.freshness.source == SOURCE_VIEW

    return ask


def test_a_new_column_flows_through_old_and_new_projectors_to_old_and_new_queries(world: World) -> None:
    """The migration first; then old and new programs in every order, and nothing of the colour is lost."""
    _, before = world.start("query_svc", later=False)
    _, after = world.start("query_svc", later=True)
    old, new = seen(before, GetItemResponse), seen(after, later_of(GetItemResponse.DESCRIPTOR))
    projector = world.reading(later=False)
    world.owner.execute(MIGRATION)
    world.commit(2, "blue")
    until(lambda: new() == (2, "blue", True))
    assert old() == (2, "", True)
    # The new one stands by; the old one is ended, and begins again behind it.
    for later, version, colour in ((True, 3, "green"), (False, 4, "red")):
        successor, _ = world.start("cdc", "projector", later=later)
        projector.send_signal(signal.SIGTERM)
        assert projector.wait(20) == 0
        world.commit(version, colour)
        until(lambda: new() == (version, colour, True))  # noqa: B023 - called at once
        assert old() == (version, "", True)
        projector = successor
    until(lambda: any("colour" in fields for fields in world.fields()))
    assert "colour" not in world.fields()[0]
