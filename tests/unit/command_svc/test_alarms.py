"""What is an alarm, and what is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from command_svc.alarms import Alarm, Limits, alarms, covered_until
from command_svc.store.upkeep import Condition, Partition

DAY = timedelta(days=1)
MIDNIGHT = datetime(2026, 11, 25, tzinfo=UTC)
NOW = MIDNIGHT + timedelta(hours=12)
LIMITS = Limits(3 * DAY, {"partitions": timedelta(hours=10)})


def daily(table: str, first: int, last: int) -> list[Partition]:
    """Return the partitions of the days from `first` to `last`, counted from today."""
    return [
        Partition(table, f"{table}_{day}", MIDNIGHT + day * DAY, MIDNIGHT + (day + 1) * DAY)
        for day in range(first, last + 1)
    ]


def found(
    *partitions: Partition,
    success: datetime = NOW,
    confirmed: datetime | None = NOW,
) -> list[Alarm]:
    """Return the alarms where, beside `partitions` of the journal, all is well."""
    ledger = Partition("stock_movements", "month", MIDNIGHT - 24 * DAY, MIDNIGHT + 90 * DAY)
    audit = [ledger._replace(parent=table) for table in ("audit_log", "audit_seals")]
    others = [ledger, *audit, *daily("requests", -7, 7)]
    return alarms(Condition(NOW, [*partitions, *others], {"partitions": success}, confirmed), LIMITS)


def test_all_is_well() -> None:
    assert found(*daily("journal", -7, 7)) == []


@pytest.mark.parametrize(("last", "is_alarm"), [(3, False), (2, True), (0, True), (-1, True)])
def test_days_without_partitions_ahead_are_an_alarm(last: int, *, is_alarm: bool) -> None:
    names = [alarm.name for alarm in found(*daily("journal", -7, last))]
    assert names == ["partitions of journal"] * is_alarm


def test_a_gap_ends_what_is_covered() -> None:
    partitions = [*daily("journal", -7, 1), *daily("journal", 3, 7)]
    assert covered_until(partitions, NOW) == MIDNIGHT + 2 * DAY
    (alarm,) = found(*partitions)
    assert "2026-11-27 00:00" in alarm.problem


def test_no_partition_for_now_is_covered_until_now() -> None:
    assert covered_until(daily("journal", 1, 7), NOW) == NOW


@pytest.mark.parametrize(
    ("confirmed", "said"), [(NOW - 9 * DAY, "all until 2026-11-16 12:00"), (None, "nothing, or has no slot")]
)
def test_what_is_kept_too_long_is_an_alarm(confirmed: datetime | None, said: str) -> None:
    # The eighth day back may stay until six hours after midnight.
    assert found(*daily("journal", -7, 7), confirmed=confirmed) == []
    (alarm,) = found(*daily("journal", -9, 7), confirmed=confirmed)
    assert alarm.name == "expiry of journal"
    assert "2 partitions" in alarm.problem
    assert "journal_-9" in alarm.problem
    assert said in alarm.problem


def test_a_job_that_does_not_succeed_for_long_is_an_alarm() -> None:
    days = daily("journal", -7, 7)
    assert found(*days, success=NOW - timedelta(hours=10)) == []
    (alarm,) = found(*days, success=NOW - timedelta(hours=10, seconds=1))
    assert alarm.name == "job partitions"
    assert "2026-11-25 01:59" in alarm.problem
