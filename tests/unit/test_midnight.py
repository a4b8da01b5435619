"""A test that reckons by days begins before the last minutes of one, or after them."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.midnight import pass_midnight

NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("began", "begins"),
    [
        (NEW_YEAR - timedelta(minutes=3), NEW_YEAR - timedelta(minutes=3)),
        (NEW_YEAR - timedelta(minutes=1), NEW_YEAR),
        (NEW_YEAR - timedelta(microseconds=1), NEW_YEAR),
        (NEW_YEAR, NEW_YEAR),
    ],
)
def test_the_last_minutes_of_a_day_are_waited_out(began: datetime, begins: datetime) -> None:
    now = began

    def sleep(seconds: float) -> None:
        nonlocal now
        # As a clock may that is set meanwhile: half of it passes.
        now = min(NEW_YEAR, now + timedelta(seconds=max(seconds / 2, 1e-6)))

    pass_midnight(lambda: now, sleep)
    assert now == begins
