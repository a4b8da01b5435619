"""The statements that lock and read. Each takes arrays, so that a batch costs as many as one command.

Parameters travel in binary (`%b`): psycopg writes an element of an array in 0.4 µs that way, against 2 µs
for text, 6 µs for a time and 240 µs for bytes in its text format.
"""

# ruff: noqa: S608 - what is put together here are names of our own

SET_TIMEOUT = "SELECT set_config('statement_timeout', %b::text, true)"

_LEVEL = """l.sku, l.location_id, l.on_hand, l.reserved, l.backordered, l.in_transit,
       l.safety_stock, l.reorder_point, l.backorder_limit, l.version, l.update_time, l.lot_tracked"""

# What bundles are made of. An array, made once: joined or in an OR, it would have whole tables read.
_COMPONENTS = "ARRAY(SELECT unnest(i.component_skus) FROM items AS i WHERE i.sku = ANY(%b::text[]))"

# Locks in the order of the keys, whatever order they are given in: two transactions that share levels
# wait for each other and never deadlock.
LOCK_LEVELS = f"""
SELECT {_LEVEL}
FROM unnest(%b::text[], %b::text[]) AS k (sku, location_id)
JOIN stock_levels AS l USING (sku, location_id)
ORDER BY l.sku COLLATE "C", l.location_id COLLATE "C"
FOR UPDATE OF l
"""

# Of expired reservations, so many are freed by who needs their units; the sweeper leaves few.
MOST_OVERDUE = 100

# As above, for commands that touch promises and transfers or may find expired holds in their way. Locks
# also every level of the reservations, orders and transfers named, of expired reservations that hold
# something of the items taken, of the items that may come from anywhere, and of the components of bundles.
# What a promise holds where never changes, nor what a bundle is made of, so it is known before the levels are
# locked. How many they are is beyond the planner, which would rather read the whole table: each of them is
# looked up by itself, in their order.
LOCK_SCOPE = f"""
WITH taken AS (
    SELECT %b::text[] || {_COMPONENTS} AS skus
), overdue AS (
    SELECT r.skus, r.location_ids FROM reservations AS r, taken AS t
    WHERE r.state = 'PENDING' AND r.expire_time <= statement_timestamp() AND r.skus && t.skus
    ORDER BY r.expire_time LIMIT {MOST_OVERDUE}
), wanted AS (
    SELECT k.sku, k.location_id FROM unnest(%b::text[], %b::text[]) AS k (sku, location_id)
    UNION
    SELECT s.sku, s.location_id FROM stock_levels AS s WHERE s.sku = ANY(%b::text[] || {_COMPONENTS})
    UNION
    SELECT c.sku, k.location_id
    FROM unnest(%b::text[], %b::text[]) AS k (sku, location_id)
    JOIN items AS i USING (sku), unnest(i.component_skus) AS c (sku)
    UNION
    SELECT h.sku, h.location_id FROM overdue, unnest(skus, location_ids) AS h (sku, location_id)
    UNION
    SELECT h.sku, h.location_id
    FROM reservations AS r, unnest(r.skus, r.location_ids) AS h (sku, location_id)
    WHERE r.reservation_id = ANY(%b::uuid[])
    UNION
    SELECT h.sku, h.location_id
    FROM orders AS o, unnest(o.skus, o.location_ids) AS h (sku, location_id)
    WHERE o.order_id = ANY(%b::uuid[])
    UNION
    SELECT h.sku, e.location_id
    FROM transfers AS t, unnest(t.skus) AS h (sku),
         unnest(ARRAY[t.source_location_id, t.destination_location_id]) AS e (location_id)
    WHERE t.transfer_id = ANY(%b::uuid[])
)
SELECT {_LEVEL}
FROM (SELECT * FROM wanted ORDER BY sku COLLATE "C", location_id COLLATE "C") AS w
CROSS JOIN LATERAL (
    SELECT * FROM stock_levels AS s WHERE s.sku = w.sku AND s.location_id = w.location_id FOR UPDATE
) AS l
"""

# Whoever changes a reservation has locked its levels first, so this never waits for another command.
# What is overdue is found by its index, for which the time must be one value, as clock_timestamp() is not.
READ_RESERVATIONS = f"""
SELECT reservation_id, state, skus, location_ids, lot_ids, quantities, confirmed, released, expire_time,
       channel, reference, actor, version, create_time, update_time
FROM reservations
WHERE reservation_id = ANY(%b::uuid[])
   OR (state = 'PENDING' AND expire_time <= statement_timestamp() AND skus && (%b::text[] || {_COMPONENTS}))
ORDER BY reservation_id
FOR UPDATE
"""

READ_OVERDUE = """
SELECT reservation_id FROM reservations
WHERE state = 'PENDING' AND expire_time <= statement_timestamp()
ORDER BY expire_time LIMIT %b::bigint
"""

