"""The parts of a watch by themselves: cursors, what waits, and who is told."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory.type.v1 import error_reason_pb2
from query_svc.read_model import BUCKETS, FeedEntry, bucket_of
from query_svc.watch import cursors
from query_svc.watch.changes import NOWHERE, Change, Run
from query_svc.watch.fanout import Fanout
from query_svc.watch.watchers import Interest, Watcher
from serving.errors import CallError
from tests.unit.query_svc.test_watch import change

EPOCH = cursors.epoch_of("g2 journal")
places = st.tuples(st.integers(0, 2**53 - 1), st.integers(0, 10_000))


def made(run: Run, sku: str, version: int, location_id: str = "N") -> Change:
    """Return a change that follows those of the run."""
    entry = FeedEntry(bucket_of(sku), (version, 1), (0, 0), version - 1, change((sku, location_id), version))
    return Change(entry, [], run)


def versions(changes: Sequence[Change]) -> list[int]:
    """Return the version of each."""
    return [one.version for one in changes]


@given(st.lists(places, min_size=BUCKETS, max_size=BUCKETS))
def test_a_cursor_says_what_it_was_made_of_and_is_bounded(where: list[tuple[int, int]]) -> None:
    text = cursors.encode(EPOCH, where)
    assert cursors.decode(text) == (EPOCH, tuple(where))
    assert len(text) <= 1536


def test_the_longest_cursor_fits_the_contract() -> None:
    longest = [(0, 1), *[(2**53 - 1, 2**53 - 1)] * (BUCKETS - 1)]
    assert len(cursors.encode(EPOCH, longest)) <= 1536
    quiet = [(10**9, 0)] * BUCKETS
    assert len(cursors.encode(EPOCH, quiet)) < 30


@given(st.data())
def test_a_cursor_with_a_mistake_in_it_is_none(data: st.DataObject) -> None:
    text = cursors.encode(EPOCH, [(7, 3), *[(5, 0)] * (BUCKETS - 1)])
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from("ABab01-_=ж ").filter(lambda letter: letter != text[at]))
    with pytest.raises(CallError) as refused:
        cursors.decode(text[:at] + other + text[at + 1 :])
    assert refused.value.reason == error_reason_pb2.ERROR_REASON_INVALID_CURSOR


def test_the_cursor_of_a_change_is_where_its_reader_stood_then() -> None:
    run = Run(EPOCH, NOWHERE)
    changes = [made(run, sku, version) for sku, version in (("A", 1), ("B", 2), ("A", 3))]
    told = [cursors.decode(run.response(changes[:number]).cursor).places for number in (1, 2, 3)]
    a, b = bucket_of("A"), bucket_of("B")
    assert [(where[a], where[b]) for where in told] == [((1, 1), (0, 0)), ((1, 1), (2, 1)), ((3, 1), (2, 1))]
    assert run.response(changes) is run.response(changes)
    assert run.response([changes[0], changes[2]]) is not run.response(changes)


@given(st.lists(st.sampled_from("ABC"), max_size=60), st.data())
def test_what_waits_is_told_in_order_whenever_it_is_taken(skus: list[str], data: st.DataObject) -> None:
    every, newest = Watcher(Interest(), coalesces=False), Watcher(Interest(), coalesces=True)
    run, last = Run(EPOCH, NOWHERE), dict.fromkeys("ABC", 0)
    taken: list[Change] = []
    coalesced: list[Change] = []
    for sku in skus:
        last[sku] += 1
        one = made(run, sku, last[sku])
        every.offer(one)
        newest.offer(one)
        if data.draw(st.booleans()):
            taken += every.take(data.draw(st.integers(1, 3)))
            coalesced += newest.take(data.draw(st.integers(1, 3)))
    taken += every.take()
    coalesced += newest.take()
    for sku, version in last.items():
        assert versions([one for one in taken if one.name[0] == sku]) == list(range(1, version + 1))
        found = versions([one for one in coalesced if one.name[0] == sku])
        assert found == sorted(set(found))
        assert found[-1:] == ([version] if version else [])


@pytest.mark.parametrize("coalesces", [False, True])
async def test_there_is_a_limit_to_what_waits(coalesces: bool) -> None:  # noqa: FBT001 - a case
    watcher, run = Watcher(Interest(), coalesces=coalesces, limit=3), Run(EPOCH, NOWHERE)
    for sku in "ABC":
        watcher.offer(made(run, sku, 1))
    watcher.check()
    watcher.offer(made(run, "D", 1))
    with pytest.raises(CallError) as refused:
        await watcher.wait(1)
    assert refused.value.reason == error_reason_pb2.ERROR_REASON_WATCH_TOO_SLOW
    assert refused.value.metadata == {"waiting": "3", "limit": "3"}
    assert watcher.waiting == 0


def test_what_led_to_the_present_is_forgotten() -> None:
    watcher, run = Watcher(Interest(), coalesces=False), Run(EPOCH, NOWHERE)
    for version in (3, 4, 5):
        watcher.offer(made(run, "A", version))
    watcher.offer(made(run, "B", 4))
    watcher.forget({("A", "N"): 4, ("C", "N"): 9})
    assert versions(watcher.take()) == [5, 4]


def test_a_process_ends_the_slowest_watches_before_too_much_waits() -> None:
    fanout, run = Fanout(10, most_waiting=100), Run(EPOCH, NOWHERE)
    slow, quick = Watcher(Interest(), coalesces=False), Watcher(Interest(frozenset("A")), coalesces=False)
    with fanout.watching(slow), fanout.watching(quick):
        for version in range(1, 200):
            fanout.tell(made(run, "A", version))
            quick.take()
            assert slow.waiting <= 100
        quick.check()
        with pytest.raises(CallError):
            slow.check()


def test_each_change_goes_to_those_who_want_it_and_there_is_a_limit_to_them() -> None:
    fanout, run = Fanout(4), Run(EPOCH, NOWHERE)
    interests = [
        Interest(),
        Interest(frozenset("A")),
        Interest(frozenset("A"), frozenset("S")),
        Interest(location_ids=frozenset("S")),
    ]
    watchers = [Watcher(interest, coalesces=False) for interest in interests]
    with (
        fanout.watching(watchers[0]),
        fanout.watching(watchers[1]),
        fanout.watching(watchers[2]),
        fanout.watching(watchers[3]),
    ):
        with (
            pytest.raises(CallError) as refused,
            fanout.watching(Watcher(Interest(), coalesces=False)),
        ):
            pass
        assert refused.value.reason == error_reason_pb2.ERROR_REASON_QUEUE_FULL
        for sku, place in (("A", "N"), ("A", "S"), ("B", "S"), ("B", "N")):
            fanout.tell(made(run, sku, 1, place))
        assert [watcher.waiting for watcher in watchers] == [4, 2, 1, 2]
    fanout.tell(made(run, "A", 2))
    assert [watcher.waiting for watcher in watchers] == [4, 2, 1, 2]
    assert len(fanout) == 0
