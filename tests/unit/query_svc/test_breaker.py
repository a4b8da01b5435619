"""The circuit breaker, by a clock of the test's own."""

from __future__ import annotations

from query_svc.breaker import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, PROBE_SECONDS, Breaker


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def breaker(clock: Clock) -> Breaker:
    return Breaker(clock, threshold=3, jitter=lambda _, longest: longest)


def fail(one: Breaker, times: int) -> None:
    for _ in range(times):
        permit = one.enter()
        assert permit is not None
        one.failed(permit)


def test_failures_in_a_row_open_it_and_an_answer_between_them_does_not() -> None:
    one = breaker(Clock())
    fail(one, 2)
    permit = one.enter()
    assert permit is not None
    one.succeeded(permit)
    fail(one, 2)
    fail(one, 1)  # lets it through, which it would not if it were open
    assert one.is_open
    assert one.enter() is None


def test_after_a_pause_one_caller_probes_and_the_answer_closes_it() -> None:
    clock = Clock()
    one = breaker(clock)
    fail(one, 3)
    clock.now += FIRST_PAUSE_SECONDS
    probe = one.enter()
    assert probe is not None
    assert [one.enter() for _ in range(100)] == [None] * 100
    one.succeeded(probe)
    assert not one.is_open
    assert one.enter() is not None


def test_each_probe_that_fails_doubles_the_pause_up_to_the_longest() -> None:
    clock = Clock()
    one = breaker(clock)
    fail(one, 3)
    pauses = []
    for _ in range(8):
        started = clock.now
        while (permit := one.enter()) is None:
            clock.now += 0.125
        one.failed(permit)
        pauses.append(clock.now - started)
    assert pauses == [0.25, 0.5, 1, 2, 4, *[LONGEST_PAUSE_SECONDS] * 3]


def test_a_probe_of_which_nothing_is_heard_is_followed_by_another() -> None:
    clock = Clock()
    one = breaker(clock)
    fail(one, 3)
    clock.now += FIRST_PAUSE_SECONDS
    assert one.enter() is not None
    clock.now += PROBE_SECONDS
    assert one.enter() is not None


def test_what_comes_of_a_call_from_before_changes_nothing() -> None:
    clock = Clock()
    one = breaker(clock)
    early = [one.enter() for _ in range(10)]
    fail(one, 3)
    for permit in early:
        assert permit is not None
        one.succeeded(permit)
        one.failed(permit)
    assert one.is_open
    clock.now += FIRST_PAUSE_SECONDS
    probe = one.enter()
    assert probe is not None
    one.succeeded(probe)
    one.failed(probe)
    assert not one.is_open
