"""The books say where every level must stand, and see every way in which a ledger can differ."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from demo.books import Account, Books, Standing
from demo.events import Level

MUG: Level = ("MUG-1", "WH-1")
JUG: Level = ("JUG-1", "WH-1")

ENTRIES = st.lists(
    st.tuples(st.sampled_from([MUG, JUG]), st.integers(-5, 5), st.text("abc", min_size=1, max_size=3)),
    max_size=20,
)


def books(entries: list[tuple[Level, int, str]]) -> Books:
    """Return books with these entries."""
    made = Books()
    for level, delta, request_id in entries:
        made.enter(level, delta, request_id)
    return made


def test_a_level_stands_where_it_began_plus_what_was_entered() -> None:
    kept = Books({MUG: Standing(10, 4)})
    kept.enter(MUG, -3, "a")
    kept.enter(MUG, 0, "b")
    kept.enter(JUG, 7, "c")
    assert kept.expected(MUG) == Standing(7, 6)
    assert kept.expected(JUG) == Standing(7, 1)
    assert kept.expected(("CUP-1", "WH-1")) == Standing(0, 0)
    assert list(kept) == [MUG, JUG]
    assert (len(kept), kept.entries) == (2, 3)


@given(ENTRIES, st.randoms(use_true_random=False))
def test_the_order_of_entries_makes_no_difference(
    entries: list[tuple[Level, int, str]], random: Random
) -> None:
    shuffled = entries.copy()
    random.shuffle(shuffled)
    assert list(books(entries).differences(books(shuffled))) == []


@given(ENTRIES.filter(bool), st.data())
def test_a_lost_doubled_or_foreign_entry_shows(
    entries: list[tuple[Level, int, str]], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(entries) - 1))
    level, delta, request_id = entries[place]
    kept = books(entries)
    lost = books(entries[:place] + entries[place + 1 :])
    doubled = books([*entries, entries[place]])
    foreign = books([*entries[:place], (level, delta, f"{request_id}x"), *entries[place + 1 :]])
    for other in (lost, doubled, foreign):
        assert [where for where, _, _ in kept.differences(other)] == [level]
        assert [where for where, _, _ in other.differences(kept)] == [level]


def test_one_entry_for_another_of_the_same_size_shows() -> None:
    # One lost and one doubled: sum and number are the same.
    kept = books([(MUG, -1, "a"), (MUG, -1, "b")])
    other = books([(MUG, -1, "a"), (MUG, -1, "a")])
    ((level, ours, theirs),) = kept.differences(other)
    assert level == MUG
    assert (ours.delta, ours.entries) == (theirs.delta, theirs.entries) == (-2, 2)
    assert ours != theirs
    assert kept[JUG] == Account()
