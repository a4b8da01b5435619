"""Records that the relay cannot take: told apart, kept whole, counted, and never in the way of the others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from confluent_kafka import Producer

from inventory.journal.v1.transaction_pb2 import Transaction
from inventory.type.v1.stock_pb2 import MovementKind, StockMovement
from tests.integration.relay_world import RelayWorld, until
from tests.integration.test_relay import check, expected, history
from tests.stack_fixture import RunningStack, running_stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def parts() -> Iterator[RunningStack]:
    """Give a broker and a registry."""
    only = ("postgres", "database", "broker", "topics", "registry")
    with running_stack("relay-letters", only=only) as running:
        yield running


@pytest.fixture
def world(parts: RunningStack, tmp_path: Path) -> Iterator[RelayWorld]:
    world = RelayWorld(parts, tmp_path)
    yield world
    world.close()


def strange(number: int, part: int = 1, part_count: int = 1) -> Transaction:
    """Return a transaction with an entry of a kind that nobody knows yet."""
    kind: MovementKind.ValueType = 99  # type: ignore[assignment] # of a later version
    return Transaction(
        transaction_id=str(UUID(int=number)),
        part=part,
        part_count=part_count,
        movements=[StockMovement(sku="A", location_id="W", version=1, kind=kind)],
    )


POISON: dict[str, list[bytes | None]] = {
    "UNDECODABLE": [None, b"\xff\xff", b"\n\xff"],
    "UNKNOWN_TYPE": [b"", strange(900_000).SerializeToString()],
    "UNKNOWN_SCHEMA": [b"\0\0\0\0\7\0some message"],
    "OVERSIZED": [b"x" * 1_100_000],
}


def test_poison_of_every_kind_becomes_a_dead_letter_and_the_rest_is_told(world: RelayWorld) -> None:
    records = history(40)
    values = [(kind, value) for kind, several in POISON.items() for value in several]
    begun = datetime.now(UTC)
    for place, (_, value) in enumerate(values):
        world.write([*records[place : place + 1], value])
    world.write(records[len(values) :])
    relay, healthy = world.start()
    world.relayed(len(records) + len(values))
    check(world, records)
    letters = world.letters()
    assert [(one.kind, one.offset) for one in letters] == [
        (kind, 2 * place + 1) for place, (kind, _) in enumerate(values)
    ]
    for letter, (_, value) in zip(letters, values, strict=True):
        assert (letter.reader, letter.topic, letter.retry_count) == (world.name, world.journal, 0)
        assert letter.error
        assert begun <= letter.failed_at <= datetime.now(UTC)
        kept = world.letter(letter)
        assert (kept.value, kept.key, kept.headers) == (value, b"key", [("id", b"header")])
    until(lambda: healthy() is None)
    assert relay.poll() is None


def test_only_the_part_that_cannot_be_told_is_set_aside(world: RelayWorld) -> None:
    records = history(3)
    good = history(20, seed=2)[-1]
    good.transaction_id, good.part, good.part_count = str(UUID(int=7000)), 1, 2
    world.write([*records, good, strange(7000, part=2, part_count=2)])
    world.start()
    world.relayed(5)
    assert [(one.kind, one.offset) for one in world.letters()] == [("UNKNOWN_TYPE", 4)]
    ids = {one.event_id for one in world.told()}
    assert ids == {*expected(records), *expected([good])}


def test_at_the_limit_it_halts_says_so_and_goes_on_by_itself(world: RelayWorld) -> None:
    records = history(30)
    world.write([*records[:10], b"\xff\xff", b"\xff\xff", *records[10:20], b"\xff\xff", *records[20:]])
    relay, healthy = world.start(INVENTORY_CDC_DEAD_LETTERS_LIMIT="2")
    until(lambda: world.logged("halted: deal with the dead letters"))
    world.relayed(22)
    until(lambda: healthy() is not None)
    # All before it is told, nothing after it, and a restart changes nothing.
    check(world, records[:20])
    relay.kill()
    relay.wait()
    relay, healthy = world.start(INVENTORY_CDC_DEAD_LETTERS_LIMIT="2")
    until(lambda: world.logged("halted: deal with the dead letters"))
    assert world.committed() == 22
    assert len(world.letters()) == 2
    world.resolve(world.letters()[0])
    world.relayed(len(records) + 3)
    check(world, records)
    until(lambda: healthy() is None)
    assert [one.offset for one in world.letters()] == [11, 22]


def test_a_dead_letter_that_cannot_be_written_stops_it(world: RelayWorld) -> None:
    """Nothing passes the record: not its position, and none of what stands after it."""
    records = history(20)
    world.write([*records[:10], b"\xff\xff", *records[10:]])
    small = {"INVENTORY_CDC_DEAD_LETTERS_TOPIC": f"{world.name}.missing"}
    relay, healthy = world.start(**small)
    until(lambda: world.logged("starting over from the committed position"))
    world.relayed(10)
    until(lambda: healthy() is not None)
    assert world.committed() == 10
    check(world, records[:10])
    relay.kill()
    relay.wait()
    world.start()
    world.relayed(len(records) + 1)
    check(world, records)
    assert [one.offset for one in world.letters()] == [10]


def test_a_record_written_again_for_another_reader_is_none_of_its_business(world: RelayWorld) -> None:
    records = history(10)
    world.write(records)
    world.start()
    world.relayed(len(records))
    producer = Producer({"bootstrap.servers": world.brokers})
    for reader in ("somebody else", world.name):
        fresh = history(1, seed=5)[0]
        fresh.transaction_id = str(UUID(int=len(reader) + 5000))
        headers: list[tuple[str, str | bytes]] = [("replay_for", reader), ("retry_count", "1")]
        producer.produce(world.journal, fresh.SerializeToString(), headers=headers)
    assert producer.flush(30) == 0
    world.relayed(len(records) + 2)
    ids = {one.event_id for one in world.told()}
    assert ids == {*expected(records), *expected([fresh])}
