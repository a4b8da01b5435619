"""The journal record: everything of the transaction exactly once, in parts below the limit."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from command_svc import journal
from command_svc.domain.batch import Submission, decide
from command_svc.domain.catalog import CreateItem, CreateLocation
from command_svc.domain.commands import Command
from command_svc.domain.item import Facts, Item
from command_svc.domain.levels import LevelKey
from command_svc.domain.location import Location
from command_svc.domain.stock import AddStock, AdjustStock, MoveStock, RemoveStock
from command_svc.domain.transaction import Transaction
from command_svc.journal import MAX_PART_BYTES, encode
from command_svc.messages import item_message, level_message, location_message, movement_message, timestamp
from inventory.journal.v1.transaction_pb2 import Transaction as TransactionMessage
from tests.unit.command_svc.making import request, submission, transaction

LONG_ID = "X" * 64
skus = st.sampled_from(["MUG", "PEN"])
places = st.sampled_from(["WH", "ST"])
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(AddStock, st.builds(LevelKey, skus, places), st.integers(1, 10**12), st.just("RECEIPT"), texts),
    st.builds(RemoveStock, st.builds(LevelKey, skus, places), st.integers(1, 9), st.just("SALE"), texts),
    st.builds(
        AdjustStock, st.builds(LevelKey, skus, places), st.just("COUNT"), counted=st.integers(0, 10**12)
    ),
    st.builds(
        lambda sku, quantity: MoveStock(LevelKey(sku, "WH"), LevelKey(sku, "ST"), quantity, "REBALANCE"),
        skus,
        st.integers(1, 9),
    ),
    st.builds(
        lambda number, name, tags: CreateItem(Item(f"NEW-{number}", name, tags=tuple(tags))),
        st.integers(0, 5),
        texts,
        st.lists(texts, max_size=3),
    ),
    st.builds(
        lambda number, name, at: CreateLocation(Location(f"NEW-{number}", name, "STORE", coordinates=at)),
        st.integers(0, 5),
        texts,
        st.none() | st.tuples(st.floats(-90, 90), st.floats(-180, 180)),
    ),
)


def decided(asked: Sequence[Command]) -> Transaction:
    """Return a transaction in which the commands were decided, one after the other."""
    working = transaction()
    decide(working, submission(*asked))
    return working


def check(working: Transaction, payloads: Sequence[bytes]) -> list[TransactionMessage]:
    """Check that the payloads tell exactly the transaction, and return them decoded."""
    parts = [TransactionMessage.FromString(payload) for payload in payloads]
    assert all(len(payload) <= journal.MAX_PART_BYTES for payload in payloads)
    assert [part.part for part in parts] == list(range(1, len(parts) + 1))
    assert {part.part_count for part in parts} == {len(parts)}
    assert {part.transaction_id for part in parts} == {str(working.id)}
    assert all(part.record_time == timestamp(working.now) for part in parts)

    movements = [one for part in parts for one in part.movements]
    levels = [one for part in parts for one in part.levels]
    assert movements == [movement_message(one, working.id) for one in working.movements]
    assert levels == [level_message(after) for _, after in working.levels.changed()]
    assert len({(one.sku, one.location_id) for one in levels}) == len(levels)
    assert [one for part in parts for one in part.items] == [
        item_message(one) for _, one in working.items.changed()
    ]
    assert [one for part in parts for one in part.locations] == [
        location_message(one) for _, one in working.locations.changed()
    ]

    latest: dict[tuple[str, str], int] = {}
    for part in parts:
        for movement in part.movements:
            latest[movement.sku, movement.location_id] = movement.version
        for level in part.levels:
            # What led to the level has been told by then: all of it.
            assert latest[level.sku, level.location_id] == level.version
    return parts


@given(st.lists(commands, min_size=1, max_size=30))
@settings(max_examples=60)
def test_the_record_tells_exactly_the_transaction(asked: list[Command]) -> None:
    working = decided(asked)
    assert len(check(working, encode(working))) == 1


@given(st.lists(commands, min_size=1, max_size=30), st.integers(300, 2000))
@settings(max_examples=60)
def test_parts_together_tell_exactly_the_transaction(asked: list[Command], limit: int) -> None:
    working = decided(asked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "MAX_PART_BYTES", max(limit, largest(working) + 100))
        parts = check(working, encode(working))
    contents = [
        len(part.movements) + len(part.levels) + len(part.items) + len(part.locations) for part in parts
    ]
    assert all(contents) or working.is_empty


def largest(working: Transaction) -> int:
    """Return the size of the largest message in the transaction."""
    messages = [
        *(movement_message(one, working.id) for one in working.movements),
        *(level_message(after) for _, after in working.levels.changed()),
        *(item_message(one) for _, one in working.items.changed()),
        *(location_message(one) for _, one in working.locations.changed()),
    ]
    return max((message.ByteSize() for message in messages), default=0)


def test_a_thousand_commands_on_levels_of_their_own_take_more_than_one_part() -> None:
    working = transaction()
    keys = [LevelKey(f"{number:04}{LONG_ID}"[:64], "WH") for number in range(1000)]
    working.facts |= {key.sku: Facts("PHYSICAL", counted=True) for key in keys}
    working.reach |= set(keys)
    asked = tuple(
        request(AddStock(key, 10**12, "RECEIPT", "r" * 128), f"{key.sku}.{key.sku}"[:128]) for key in keys
    )
    decide(working, Submission(asked))
    parts = check(working, encode(working))
    assert len(parts) > 1
    assert sum(len(part.movements) for part in parts) == sum(len(part.levels) for part in parts) == 1000


def test_a_thousand_commands_on_one_level_show_it_once() -> None:
    working = decided([AddStock(LevelKey("MUG", "WH"), 1, "RECEIPT")] * 1000)
    (part,) = check(working, encode(working))
    assert [movement.version for movement in part.movements] == list(range(1, 1001))
    assert [(level.on_hand, level.version) for level in part.levels] == [(1000, 1000)]


def test_items_of_every_size_stay_below_the_limit() -> None:
    rng = random.Random(7)
    for _ in range(20):
        working = decided(
            [
                CreateItem(Item(f"BIG-{number}", "Big", description="d" * rng.choice([1, 4000, 119_800])))
                for number in range(rng.randint(1, 12))
            ]
        )
        check(working, encode(working))


def test_a_part_that_is_full_to_the_byte_has_room_for_its_envelope() -> None:
    bare = item_message(decided([CreateItem(Item("BIG-0", "Big"))]).items["BIG-0"]).ByteSize()
    # With its description's tag and length, and its own, each is half of the limit.
    description = "d" * (MAX_PART_BYTES // 2 - 8 - bare - 4)
    working = decided([CreateItem(Item(f"BIG-{number}", "Big", description)) for number in range(2)])
    assert len(check(working, encode(working))) == 2
