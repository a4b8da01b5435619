"""Whole transactions, each once, whatever is repeated and wherever reading begins anew."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cdc.assembly import Assembled, Assembler
from cdc.consumer import Record
from inventory.journal.v1.transaction_pb2 import Transaction
from inventory.type.v1.stock_pb2 import StockMovement

MANY = 1000


def parts(name: str, count: int) -> list[Transaction]:
    """Return the parts of a transaction, each with one entry."""
    return [
        Transaction(
            transaction_id=name,
            part=part,
            part_count=count,
            movements=[StockMovement(sku=name, version=part)],
        )
        for part in range(1, count + 1)
    ]


def at(offset: int) -> Record:
    """Return a record at an offset."""
    return Record(offset, b"")


def told(assembled: list[Assembled]) -> list[tuple[str, list[int], bool]]:
    """Return the name, the versions and the wholeness of each."""
    return [
        (
            one.transaction().transaction_id,
            [entry.version for entry in one.transaction().movements],
            one.whole,
        )
        for one in assembled
    ]


sizes = st.lists(st.integers(1, 4), min_size=1, max_size=8)


@given(sizes, st.data())
def test_a_journal_sent_again_from_anywhere_tells_each_transaction_once(
    counts: list[int], data: st.DataObject
) -> None:
    records = [part for number, count in enumerate(counts) for part in parts(f"t{number}", count)]
    sent = records[: data.draw(st.integers(0, len(records)))]
    again = data.draw(st.integers(0, len(sent)))
    assembler = Assembler(MANY)
    assembled = [
        one
        for offset, record in enumerate([*sent, *records[again:]])
        for one in assembler.add(at(offset), record)
    ]
    assert told(assembled) == [
        (f"t{number}", list(range(1, count + 1)), True) for number, count in enumerate(counts)
    ]


@given(sizes, st.data())
def test_another_goes_on_where_one_has_stopped(counts: list[int], data: st.DataObject) -> None:
    records = [part for number, count in enumerate(counts) for part in parts(f"t{number}", count)]
    stop = data.draw(st.integers(0, len(records)))
    first, second = Assembler(MANY), Assembler(MANY)
    assembled = [one for offset in range(stop) for one in first.add(at(offset), records[offset])]
    begin = first.resume_at(stop)
    for record in records[:begin]:
        second.recall(record)
    assembled += [
        one for offset in range(begin, len(records)) for one in second.add(at(offset), records[offset])
    ]
    assert [name for name, _, whole in told(assembled) if whole] == [f"t{i}" for i in range(len(counts))]
    assert len(assembled) == len(counts)


def test_what_lacks_a_part_is_told_as_broken_off() -> None:
    assembler = Assembler(MANY)
    one, two, three = parts("a", 3)
    (whole,) = parts("b", 1)
    assert assembler.add(at(0), one) == []
    assert assembler.resume_at(1) == 0
    assert told(assembler.add(at(2), whole)) == [("a", [1], False), ("b", [1], True)]
    assert assembler.resume_at(3) == 3
    assert assembler.add(at(3), two) == []
    assert told(assembler.add(at(4), three)) == [("a", [2, 3], False)]


def test_memory_is_bounded() -> None:
    assembler = Assembler(2)
    records = [parts(name, 1)[0] for name in "abc"]
    for offset, record in enumerate(records):
        assembler.add(at(offset), record)
    assert assembler.add(at(3), records[2]) == []
    assert len(assembler.add(at(4), records[0])) == 1
