"""An old month of the audit log leaves it as a file that proves itself; what is left proves as before."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from command_svc import audit_file
from command_svc.__main__ import app
from command_svc.archiving import (
    EarlierMonthLeftError,
    FileDiffersError,
    MonthArchivedError,
    MonthMissingError,
    MonthTooRecentError,
)
from command_svc.audit_retention import archive
from command_svc.parquet_file import FileError
from command_svc.seal_notes import SealNotes
from command_svc.store.audit_archive import open_audit_archive
from command_svc.store.upkeep import SealedDay
from query_svc.audit_log import DayArchivedError
from tests.integration.audit.old_days import DAYS, EACH, FEBRUARY, JANUARY
from tests.integration.audit.world import SECONDS, World, today

pytestmark = pytest.mark.stack

RETENTION = 400


def run(world: World, folder: Path, month: date = JANUARY, retention: int = RETENTION) -> Path:
    """Archive a month."""
    with open_audit_archive(world.stack.postgres_url("archive")) as audit:
        return archive(audit, month, folder, retention)


def files(folder: Path) -> set[str]:
    """Return the kinds of files in a folder."""
    return {file.suffix for file in folder.iterdir()}


async def test_a_month_leaves_as_a_file_and_the_rest_proves_as_before(old: World, tmp_path: Path) -> None:
    before = {day: await old.log.prove(day, None, SECONDS) for day in DAYS}

    file = run(old, tmp_path)

    assert pq.read_table(file).num_rows == 2 * EACH
    shown = CliRunner().invoke(app, ["verify-audit", "--file", str(file)])
    assert shown.output.splitlines() == [f"{day} {EACH} {before[day].end.seal.hex()}" for day in DAYS[:2]]
    assert [entry.day for entry in await old.entries()] == [FEBRUARY] * EACH
    proof = await old.log.prove(FEBRUARY, before[FEBRUARY].end, SECONDS)
    assert proof.is_complete
    with pytest.raises(DayArchivedError, match=file.name):
        await old.log.prove(DAYS[0], None, SECONDS)
    with pytest.raises(MonthArchivedError):
        run(old, tmp_path)
    # How the chains end stays.
    kept = old.tampering.execute("SELECT day, seal FROM audit_days ORDER BY day").fetchall()
    assert kept == [(day, before[day].end.seal) for day in DAYS]


async def test_a_month_stays_that_is_too_young_or_not_the_first(old: World, tmp_path: Path) -> None:
    with pytest.raises(EarlierMonthLeftError):
        run(old, tmp_path, FEBRUARY)
    with pytest.raises(MonthTooRecentError):
        run(old, tmp_path, JANUARY, retention=(today() - JANUARY).days)
    with pytest.raises(MonthTooRecentError):
        run(old, tmp_path, today().replace(day=1), retention=0)
    with pytest.raises(MonthMissingError):
        run(old, tmp_path, date(2024, 12, 1))
    assert files(tmp_path) == set()


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE audit_log SET actor = 'nobody' WHERE day = '2025-01-31' AND request_id = 'r-2'",
        "DELETE FROM audit_log WHERE day = '2025-01-31' AND request_id = 'r-2'",
        "DELETE FROM audit_seals WHERE day = '2025-01-31' AND position = 7",
        "UPDATE audit_days SET seal = 'x' WHERE day = '2025-01-31'",
        "DELETE FROM audit_days WHERE day = '2025-01-30'",
    ],
)
async def test_a_month_that_somebody_has_changed_stays(old: World, tmp_path: Path, tampering: str) -> None:
    old.tampering.execute(tampering.encode())
    with pytest.raises((FileError, FileDiffersError)):
        run(old, tmp_path)
    assert files(tmp_path) <= {".draft"}
    assert {entry.day for entry in await old.entries()} == set(DAYS)


async def test_an_entry_that_nobody_has_sealed_keeps_its_month(old: World, tmp_path: Path) -> None:
    old.tampering.execute(
        "INSERT INTO audit_log"
        " (day, record_time, method, verdict, actor, proof, source, request_id, trace_id, skus, location_ids)"
        " SELECT day, record_time, '', '', '', '', '', '', '', '{}', '{}' FROM audit_log LIMIT 1"
    )
    with pytest.raises(FileDiffersError, match="changed since"):
        run(old, tmp_path)


async def test_a_file_that_is_there_is_proved_again_rather_than_written(old: World, tmp_path: Path) -> None:
    file = run(old, tmp_path)
    old.tampering.execute("DELETE FROM audit_archives")
    body = bytearray(file.read_bytes())
    body[len(body) // 2] ^= 1
    file.write_bytes(body)
    with pytest.raises(FileError):
        audit_file.prove(file)


async def test_days_that_are_over_are_noted_and_held_against_their_notes(old: World, tmp_path: Path) -> None:
    days = await old.upkeep.sealed_days(10_000)
    assert [day.day for day in days] == list(DAYS)
    assert await old.upkeep.sealed_days(2) == []
    notes = SealNotes(tmp_path)

    assert notes.note(days) == []
    assert notes.note(days) == []

    noted = (tmp_path / "2025-01-31.seal").read_text()
    assert noted == f"2025-01-31 {EACH} {days[1].seal.hex()}\n"
    (metric,) = notes.collect()
    (sample,) = metric.samples
    assert (sample.labels, sample.value) == ({"day": str(FEBRUARY), "seal": days[2].seal.hex()}, EACH)
    changed = SealedDay(days[1].day, EACH, b"another")
    assert notes.note([days[0], changed]) == [changed]
    assert SealNotes(None).note([changed]) == []


async def test_the_present_days_are_not_over(world: World) -> None:
    with psycopg.connect(world.stack.postgres_url("owner"), autocommit=True) as owner:
        for ago in range(4):
            day = today() - timedelta(days=ago)
            owner.execute("INSERT INTO audit_days VALUES (%s, 1, '0', 0, 'x')", (day,))
    found = await world.upkeep.sealed_days(40)
    assert [day.day for day in found] == [today() - timedelta(days=3), today() - timedelta(days=2)]