_ORDER = """order_id, state, line_skus, line_quantities, skus, location_ids, lot_ids, quantities,
       backordered, shipped, cancelled, returned, channel, reference, actor, version, create_time,
       update_time"""

READ_ORDERS = f"SELECT {_ORDER} FROM orders WHERE order_id = ANY(%b::uuid[]) ORDER BY order_id FOR UPDATE"

# Those that wait at levels, the oldest so many of them. Two transactions may want the same order for
# different levels: both lock in the order of the ids.
READ_WAITING_ORDERS = f"""
SELECT {_ORDER} FROM orders
WHERE order_id IN (
    SELECT order_id FROM orders WHERE waiting && %b::text[] AND waiting <> '{{}}'
    ORDER BY create_time, order_id LIMIT 5000
)
ORDER BY order_id FOR UPDATE
"""

READ_TRANSFERS = """
SELECT transfer_id, state, source_location_id, supplier, destination_location_id, skus, lot_ids,
       quantities, received, written_off, returned, serials, expected_arrival_time, reference, actor, version,
       create_time, update_time
FROM transfers WHERE transfer_id = ANY(%b::uuid[]) ORDER BY transfer_id FOR UPDATE
"""

# Under the locks of their levels. Lots that hold nothing matter only when they are named, or when units of
# theirs may come from another of the levels.
READ_LOTS = """
SELECT sku, location_id, lot_id, expiry_date, on_hand, reserved, serials, version, create_time, update_time
FROM (
    SELECT l.*, max(l.on_hand) OVER (PARTITION BY l.sku, l.lot_id) AS most
    FROM unnest(%b::text[], %b::text[]) AS k (sku, location_id)
    JOIN lots AS l USING (sku, location_id)
) AS found
WHERE most > 0 OR lot_id = ANY(%b::text[])
"""

READ_SERIALS = """
SELECT s.sku, s.number, s.location_id, s.lot_id, s.present
FROM unnest(%b::text[], %b::text[]) AS k (sku, number)
JOIN serials AS s USING (sku, number)
ORDER BY s.sku COLLATE "C", s.number COLLATE "C"
FOR UPDATE OF s
"""

# The locations that may serve items, or components of them, from anywhere.
READ_SITES = f"""
SELECT location_id, priority, latitude, longitude FROM locations
WHERE ships_online_orders AND state = 'ACTIVE' AND location_id = ANY(%b::text[] || ARRAY(
    SELECT s.location_id FROM stock_levels AS s WHERE s.sku = ANY(%b::text[] || {_COMPONENTS})
))
"""

# After the locks: a request with the same body touches the same levels, so an earlier one has either
# committed, and is seen here, or has not begun to be decided.
READ_REQUESTS = """
SELECT request_id, fingerprint, response FROM requests
WHERE request_id = ANY(%b::text[]) AND create_day BETWEEN %b::date - 7 AND %b::date + 1
"""

# After the locks, so that time never runs backwards along a level's versions, and what has been archived
# is seen: whoever archives an item has its levels locked.
READ_CLOCK = """
SELECT clock_timestamp(), uuidv7(), (SELECT id FROM installation),
       ARRAY(SELECT sku FROM items WHERE state = 'ARCHIVED' AND sku = ANY(%b::text[])),
       ARRAY(SELECT location_id FROM locations WHERE state = 'INACTIVE' AND location_id = ANY(%b::text[]))
"""

# What items are, and the components of bundles among them.
READ_FACTS = f"""
SELECT sku, kind, kind = 'PHYSICAL' OR licensed, lot_tracked, parent_sku, component_skus,
       component_quantities, state = 'ARCHIVED'
FROM items WHERE sku = ANY(%b::text[] || {_COMPONENTS})
"""

# As above, for levels that are to come into being: the item cannot be archived meanwhile.
READ_NEW_FACTS = READ_FACTS + "ORDER BY sku FOR SHARE"

READ_LOCATION_IDS = "SELECT location_id FROM locations WHERE location_id = ANY(%b::text[])"

# Whole rows, to be changed. They keep their keys, so levels may come into being that refer to them.
READ_ITEMS = """
SELECT sku, name, description, kind, unit_of_measure, categories, tags, barcodes, metadata, state, version,
       create_time, update_time, kind = 'PHYSICAL' OR licensed, lot_tracked, parent_sku, option_values,
       length_mm, width_mm, height_mm, weight_grams, component_skus, component_quantities
FROM items WHERE sku = ANY(%b::text[]) ORDER BY sku FOR NO KEY UPDATE
"""

READ_LOCATIONS = """
SELECT location_id, name, kind, region_code, postal_code, locality, address_lines, latitude, longitude,
       time_zone, priority, ships_online_orders, state, version, create_time, update_time
FROM locations WHERE location_id = ANY(%b::text[]) ORDER BY location_id FOR NO KEY UPDATE
"""

READ_LEVEL_KEYS = "SELECT sku, location_id FROM stock_levels WHERE sku = ANY(%b::text[])"
