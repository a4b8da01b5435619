-- Enough rows of everything that lists ask for, most of them of no interest to any one list: 200,000 levels,
-- 20,000 lots, 20,000 items, 50,000 reservations and orders, 20,000 transfers.
INSERT INTO locations (location_id, name, kind, region_code, postal_code, locality, address_lines, time_zone,
    priority, ships_online_orders, state, version, create_time, update_time)
SELECT 'W-' || n, 'Place ' || n, 'STORE', '', '', '', '{}', 'UTC', n, true, 'ACTIVE', 1, now(), now()
FROM generate_series(1, 100) AS n;

INSERT INTO items (sku, name, description, kind, unit_of_measure, categories, tags, barcodes, metadata, state,
    version, create_time, update_time, lot_tracked, parent_sku, option_values)
SELECT 'S-' || n, 'Item ' || n, '', 'PHYSICAL', 'each', ARRAY['home/room-' || n % 500], ARRAY['tag-' || n % 500],
    ARRAY['4' || n], '{}', CASE WHEN n % 1000 = 0 THEN 'ARCHIVED' ELSE 'ACTIVE' END, 1, now(), now(),
    n % 1000 = 1, CASE WHEN n % 20 = 0 THEN '' ELSE 'S-' || n / 20 * 20 END, '{}'
FROM generate_series(1, 20000) AS n;

INSERT INTO stock_levels (sku, location_id, on_hand, reorder_point, backordered, backorder_limit, version,
    update_time, lot_tracked)
SELECT 'S-' || i, 'W-' || (i * 7 + w * 10) % 100 + 1, 1000, CASE WHEN (i + w) % 200 = 0 THEN 1000 ELSE 0 END,
    CASE WHEN (i + w) % 500 = 0 THEN 1 ELSE 0 END, 9, 1, now(), i % 1000 = 1
FROM generate_series(1, 20000) AS i, generate_series(1, 10) AS w;

INSERT INTO lots (sku, location_id, lot_id, expiry_date, on_hand, reserved, serials, version, create_time,
    update_time)
SELECT sku, location_id, 'L-' || l, date '2027-01-01' + l, CASE WHEN l % 4 = 0 THEN 10 ELSE 0 END, 0, 0, 1, now(), now()
FROM stock_levels, generate_series(1, 100) AS l WHERE lot_tracked;

INSERT INTO reservations (reservation_id, state, skus, location_ids, lot_ids, quantities, confirmed, released,
    expire_time, channel, reference, actor, version, create_time, update_time)
SELECT lpad(to_hex(n), 32, '0')::uuid, CASE WHEN n % 1000 = 0 THEN 'PENDING' ELSE 'CANCELLED' END,
    ARRAY['S-' || n % 500], '{W-1}', '{""}', '{2}', '{0}',
    CASE WHEN n % 1000 = 0 THEN '{0}' ELSE '{2}' END::bigint [], now(), 'web', 'R-' || n, 'shop', 1, now(), now()
FROM generate_series(1, 50000) AS n;

INSERT INTO orders (order_id, state, line_skus, line_quantities, skus, location_ids, lot_ids, quantities,
    backordered, shipped, cancelled, returned, waiting, channel, reference, actor, version, create_time, update_time)
SELECT lpad(to_hex(n), 32, '0')::uuid, CASE WHEN n % 1000 = 0 THEN 'OPEN' ELSE 'FULFILLED' END,
    ARRAY['S-' || n % 500], '{3}', ARRAY['S-' || n % 500], '{W-1}', '{""}', '{3}', '{0}', '{0}', '{0}', '{0}', '{}',
    'web', 'O-' || n, 'shop', 1, now(), now()
FROM generate_series(1, 50000) AS n;

INSERT INTO transfers (transfer_id, state, source_location_id, supplier, destination_location_id, skus, lot_ids,
    quantities, received, written_off, returned, serials, reference, actor, version, create_time, update_time)
SELECT lpad(to_hex(n), 32, '0')::uuid, CASE WHEN n % 500 = 0 THEN 'IN_TRANSIT' ELSE 'RECEIVED' END,
    CASE n % 2 WHEN 0 THEN 'W-' || n % 100 + 1 ELSE '' END, CASE n % 2 WHEN 0 THEN '' ELSE 'ACME' END,
    'W-' || n % 99 + 1, ARRAY['S-' || n % 500], '{""}', '{4}', '{0}', '{0}', '{0}', '[[]]', 'T-' || n, 'shop', 1,
    now(), now()
FROM generate_series(1, 20000) AS n;
