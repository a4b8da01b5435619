"""The tables whose rows the read model shows, each with its key: read a page at a time, or by name."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncConnection, Error, sql
from psycopg.rows import dict_row

from query_svc import rows
from query_svc.read_model import Versioned
from query_svc.rows import Row

Name = tuple[str, ...]
"""What names a thing: the columns of its key, in their order."""

Place = tuple[object, ...]
"""Where a row stands in an order: the columns of the order."""

FIRST_ID: Final = UUID(int=0)
"""What is before every id of a promise."""

Connection = AsyncConnection[Row]


class Which(Enum):
    """Rows of a table: every one in the order of the keys, or of promises a part that an index has.

    OPEN: those that are open, in the order of the keys.
    CLOSED: those that are closed, in the order of their last changes.
    """

    EVERY = "every"
    OPEN = "open"
    CLOSED = "closed"


DatabaseError = Error
"""Anything that goes wrong with the database."""


@asynccontextmanager
async def connect_database(url: str, *, connect_timeout: float = 5.0) -> AsyncIterator[Connection]:
    """Give a connection that only reads, each statement in a snapshot of its own. Raise DatabaseError."""
    connection = await AsyncConnection[Row].connect(
        url,
        autocommit=True,
        row_factory=dict_row,
        connect_timeout=int(connect_timeout),
        options="-c default_transaction_read_only=on -c statement_timeout=60000",
    )
    # psycopg's own way out commits first, and who is cancelled in that leaves the connection open.
    try:
        yield connection
    finally:
        await connection.close()


@dataclass(frozen=True)
class Table:
    """A table: `kind` is the field of the read model's Changes that takes its rows."""

    kind: str
    key: Mapping[str, str]
    """The key's columns, in order, with their types."""
    message: Callable[[Row], Any]
    called: str
    """What to call one of its rows by its name, for people."""
    open_state: str = ""
    """The state in which a row is open, of a table of promises: in any other it is closed."""

    def closed_before(self, row: Row, instant: datetime) -> bool:
        """Tell whether a row is a closed promise that has not changed since an instant."""
        return bool(self.open_state) and not self.is_open(row) and row["update_time"] < instant

    def is_open(self, row: Row) -> bool:
        """Tell whether a row is an open promise."""
        return bool(self.open_state) and row["state"] == self.open_state

    async def page(
        self, connection: Connection, after: Place | None, size: int, which: Which = Which.EVERY
    ) -> list[Row]:
        """Return the next rows in their order, from the beginning or after a place."""
        cursor = await connection.execute(*self.reading(after, size, which))
        return await cursor.fetchall()

    def place_of(self, row: Row, which: Which) -> Place:
        """Return where a row stands in the order of those."""
        return tuple(row[column] for column in self._order(which))

    def reading(
        self, after: Place | None, size: int, which: Which = Which.EVERY
    ) -> tuple[sql.Composed, list[object]]:
        """Return the statement of `page`, and its parameters."""
        order = self._order(which)
        columns = sql.SQL(", ").join(map(sql.Identifier, order))
        conditions: list[sql.Composable] = [sql.SQL("true")]
        if after is not None:
            conditions.append(sql.SQL("({}) > ({})").format(columns, _typed(order, "%s::{}")))
        # As it stands in the index: a parameter would not be taken for it.
        if which is Which.OPEN:
            conditions.append(sql.SQL("state = {}").format(sql.Literal(self.open_state)))
        if which is Which.CLOSED:
            conditions.append(sql.SQL("closed_time IS NOT NULL"))
        statement = sql.SQL("SELECT * FROM {} WHERE {} ORDER BY {} LIMIT %s").format(
            sql.Identifier(self.kind_table), sql.SQL(" AND ").join(conditions), columns
        )
        return statement, [*(after or ()), size]

    async def named(self, connection: Connection, names: Iterable[Name]) -> list[Row]:
        """Return the rows there are of these names, in no order."""
        wanted = list(names)
        columns = sql.SQL(", ").join(map(sql.Identifier, self.key))
        statement = sql.SQL("SELECT t.* FROM {} AS t JOIN unnest({}) AS k ({}) USING ({})").format(
            sql.Identifier(self.kind_table), _typed(self.key, "%s::{}[]"), columns, columns
        )
        arrays = [[name[place] for name in wanted] for place in range(len(self.key))]
        cursor = await connection.execute(statement, arrays)
        return await cursor.fetchall()

    async def below(self, connection: Connection, name: Name) -> list[Row]:
        """Return the rows whose names begin with a name."""
        columns = list(self.key)[: len(name)]
        statement = sql.SQL("SELECT * FROM {} WHERE ({}) = ({})").format(
            sql.Identifier(self.kind_table),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.SQL(", ").join([sql.SQL("%s")] * len(columns)),
        )
        cursor = await connection.execute(statement, name)
        return await cursor.fetchall()

    @property
    def kind_table(self) -> str:
        """The name of the table itself."""
        return "stock_levels" if self.kind == "levels" else self.kind

    def name_of(self, row: Row) -> Name:
        """Return what names a row."""
        return tuple(str(row[column]) for column in self.key)

    def name(self, message: Versioned) -> Name:
        """Return what names a message."""
        return tuple(getattr(message, column) for column in self.key)

    def words(self, name: Name) -> str:
        """Return how to call what is named, for people."""
        return self.called.format(*name)

    def _order(self, which: Which) -> Mapping[str, str]:
        return {"closed_time": "timestamptz", **self.key} if which is Which.CLOSED else self.key


def _typed(columns: Mapping[str, str], form: str) -> sql.Composed:
    return sql.SQL(", ").join([sql.SQL(form.format(kind)) for kind in columns.values()])


TABLES: Final = (
    Table("items", {"sku": "text"}, rows.item_of, "item {}"),
    Table("locations", {"location_id": "text"}, rows.location_of, "location {}"),
    Table("levels", {"sku": "text", "location_id": "text"}, rows.level_of, "{} at {}"),
    Table(
        "lots",
        {"sku": "text", "location_id": "text", "lot_id": "text"},
        rows.lot_of,
        "lot {2} of {0} at {1}",
    ),
    Table("reservations", {"reservation_id": "uuid"}, rows.reservation_of, "reservation {}", "PENDING"),
    Table("orders", {"order_id": "uuid"}, rows.order_of, "order {}", "OPEN"),
    Table("transfers", {"transfer_id": "uuid"}, rows.transfer_of, "transfer {}", "IN_TRANSIT"),
)
"""Every table, those first that others refer to."""

BY_KIND: Final = {table.kind: table for table in TABLES}
