-- Rows in every table that the read model shows, whose books agree: 2,400 levels, each with one entry in
-- the ledger, those of S-1 in lots; what is promised, backordered and on the way is there.
INSERT INTO locations (location_id, name, kind, region_code, postal_code, locality, address_lines, time_zone,
    priority, ships_online_orders, state, version, create_time, update_time)
SELECT 'W-' || n, 'Place ' || n, 'STORE', '', '', '', '{}', 'UTC', n, true, 'ACTIVE', 1, now(), now()
FROM generate_series(1, 40) AS n;

INSERT INTO items (sku, name, description, kind, unit_of_measure, categories, tags, barcodes, metadata, state,
    version, create_time, update_time, lot_tracked, option_values, length_mm, width_mm, height_mm)
SELECT 'S-' || n, 'Item ' || n, '', 'PHYSICAL', 'each', '{home/mugs,sale}', '{blue}', '{}',
    '{"a": "1", "b": "2"}', 'ACTIVE', 1, now(), now(), n = 1, '{"size": "L"}', 10, 20, 30
FROM generate_series(1, 60) AS n;

INSERT INTO stock_levels (sku, location_id, on_hand, reserved, backordered, backorder_limit, in_transit,
    reorder_point, version, update_time, lot_tracked)
SELECT 'S-' || i, 'W-' || w, 1000,
    CASE WHEN (i, w) = (2, 1) THEN 100 WHEN (i, w) IN ((3, 2), (1, 1)) THEN 50 ELSE 0 END,
    CASE WHEN (i, w) = (1, 1) THEN 50 ELSE 0 END, 99,
    CASE WHEN (i, w) = (1, 2) THEN 150 WHEN (i, w) = (2, 2) THEN 250 ELSE 0 END,
    w % 3 * 1000, 1, now(), i = 1
FROM generate_series(1, 60) AS i, generate_series(1, 40) AS w;

INSERT INTO stock_movements (sku, location_id, version, kind, reason, on_hand_delta, reserved_delta,
    backordered_delta, in_transit_delta, on_hand, reserved, backordered, in_transit, actor, reference,
    request_id, transaction_id, occur_time, record_time)
SELECT sku, location_id, 1, 'ADJUST', 'COUNT', on_hand, reserved, backordered, in_transit, on_hand, reserved,
    backordered, in_transit, 'test', '', '', gen_random_uuid(), now(), now()
FROM stock_levels;

INSERT INTO lots (sku, location_id, lot_id, expiry_date, on_hand, reserved, serials, version, create_time,
    update_time)
SELECT 'S-1', 'W-' || w, 'L-' || l, CASE l WHEN 1 THEN date '2027-02-03' END, 500,
    CASE WHEN (w, l) = (1, 1) THEN 50 ELSE 0 END, CASE WHEN (w, l) = (1, 1) THEN 2 ELSE 0 END, 1, now(), now()
FROM generate_series(1, 40) AS w, generate_series(1, 2) AS l;

INSERT INTO serials (sku, number, location_id, lot_id, present)
VALUES ('S-1', 'N-1', 'W-1', 'L-1', true), ('S-1', 'N-2', 'W-1', 'L-1', true), ('S-1', 'N-3', 'W-1', 'L-1', false);

INSERT INTO reservations (reservation_id, state, skus, location_ids, lot_ids, quantities, confirmed, released,
    expire_time, channel, reference, actor, version, create_time, update_time)
SELECT gen_random_uuid(), CASE WHEN n > 50 THEN 'CANCELLED' ELSE 'PENDING' END, '{S-2,S-3}', '{W-1,W-2}',
    '{"",""}', '{2,2}', '{0,1}', CASE WHEN n > 50 THEN '{2,1}' ELSE '{0,0}' END::bigint [], now(), 'web', 'R',
    'shop', 2, now(), now()
FROM generate_series(1, 60) AS n;

INSERT INTO orders (order_id, state, line_skus, line_quantities, skus, location_ids, lot_ids, quantities,
    backordered, shipped, cancelled, returned, waiting, channel, reference, actor, version, create_time,
    update_time)
SELECT gen_random_uuid(), 'OPEN', '{S-1}', '{3}', '{S-1}', '{W-1}', '{L-1}', '{3}', '{1}', '{1}', '{0}', '{0}',
    '{S-1 W-1}', 'web', 'O', 'shop', 1, now(), now()
FROM generate_series(1, 50);

INSERT INTO transfers (transfer_id, state, source_location_id, supplier, destination_location_id, skus,
    lot_ids, quantities, received, written_off, returned, serials, expected_arrival_time, reference, actor,
    version, create_time, update_time)
SELECT gen_random_uuid(), 'IN_TRANSIT', CASE n % 2 WHEN 0 THEN 'W-1' ELSE '' END,
    CASE n % 2 WHEN 0 THEN '' ELSE 'ACME' END, 'W-2', '{S-1,S-2}', '{L-1,""}', '{4,5}', '{1,0}', '{0,0}',
    '{0,0}', '[["A","B"],[]]', CASE n % 2 WHEN 0 THEN now() END, 'T', 'shop', 3, now(), now()
FROM generate_series(1, 50) AS n;
