"""The indexes of the view as the database has them: the same members in the same order, from its rows.

The migrations index_*.sql make an index of the database for each: what is asked here is written as there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from query_svc.read_model import Span, indexes

ZERO_ID: Final = "00000000-0000-0000-0000-000000000000"


class Walk(NamedTuple):
    """An index: what its entries are made from, and the parts of a member, in their order.

    `entries` follows FROM. A part is an expression; those of IDS are of type uuid, others text. Where a row
    has an entry for each element of an array, `array` is that and `table` the table alone: so the rows that
    have one element are found by an index.
    """

    entries: str
    parts: tuple[str, ...]
    table: str = ""
    array: str = ""


IDS: Final = ("reservation_id", "order_id", "transfer_id")

# The flags narrow down what is looked at; the figures have the last word.
_LOW: Final = "low IS NOT FALSE AND on_hand - reserved + in_transit - backordered <= reorder_point"
_LOTS: Final = "lots WHERE emptied IS NOT TRUE AND on_hand > 0"
_EXPIRY: Final = "expiry_day(expiry_date)"
_TRAVELLING: Final = "transfers WHERE state = 'IN_TRANSIT'"


def _each(table: str, array: str, key: str) -> Walk:
    """Return the walk of a table's rows, once for each different element of an array."""
    entries = f"{table} CROSS JOIN LATERAL (SELECT DISTINCT unnest({array}) AS one) AS of_row"
    return Walk(entries, ("one", key), table, array)


WALKS: Final[Mapping[str, Walk]] = {
    indexes.LEVELS_BY_LOCATION: Walk("stock_levels", ("location_id", "sku")),
    indexes.LOW_BY_SKU: Walk(f"stock_levels WHERE {_LOW}", ("sku", "location_id")),
    indexes.LOW_BY_LOCATION: Walk(f"stock_levels WHERE {_LOW}", ("location_id", "sku")),
    indexes.BACKORDERED_BY_SKU: Walk("stock_levels WHERE backordered > 0", ("sku", "location_id")),
    indexes.BACKORDERED_BY_LOCATION: Walk("stock_levels WHERE backordered > 0", ("location_id", "sku")),
    indexes.LOTS_BY_EXPIRY: Walk(_LOTS, (_EXPIRY, "sku", "location_id", "lot_id")),
    indexes.LOTS_BY_SKU: Walk(_LOTS, ("sku", _EXPIRY, "location_id", "lot_id")),
    indexes.LOTS_BY_LOCATION: Walk(_LOTS, ("location_id", _EXPIRY, "sku", "lot_id")),
    indexes.ITEMS_BY_SKU: Walk("items", ("sku",)),
    indexes.ITEMS_BY_NAME: Walk("items", (f"left(name, {indexes.NAME_CHARACTERS})", "sku")),
    indexes.ITEMS_BY_CATEGORY: _each("items", "category_paths(categories)", "sku"),
    indexes.ITEMS_BY_TAG: _each("items", "tags", "sku"),
    indexes.ITEMS_BY_BARCODE: _each("items", "barcodes", "sku"),
    indexes.ITEMS_BY_PARENT: Walk("items WHERE parent_sku <> ''", ("parent_sku", "sku")),
    indexes.ARCHIVED_ITEMS: Walk("items WHERE state = 'ARCHIVED'", ("sku",)),
    indexes.RESERVATIONS_BY_ID: Walk("reservations", ("reservation_id",)),
    indexes.RESERVATIONS_BY_REFERENCE: Walk("reservations", ("reference", "reservation_id")),
    indexes.RESERVATIONS_BY_SKU: _each("reservations", "(skus || '{}')", "reservation_id"),
    indexes.PENDING_RESERVATIONS: Walk("reservations WHERE state = 'PENDING'", ("reservation_id",)),
    indexes.ORDERS_BY_ID: Walk("orders", ("order_id",)),
    indexes.ORDERS_BY_REFERENCE: Walk("orders", ("reference", "order_id")),
    indexes.ORDERS_BY_SKU: _each("orders", "(line_skus || skus)", "order_id"),
    indexes.OPEN_ORDERS: Walk("orders WHERE state = 'OPEN'", ("order_id",)),
    indexes.TRANSFERS_BY_ID: Walk("transfers", ("transfer_id",)),
    indexes.TRANSFERS_BY_REFERENCE: Walk("transfers", ("reference", "transfer_id")),
    indexes.TRANSFERS_BY_SKU: _each("transfers", "skus", "transfer_id"),
    indexes.TRANSFERS_BY_SOURCE: Walk(
        "transfers WHERE source_location_id <> ''", ("source_location_id", "transfer_id")
    ),
    indexes.TRANSFERS_BY_DESTINATION: Walk("transfers", ("destination_location_id", "transfer_id")),
    indexes.TRANSFERS_IN_TRANSIT: Walk(_TRAVELLING, ("transfer_id",)),
    indexes.ARRIVING_TRANSFERS: Walk(_TRAVELLING, ("destination_location_id", "transfer_id")),
}


class Statement(NamedTuple):
    """A query and its parameters. Each of its rows is a tail, part by part."""

    text: str
    parameters: list[object]


def statement(span: Span, *, after: str | None, count: int, descending: bool) -> Statement:
    """Return the query for the next `count` tails of a span after a tail, or from its beginning."""
    walk = WALKS[span.index]
    *named, _ = span.prefix.split("\0")
    entries, rest = walk.entries, walk.parts[len(named) :]
    conditions = [f"({_ordered(part)}) = %s" for part in walk.parts[: len(named)]]
    if named and walk.array:
        entries, conditions = walk.table, [f"{walk.array} @> ARRAY[%s]"]
    parameters: list[object] = list(named)
    bounds = [(">=", span.low), ("<", span.high), ("<" if descending else ">", after)]
    for comparison, tail in bounds:
        if tail:
            conditions.append(f"({', '.join(map(_ordered, rest))}) {comparison} ({_marks(rest)})")
            parameters += _values(rest, tail)
    direction = "DESC" if descending else "ASC"
    # By a name of their own, so that what is ordered by is the column and not the text that is shown.
    tail_parts = ", ".join(f"({part})::text AS part_{number}" for number, part in enumerate(rest))
    text = f"SELECT {tail_parts} FROM {entries}"  # noqa: S608 - made of the constants above
    if conditions:
        text += f" {'AND' if ' WHERE ' in entries else 'WHERE'} {' AND '.join(conditions)}"
    text += f" ORDER BY {', '.join(f'{_ordered(part)} {direction}' for part in rest)} LIMIT %s"
    return Statement(text, [*parameters, count])


def _ordered(part: str) -> str:
    """Return the expression of a part, ordered by its bytes."""
    return part if part in IDS else f'{part} COLLATE "C"'


def _marks(parts: Sequence[str]) -> str:
    return ", ".join("%s::uuid" if part in IDS else "%s" for part in parts)


def _values(parts: Sequence[str], tail: str) -> list[str]:
    """Return a value for each part: what the tail says of it, and no more than any other can be."""
    given = tail.split("\0", len(parts) - 1)
    given += [""] * (len(parts) - len(given))
    return [
        _id(value) if part in IDS else value.replace("\0", "")
        for part, value in zip(parts, given, strict=True)
    ]


def _id(beginning: str) -> str:
    """Return the least id that begins so; of what begins no id, as much counts as does."""
    length = 0
    for one, zero in zip(beginning, ZERO_ID, strict=False):
        if (one == "-") != (zero == "-") or one not in "-0123456789abcdef":
            break
        length += 1
    return beginning[:length] + ZERO_ID[length:]
