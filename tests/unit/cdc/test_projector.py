"""The fold: whatever order and repetition the records come in, the newest version of each thing remains."""

from __future__ import annotations

import random
from dataclasses import fields
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.projector import UndecodableError, decode, fold, project
from inventory.journal.v1.transaction_pb2 import Transaction
from inventory.type.v1.stock_pb2 import StockMovement
from query_svc.read_model import Changes, Commits
from tests.stock import item, level, location, lot, order, reservation, transaction, transfer

histories = st.lists(
    st.tuples(st.sampled_from(["A", "B"]), st.sampled_from(["W", "S"])), min_size=1, max_size=30
)


KINDS = [field.name for field in fields(Changes) if field.name not in {"follows", "told", "begun"}]


def journal(history: list[tuple[str, str]]) -> list[Transaction]:
    """Return a transaction for each step: the level's next version, and one of every other kind."""
    versions: dict[tuple[str, str], int] = {}
    transactions = []
    for number, name in enumerate(history, start=1):
        versions[name] = versions.get(name, 0) + 1
        here = level(*name, versions[name], on_hand=number)
        transactions.append(
            transaction(
                number,
                *(here, item(name[0], number), location(name[1], number), lot(*name, "L", versions[name])),
                *(reservation(1, number), order(number % 3, number), transfer(number % 2, number)),
            )
        )
    return transactions


@given(histories, st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_matters(history: list[tuple[str, str]], rng: random.Random) -> None:
    records = [one.SerializeToString() for one in journal(history)]
    shuffled = records + rng.choices(records, k=len(records))
    rng.shuffle(shuffled)
    expected, found = project(records), project(shuffled)
    assert expected.fault is found.fault is None
    for kind in KINDS:
        texts = [
            sorted(one.SerializeToString(deterministic=True) for one in getattr(one_of, kind))
            for one_of in (expected.changes, found.changes)
        ]
        assert texts[0] == texts[1]


@given(histories)
def test_the_newest_of_each_remains(history: list[tuple[str, str]]) -> None:
    changes = fold(journal(history))
    assert {(one.sku, one.location_id): one.version for one in changes.levels} == {
        name: history.count(name) for name in history
    }
    assert [one.version for one in changes.reservations] == [len(history)]


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\xff\xff",
        transaction(1, level("", "W", 1)).SerializeToString(),
        transaction(1, level("A", "W", 0)).SerializeToString(),
        transaction(1, item("", 1)).SerializeToString(),
        transaction(1, location("", 1)).SerializeToString(),
        transaction(1, lot("A", "W", "", 1)).SerializeToString(),
        transaction(1, reservation(1, 0)).SerializeToString(),
        transaction(1, order(1, 0)).SerializeToString(),
        transaction(1, transfer(1, 0)).SerializeToString(),
    ],
)
def test_what_is_no_transaction_is_refused(value: bytes | None) -> None:
    with pytest.raises(UndecodableError):
        decode(value)


def test_what_stands_before_a_broken_record_is_kept() -> None:
    good = [one.SerializeToString() for one in journal([("A", "W"), ("A", "W")])]
    found = project([*good, b"\xff\xff", *good])
    assert found.decoded == 2
    assert found.fault is not None
    assert [one.version for one in found.changes.levels] == [2]


def test_a_transaction_counts_once_its_last_part_is_there() -> None:
    one, two = transaction(1, item("A", 1)), transaction(2, item("A", 2))
    two.part_count = 2
    one.record_time.FromMilliseconds(5000)
    two.record_time.FromMilliseconds(6000)
    last = Transaction.FromString(two.SerializeToString())
    last.part = 2
    records = [each.SerializeToString() for each in (one, two, last)]
    assert project(records[:2]).commits == Commits([UUID(int=1).bytes], 5000)
    assert project(records).commits == Commits([UUID(int=1).bytes, UUID(int=2).bytes], 6000)
    assert project([]).commits == Commits([], 0)


@pytest.mark.parametrize(
    ("entries", "version", "expected"),
    [
        ([4, 5, 6], 6, 3),
        ([1], 1, 0),
        ([2, 3, 7, 8], 8, 6),  # of what is missing in between, the last is told
        ([6, 5], 6, 4),
        ([5], 6, None),  # its last entry came before
        ([], 6, None),
    ],
)
def test_the_version_that_a_level_follows_is_known_from_its_entries(
    entries: list[int], version: int, expected: int | None
) -> None:
    records = [transaction(1, level("A", "W", version))]
    records[0].movements.extend(StockMovement(sku="A", location_id="W", version=one) for one in entries)
    assert fold(records).follows == ({} if expected is None else {("A", "W"): expected})
