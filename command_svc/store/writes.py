"""The statements that write. Each takes arrays, in binary (see statements.py), one element for each row.

An array of arrays would have to be a rectangle: a row's own arrays travel as their text.
"""

# ruff: noqa: S608 - what is put together here are names of our own


def _unnest(columns: str) -> str:
    """Return `unnest` of one array for each column, as rows named n, of "name type" pairs."""
    names, types = zip(*(column.split() for column in columns.split(",")), strict=True)
    arrays = ", ".join(f"%b::{'text' if kind.endswith('[]') else kind}[]" for kind in types)
    return f"unnest({arrays}) AS n ({', '.join(names)})"


def _select(columns: str) -> str:
    """Return the columns of n, those that travelled as text in their own type again."""
    pairs = (column.split() for column in columns.split(","))
    return ", ".join(f"n.{name}::{kind}" if kind.endswith("[]") else f"n.{name}" for name, kind in pairs)


def _insert(table: str, columns: str) -> str:
    names = ", ".join(column.split()[0] for column in columns.split(","))
    return f"INSERT INTO {table} ({names}) SELECT {_select(columns)} FROM {_unnest(columns)}"


def _update(table: str, keys: str, columns: str) -> str:
    pairs = [column.split() for column in columns.split(",")]
    changes = ", ".join(
        f"{name} = n.{name}::{kind}" if kind.endswith("[]") else f"{name} = n.{name}" for name, kind in pairs
    )
    same = " AND ".join(f"t.{key.split()[0]} = n.{key.split()[0]}" for key in keys.split(","))
    return f"UPDATE {table} AS t SET {changes} FROM {_unnest(f'{keys}, {columns}')} WHERE {same}"


_LEVEL_KEY = "sku text, location_id text"
_LEVEL = """on_hand bigint, reserved bigint, backordered bigint, in_transit bigint, safety_stock bigint,
    reorder_point bigint, backorder_limit bigint, version bigint, update_time timestamptz"""

INSERT_LEVELS = _insert("stock_levels", f"{_LEVEL_KEY}, {_LEVEL}, lot_tracked boolean")
UPDATE_LEVELS = _update("stock_levels", _LEVEL_KEY, _LEVEL)

INSERT_MOVEMENTS = """
INSERT INTO stock_movements
    (sku, location_id, version, kind, reason, on_hand_delta, reserved_delta, backordered_delta,
     in_transit_delta, on_hand, reserved, backordered, in_transit, actor, reference, request_id, lot_id,
     supplier, occur_time, transaction_id, record_time)
SELECT n.*, t.id, t.record_time
FROM unnest(%b::text[], %b::text[], %b::bigint[], %b::text[], %b::text[], %b::bigint[], %b::bigint[],
            %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[],
            %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::timestamptz[]) AS n,
     (VALUES (%b::uuid, %b::timestamptz)) AS t (id, record_time)
"""

_LOT_KEY = "sku text, location_id text, lot_id text"
_LOT = """expiry_date date, on_hand bigint, reserved bigint, serials bigint, version bigint,
    create_time timestamptz, update_time timestamptz"""
INSERT_LOTS = _insert("lots", f"{_LOT_KEY}, {_LOT}")
UPDATE_LOTS = _update("lots", _LOT_KEY, _LOT)

# A number may be new at two places at once, under different locks: the second of them meets the first here.
_SERIAL = "location_id text, lot_id text, present boolean"
INSERT_SERIALS = _insert("serials", f"sku text, number text, {_SERIAL}")
UPDATE_SERIALS = _update("serials", "sku text, number text", _SERIAL)

_RESERVATION = """state text, skus text[], location_ids text[], lot_ids text[], quantities bigint[],
    confirmed bigint[], released bigint[], expire_time timestamptz, channel text, reference text, actor text,
    version bigint, create_time timestamptz, update_time timestamptz"""
INSERT_RESERVATIONS = _insert("reservations", f"reservation_id uuid, {_RESERVATION}")
UPDATE_RESERVATIONS = _update("reservations", "reservation_id uuid", _RESERVATION)

