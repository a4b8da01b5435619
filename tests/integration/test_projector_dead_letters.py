"""Records that the projector cannot apply: set aside, counted, and never in the way of the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.projector_world import (
    KEYS,
    World,
    end,
    history,
    newest_or_none,
    projector_world,
    until,
)
from tests.redis_server import binaries, redis_server
from tests.stack_fixture import RunningStack
from tests.stock import level, transaction

pytestmark = pytest.mark.stack


@pytest.fixture
def world(stack: RunningStack, tmp_path: Path) -> Iterator[World]:
    """Give an empty world."""
    with (
        redis_server(binaries()["valkey"], tmp_path) as redis,
        projector_world(stack, tmp_path, redis) as world,
    ):
        yield world


def test_records_that_cannot_be_decoded_become_dead_letters_and_the_rest_is_applied(world: World) -> None:
    records = history(30)
    poison = [
        b"\xff\xff",
        b"",
        b"\0\0\0\0\7\0framed",
        transaction(1, level("", "WH-1", 1)).SerializeToString(),
    ]
    last, mark = end(1)
    world.write([*records[:10], poison[0], *records[10:20], *poison[1:], *records[20:], last])
    process, healthy = world.start()
    until(world.shows(mark))
    until(lambda: world.levels() == newest_or_none(records))
    assert [(one.kind, one.offset, one.reader) for one in world.letters()] == [
        ("UNDECODABLE", 10, world.topic),
        ("UNKNOWN_TYPE", 21, world.topic),
        ("UNKNOWN_SCHEMA", 22, world.topic),
        ("UNDECODABLE", 23, world.topic),
    ]
    until(lambda: healthy() is None)
    # Read again from the beginning, by a view that is empty: each is the same letter.
    world.redis.kill()
    world.redis.start()
    until(world.shows(mark))
    assert len(world.letters()) == 4
    assert process.poll() is None


def test_what_redis_refuses_is_tried_again_and_then_becomes_a_dead_letter(world: World) -> None:
    """A change whose key holds something else: neither its batch nor what follows waits for it."""
    with world.redis.client() as client:
        client.set(KEYS.levels("BAD"), "not a hash")
    records = history(40)
    bad = [transaction(number, level("BAD", "WH-1", number)) for number in (1, 2)]
    last, mark = end(1)
    world.write([*records[:15], bad[0], *records[15:25], bad[1], *records[25:], last])
    _, healthy = world.start()
    until(world.shows(mark))
    until(lambda: world.levels() == newest_or_none(records))
    until(lambda: len(world.letters()) == 2)
    letters = world.letters()
    assert [(one.kind, one.offset, one.retry_count) for one in letters] == [
        ("REFUSED", 15, 3),
        ("REFUSED", 26, 3),
    ]
    assert "WRONGTYPE" in letters[0].error
    until(lambda: healthy() is None)


def test_with_too_many_dead_letters_it_halts_until_one_is_dealt_with(world: World) -> None:
    before, after = level("A", "WH-1", 1), level("A", "WH-1", 2)
    world.write([transaction(1, before), b"\xff\xff", b"\xff\xff", transaction(2, after)])
    process, healthy = world.start(INVENTORY_CDC_DEAD_LETTERS_LIMIT="1")
    until(lambda: world.logged("halted: deal with the dead letters"))
    until(lambda: healthy() is not None)
    assert world.level("A", "WH-1") == before
    assert [one.offset for one in world.letters()] == [1]
    world.resolve(world.letters()[0])
    until(world.shows(after))
    until(lambda: healthy() is None)
    assert [one.offset for one in world.letters()] == [2]
    assert process.poll() is None


def test_nothing_passes_a_record_whose_dead_letter_cannot_be_written(world: World) -> None:
    before, after = level("A", "WH-1", 1), level("A", "WH-1", 2)
    world.write([transaction(1, before), b"\xff\xff", transaction(2, after)])
    process, healthy = world.start(INVENTORY_CDC_DEAD_LETTERS_TOPIC=f"{world.topic}-missing")
    until(lambda: world.logged("starting over from the stored position"))
    until(lambda: healthy() is not None)
    assert world.level("A", "WH-1") == before
    process.kill()
    process.wait()
    world.start()
    until(world.shows(after))
    assert [one.offset for one in world.letters()] == [1]
