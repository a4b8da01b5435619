"""Every migration's rows are taken by the registry, before one could stop the connector where it matters.

The schemas are those that the connector makes of the columns: nullable ones have the default null, others
that of the column, which is told of everything but arrays.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from stack import boot, programs
from stack.postgres_server import MIGRATIONS
from tests.stack_fixture import RunningStack, running_stack

pytestmark = [pytest.mark.stack, pytest.mark.slow]

TABLES = ("items", "locations")
REGISTRY = ("registry", "subjects")
TYPES: dict[str, object] = {
    "bool": "boolean",
    "float8": "double",
    "int8": "long",
    "jsonb": "string",
    "text": "string",
    "timestamptz": "string",
    "_int8": {"type": "array", "items": ["null", "long"]},
    "_text": {"type": "array", "items": ["null", "string"]},
}
COLUMNS = """
SELECT column_name, udt_name, is_nullable = 'YES', column_default IS NOT NULL AND data_type <> 'ARRAY'
FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position
"""
DEFAULTS: dict[str, object] = {"boolean": False, "double": 0.0, "long": 0, "string": ""}
REFUSED = """-- migrate:up
ALTER TABLE items ADD COLUMN colour text NOT NULL DEFAULT 'none';
ALTER TABLE items ALTER COLUMN colour DROP DEFAULT;
-- migrate:down
ALTER TABLE items DROP COLUMN colour;
"""
ROWS = """
INSERT INTO locations (location_id, name, kind, region_code, postal_code, locality, address_lines,
    time_zone, priority, ships_online_orders, state, version, create_time, update_time)
VALUES ('W', 'Place', 'STORE', '', '', '', '{}', 'UTC', 1, true, 'ACTIVE', 1, now(), now());
INSERT INTO items (sku, name, description, kind, unit_of_measure, categories, tags, barcodes, metadata, state,
    version, create_time, update_time)
VALUES ('S', 'Item', '', 'PHYSICAL', 'each', '{}', '{}', '{}', '{}', 'ACTIVE', 1, now(), now());
"""


class History:
    """A database that is at its first migration, with a row, and a registry that is told of its tables."""

    def __init__(self, stack: RunningStack, folder: Path) -> None:
        self._home = stack.home
        self._folder = folder
        self._owner = stack.postgres_url("owner")
        self._subjects = f"{stack.registry_url}/apis/ccompat/v7/subjects"

    def begin(self) -> None:
        """Go back to the first migration, with a row in each table; then start the registry."""
        with psycopg.connect(self._owner) as connection:
            connection.cursor().execute(ROWS)
        first, *later = sorted(MIGRATIONS.glob("*.sql"))
        for _ in later:
            self._dbmate(MIGRATIONS, "rollback")
        shutil.copy(first, self._folder)
        everything = programs.parts(self._home)
        boot.up(self._home, everything, [one for one in everything if one.name in REGISTRY], lambda *_: None)

    def migrate(self, name: str, migration: str) -> None:
        """Apply a migration."""
        (self._folder / name).write_text(migration)
        self._dbmate(self._folder, "migrate")

    def refused(self, table: str) -> str:
        """Register the schema of a table's rows, as a changed row would; return what the registry says."""
        answer = httpx.post(
            f"{self._subjects}/inventory.catalog.{table}-value/versions",
            json={"schema": json.dumps(self._schema(table))},
            trust_env=False,
            timeout=30,
        )
        return answer.text if answer.is_error else ""

    def _schema(self, table: str) -> dict[str, object]:
        fields = []
        with psycopg.connect(self._owner) as connection:
            for name, kind, nullable, defaulted in connection.execute(COLUMNS, [table]):
                field: dict[str, object] = {"name": name, "type": TYPES[kind]}
                if nullable:
                    field |= {"type": ["null", TYPES[kind]], "default": None}
                elif defaulted:
                    field["default"] = DEFAULTS[str(TYPES[kind])]  # of what value matters not to the rule
                fields.append(field)
        return {"type": "record", "name": "Value", "namespace": table, "fields": fields}

    def _dbmate(self, folder: Path, action: str) -> None:
        done = subprocess.run(  # noqa: S603
            [
                str(Path(sys.executable).parent / "dbmate"),
                "--migrations-dir",
                folder,
                "--no-dump-schema",
                action,
            ],
            env={"DATABASE_URL": self._owner, "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    """Give the history of the schema, begun."""
    with running_stack("evolution", only=("postgres", "database")) as stack:
        history = History(stack, tmp_path)
        history.begin()
        yield history


@pytest.mark.timeout(240)
def test_the_rows_of_every_migration_are_taken(history: History) -> None:
    """A column that the rule refuses stops the connector: here, and not where orders wait for it."""
    assert [history.refused(table) for table in TABLES] == ["", ""]
    for migration in sorted(MIGRATIONS.glob("*.sql"))[1:]:
        history.migrate(migration.name, migration.read_text())
        assert [history.refused(table) for table in TABLES] == ["", ""], migration.name
    history.migrate("29990101000000_refused.sql", REFUSED)
    assert "ncompatible" in history.refused("items")
    assert history.refused("locations") == ""