_ORDER = """state text, line_skus text[], line_quantities bigint[], skus text[], location_ids text[],
    lot_ids text[], quantities bigint[], backordered bigint[], shipped bigint[], cancelled bigint[],
    returned bigint[], waiting text[], channel text, reference text, actor text, version bigint,
    create_time timestamptz, update_time timestamptz"""
INSERT_ORDERS = _insert("orders", f"order_id uuid, {_ORDER}")
UPDATE_ORDERS = _update("orders", "order_id uuid", _ORDER)

_TRANSFER = """state text, source_location_id text, supplier text, destination_location_id text,
    skus text[], lot_ids text[], quantities bigint[], received bigint[], written_off bigint[],
    returned bigint[], serials jsonb, expected_arrival_time timestamptz, reference text, actor text,
    version bigint, create_time timestamptz, update_time timestamptz"""
INSERT_TRANSFERS = _insert("transfers", f"transfer_id uuid, {_TRANSFER}")
UPDATE_TRANSFERS = _update("transfers", "transfer_id uuid", _TRANSFER)

INSERT_REQUESTS = """
INSERT INTO requests (request_id, fingerprint, response, transaction_id, create_time, create_day)
SELECT n.*, t.id, t.record_time, t.record_day
FROM unnest(%b::text[], %b::bytea[], %b::bytea[]) AS n,
     (VALUES (%b::uuid, %b::timestamptz, %b::date)) AS t (id, record_time, record_day)
"""

# What all entries of a transaction have in common travels once.
INSERT_AUDIT = """
INSERT INTO audit_log
    (request_id, actor, method, proof, source, trace_id, skus, location_ids, verdict, transaction_id,
     record_time, day)
SELECT n.request_id, n.actor, n.method, n.proof, n.source, n.trace_id, n.skus::text[],
       n.location_ids::text[], 'OK', t.id, t.record_time, t.record_day
FROM unnest(%b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[])
         AS n (request_id, actor, method, proof, source, trace_id, skus, location_ids),
     (VALUES (%b::uuid, %b::timestamptz, %b::date)) AS t (id, record_time, record_day)
"""

INSERT_JOURNAL = """
INSERT INTO journal (id, part, part_count, payload, create_time)
SELECT %b::uuid, n.part, %b::bigint, n.payload, %b::timestamptz
FROM unnest(%b::bigint[], %b::bytea[]) AS n (part, payload)
"""

# Catalogue rows are rare and wide: they travel as one JSON array.
_ITEM = """sku text, name text, description text, kind text, unit_of_measure text, categories text[],
    tags text[], barcodes text[], metadata jsonb, state text, version bigint, create_time timestamptz,
    update_time timestamptz, licensed boolean, lot_tracked boolean, parent_sku text, option_values jsonb,
    length_mm bigint, width_mm bigint, height_mm bigint, weight_grams bigint, component_skus text[],
    component_quantities bigint[]"""
_LOCATION = """location_id text, name text, kind text, region_code text, postal_code text, locality text,
    address_lines text[], latitude double_precision, longitude double_precision, time_zone text,
    priority bigint, ships_online_orders boolean, state text, version bigint, create_time timestamptz,
    update_time timestamptz"""


def _catalogue(table: str, columns: str) -> tuple[str, str]:
    """Return the statements that insert and update whole rows, each of one JSON array."""
    names = [column.split()[0] for column in columns.split(",")]
    rows = f"jsonb_to_recordset(%b::jsonb) AS n ({columns.replace('_precision', ' precision')})"
    inserted = f"INSERT INTO {table} ({', '.join(names)}) SELECT n.* FROM {rows} ORDER BY n.{names[0]}"
    changes = ", ".join(f"{name} = n.{name}" for name in names[1:])
    updated = f"UPDATE {table} AS t SET {changes} FROM {rows} WHERE t.{names[0]} = n.{names[0]}"
    return inserted, updated


INSERT_ITEMS, UPDATE_ITEMS = _catalogue("items", _ITEM)
INSERT_LOCATIONS, UPDATE_LOCATIONS = _catalogue("locations", _LOCATION)
