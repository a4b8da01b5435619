"""PipelineService on real parts: how everything stands, and dead letters dealt with."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from cdc.dead_letter import DeadLetter
from client import (
    DeadLetterNotFoundError,
    InvalidFieldError,
    InvalidPageTokenError,
    InventoryClient,
)
from inventory.admin.v1 import pipeline_service_pb2 as pb
from inventory.journal.v1.transaction_pb2 import Transaction
from inventory.type.v1.stock_pb2 import MovementKind, StockMovement
from stack.readiness import grpc_health
from tests.integration.relay_world import RelayWorld, until
from tests.integration.test_relay import expected, history
from tests.ports import free_port
from tests.stack_fixture import RunningStack, running_stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

FUTURE_KIND: MovementKind.ValueType = 99  # type: ignore[assignment] # of a later version


class PipelineWorld(RelayWorld):
    """A relay's world, and a PipelineService that looks at it."""

    def __init__(self, stack: RunningStack, folder: Path) -> None:
        super().__init__(stack, folder)
        self.relay_address = f"127.0.0.1:{free_port()}"
        self.address = f"127.0.0.1:{free_port()}"
        environment = os.environ | {
            "INVENTORY_CDC_LISTEN": self.address,
            "INVENTORY_CDC_BOOTSTRAP_SERVERS": self.brokers,
            "INVENTORY_CDC_CONNECT_URL": "http://127.0.0.1:9",
            "INVENTORY_CDC_DATABASE_URL": stack.postgres_url("query"),
            "INVENTORY_CDC_REDIS_URL": "redis://127.0.0.1:9/0",
            "INVENTORY_CDC_READERS": f"{self.name}={self.relay_address}",
            "INVENTORY_CDC_TOPIC": self.journal,
            "INVENTORY_CDC_DEAD_LETTERS_TOPIC": self.dead_letters,
            "INVENTORY_CDC_TRANSACTIONAL_ID": f"{self.name}.pipeline",
            "INVENTORY_CDC_DRAIN_SECONDS": "0",
        }
        with (folder / "pipeline.log").open("wb") as log:
            self._pipeline = subprocess.Popen(
                [sys.executable, "-m", "cdc", "pipeline"], env=environment, stdout=log, stderr=log
            )

    def start_relay(self, **settings: str) -> subprocess.Popen[bytes]:
        """Start a relay at the address where the service looks for it."""
        relay, _ = self.start(INVENTORY_CDC_LISTEN=self.relay_address, **settings)
        return relay

    def fates(self) -> list[dict[str, str]]:
        """Return the headers of the tombstones."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.brokers,
                "group.id": "test",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
            }
        )
        consumer.assign([TopicPartition(self.dead_letters, 0, 0)])
        found: list[dict[str, str]] = []
        while (message := consumer.poll(30)) is not None and message.error() is None:
            if message.value() is None:
                headers = message.headers() or []
                found.append({name: bytes(value).decode() for name, value in headers if value is not None})
        assert message is not None
        error = message.error()
        assert error is not None
        assert error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001 - the client's name for it
        consumer.close()
        return found

    def close(self) -> None:
        """End the service too."""
        self._pipeline.kill()
        self._pipeline.wait()
        super().close()


@pytest.fixture(scope="module")
def parts() -> Iterator[RunningStack]:
    """Give a broker, a registry and a database."""
    only = ("postgres", "database", "broker", "topics", "registry")
    with running_stack("test-pipeline", only=only) as running:
        yield running


@pytest.fixture
def world(parts: RunningStack, tmp_path: Path) -> Iterator[PipelineWorld]:
    world = PipelineWorld(parts, tmp_path)
    serves = grpc_health(world.address)
    try:
        until(lambda: serves() is None)
        yield world
    finally:
        world.close()


@pytest.fixture
async def client(world: PipelineWorld) -> AsyncIterator[InventoryClient]:
    async with InventoryClient(world.address, actor="operator", timeout=30) as client:
        yield client


def later(number: int) -> Transaction:
    """Return a transaction that only a later version of the relay can tell."""
    entry = StockMovement(sku="A", location_id="W", version=1, kind=FUTURE_KIND)
    return Transaction(transaction_id=str(UUID(int=number)), part=1, part_count=1, movements=[entry])


async def in_thread(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(until, condition)


async def listed(client: InventoryClient, **request: object) -> list[pb.DeadLetter]:
    """Return the dead letters of all pages."""
    letters: list[pb.DeadLetter] = []
    token = ""
    while True:
        asked = pb.ListDeadLettersRequest(page_token=token, **request)  # type: ignore[arg-type] # as the caller says
        page = await client.list_dead_letters(asked)
        letters += page.dead_letters
        if not (token := page.next_page_token):
            return letters


async def test_dead_letters_are_listed_in_pages_and_shown_decoded(
    world: PipelineWorld, client: InventoryClient
) -> None:
    await asyncio.to_thread(world.write, [b"\xff\xff", later(1), b"x" * 1_100_000])
    world.start_relay()
    await in_thread(lambda: len(world.letters()) == 3)
    letters = await listed(client, page_size=2, reader=world.name)
    assert [(one.kind, one.offset, one.reader, one.topic) for one in letters] == [
        (pb.DEAD_LETTER_KIND_UNDECODABLE, 0, world.name, world.journal),
        (pb.DEAD_LETTER_KIND_UNKNOWN_TYPE, 1, world.name, world.journal),
        (pb.DEAD_LETTER_KIND_OVERSIZED, 2, world.name, world.journal),
    ]
    assert letters[0].undecodable == b"\xff\xff"
    assert letters[1].transaction == later(1)
    assert letters[2].undecodable == b"x" * 65536
    assert letters[2].value_bytes == 1_100_000
    assert await listed(client, reader="nobody") == []
    with pytest.raises(InvalidPageTokenError):
        await client.list_dead_letters(pb.ListDeadLettersRequest(page_token="nonsense"))  # noqa: S106 - no secret
    with pytest.raises(InvalidFieldError):
        await client.list_dead_letters(pb.ListDeadLettersRequest(page_size=101))


async def test_a_replayed_letter_is_taken_once_by_who_could_not_take_it(
    world: PipelineWorld, client: InventoryClient
) -> None:
    """A record that a relay with too small a limit could not tell, and one with a larger limit can."""
    records = history(5)
    await asyncio.to_thread(world.write, records)
    relay = world.start_relay(INVENTORY_CDC_MAX_EVENT_BYTES="1000")
    big = history(1, seed=9)[0]
    big.transaction_id = str(UUID(int=8000))
    big.movements[0].reference = "r" * 2000
    await asyncio.to_thread(world.write, [big])
    await in_thread(lambda: len(world.letters()) == 1)
    relay.kill()
    relay.wait()
    (letter,) = await listed(client)
    assert letter.kind == pb.DEAD_LETTER_KIND_OVERSIZED
    world.start_relay()
    request = pb.ReplayDeadLettersRequest(dead_letter_ids=[letter.dead_letter_id])
    answer = await client.replay_dead_letters(request)
    assert answer.replayed_count == 1
    with pytest.raises(DeadLetterNotFoundError) as again:
        await client.replay_dead_letters(request)
    assert again.value.metadata == {"dead_letter_id": letter.dead_letter_id}
    ids = expected([*records, big])
    await in_thread(lambda: len(world.told()) == len(ids))
    assert sorted(one.event_id for one in world.told()) == ids
    assert world.letters() == []
    (fate,) = world.fates()
    assert (fate["fate"], fate["actor"]) == ("replayed", "operator")


async def test_what_can_still_not_be_taken_comes_back_with_its_count(
    world: PipelineWorld, client: InventoryClient
) -> None:
    await asyncio.to_thread(world.write, [later(1)])
    world.start_relay()
    for count in range(3):
        await in_thread(lambda count=count: [one.retry_count for one in world.letters()] == [count])  # type: ignore[misc] # bound now
        (letter,) = world.letters()
        assert letter.offset >= count
        request = pb.ReplayDeadLettersRequest(dead_letter_ids=[letter.letter_id])
        await client.replay_dead_letters(request)


async def test_discarding_takes_a_reason_and_all_or_none(
    world: PipelineWorld, client: InventoryClient
) -> None:
    await asyncio.to_thread(world.write, [b"\xff\xff", b"\xff\xff\xff"])
    world.start_relay()
    await in_thread(lambda: len(world.letters()) == 2)
    ids = [one.letter_id for one in world.letters()]
    with pytest.raises(InvalidFieldError):
        await client.discard_dead_letters(pb.DiscardDeadLettersRequest(dead_letter_ids=ids))
    with pytest.raises(DeadLetterNotFoundError):
        await client.discard_dead_letters(
            pb.DiscardDeadLettersRequest(dead_letter_ids=[*ids, "another"], reason="noise")
        )
    assert len(world.letters()) == 2
    answer = await client.discard_dead_letters(
        pb.DiscardDeadLettersRequest(dead_letter_ids=ids, reason="a test's noise")
    )
    assert answer.discarded_count == 2
    assert world.letters() == []
    assert [(one["fate"], one["reason"], one["actor"]) for one in world.fates()] == [
        ("discarded", "a test's noise", "operator")
    ] * 2


async def test_the_status_tells_lag_states_and_what_is_away(
    world: PipelineWorld, client: InventoryClient
) -> None:
    await asyncio.to_thread(world.write, [b"\xff\xff", b"\xff\xff", *history(5)])
    status = await client.get_pipeline_status(pb.GetPipelineStatusRequest())
    (reader,) = status.readers
    assert (reader.name, reader.state) == (world.name, pb.READER_STATE_UNREACHABLE)
    assert [(one.position, one.end, one.lag) for one in reader.partitions] == [(0, 7, 7)]
    # Nothing listens where they would be; the rest is told all the same.
    assert [one.part for one in status.unavailable] == ["connector", "read model"]
    assert not status.HasField("view_age")
    relay = world.start_relay(INVENTORY_CDC_DEAD_LETTERS_LIMIT="1")
    halted = await state_becomes(client, pb.READER_STATE_HALTED)
    assert halted.dead_letter_count == 1
    assert [one.lag for one in halted.partitions] == [6]
    (letter,) = world.letters()
    await discard(client, letter)
    reading = await state_becomes(client, pb.READER_STATE_READING)
    assert relay.poll() is None
    assert [one.lag for one in reading.partitions] == [0]


async def discard(client: InventoryClient, letter: DeadLetter) -> None:
    """Give a dead letter up."""
    request = pb.DiscardDeadLettersRequest(dead_letter_ids=[letter.letter_id], reason="noise")
    await client.discard_dead_letters(request)


async def state_becomes(client: InventoryClient, state: pb.ReaderState.ValueType) -> pb.ReaderStatus:
    """Wait until the one reader is in a state, with its position committed; return how it stands."""
    for _ in range(60):
        status = await client.get_pipeline_status(pb.GetPipelineStatusRequest())
        (reader,) = status.readers
        if reader.state == state and (state != pb.READER_STATE_READING or not reader.partitions[0].lag):
            return reader
        await asyncio.sleep(0.2)
    raise AssertionError("it has not come true")
