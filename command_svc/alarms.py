"""What is wrong with the upkeep of the schema, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from command_svc.store.upkeep import Condition, Partition, SealedDay

EXPIRING_TABLES = ("requests", "journal")
LONGEST_LIFE = timedelta(days=7, hours=6)
"""Age at which a partition of the expiring tables should be gone."""


@dataclass(frozen=True)
class Limits:
    """`ahead`: the least time that must have partitions; `jobs`: the longest since each last succeeded."""

    ahead: timedelta
    jobs: Mapping[str, timedelta]


@dataclass(frozen=True)
class Alarm:
    """`name` says what is concerned, `problem` what is wrong with it, `remedy` what to do."""

    name: str
    problem: str
    remedy: str


def alarms(condition: Condition, limits: Limits) -> list[Alarm]:
    """Return everything that is wrong."""
    return [
        *_short_of_partitions(condition, limits.ahead),
        *_kept_too_long(condition),
        *_not_done(condition, limits.jobs),
    ]


def rewritten(days: Iterable[SealedDay]) -> list[Alarm]:
    """Return the alarm for days of the audit log whose seal is not the one that was noted."""
    found = [str(day.day) for day in days]
    if not found:
        return []
    return [
        Alarm(
            "seals of the audit log",
            f"{', '.join(found)}: the last seal is not the one that was noted when the day was over",
            "somebody has rewritten the log, or the notes: keep both, and hold them against a backup",
        )
    ]


def covered_until(partitions: Iterable[Partition], now: datetime) -> datetime:
    """Return until when there are partitions without a gap; `now` if there is none for it."""
    until = now
    for partition in sorted(partitions, key=lambda partition: partition.lower_bound):
        if partition.lower_bound <= until < partition.upper_bound:
            until = partition.upper_bound
    return until


def _short_of_partitions(condition: Condition, ahead: timedelta) -> Iterable[Alarm]:
    for table in ("stock_movements", *EXPIRING_TABLES, "audit_log", "audit_seals"):
        own = [partition for partition in condition.partitions if partition.parent == table]
        until = covered_until(own, condition.now)
        if until - condition.now < ahead:
            yield Alarm(
                f"partitions of {table}",
                f"they end at {until:%Y-%m-%d %H:%M} UTC; after that every command fails",
                "look for 'upkeep job failed' in this log; to make them by hand, run as inventory_owner:"
                " SELECT create_partitions()",
            )


def _kept_too_long(condition: Condition) -> Iterable[Alarm]:
    for table in EXPIRING_TABLES:
        old = [
            partition
            for partition in condition.partitions
            if partition.parent == table and partition.upper_bound + LONGEST_LIFE <= condition.now
        ]
        if old:
            oldest = min(old, key=lambda partition: partition.upper_bound).child
            confirmed = condition.confirmed_until
            yield Alarm(
                f"expiry of {table}",
                f"{len(old)} partitions should be gone, the oldest is {oldest}; the connector has confirmed"
                + (f" all until {confirmed:%Y-%m-%d %H:%M} UTC" if confirmed else " nothing, or has no slot"),
                "is the connector RUNNING, does its replication slot 'inventory' move? If it does, look for"
                " 'upkeep job failed' in this log: who holds a lock on the table for long?",
            )


def _not_done(condition: Condition, longest: Mapping[str, timedelta]) -> Iterable[Alarm]:
    for job, limit in longest.items():
        last = condition.success_times[job]
        if condition.now - last > limit:
            yield Alarm(
                f"job {job}",
                f"it has not succeeded since {last:%Y-%m-%d %H:%M} UTC",
                "look for 'upkeep job failed' in the logs of the command service",
            )
