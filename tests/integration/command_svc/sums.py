"""What must add up in the tables, each rule with the query of what does not."""

from __future__ import annotations

# Each returns what does not add up.
SUMS = {
    "the ledger sums up to the level, and its last entry says so": """
        SELECT sku, location_id FROM stock_levels AS l
        JOIN (
            SELECT sku, location_id, sum(on_hand_delta) AS on_hand, sum(reserved_delta) AS reserved,
                   sum(backordered_delta) AS backordered, sum(in_transit_delta) AS in_transit,
                   count(*) AS entries, max(version) AS version
            FROM stock_movements GROUP BY sku, location_id
        ) AS m USING (sku, location_id)
        WHERE (l.on_hand, l.reserved, l.backordered, l.in_transit, l.version, l.version)
           <> (m.on_hand, m.reserved, m.backordered, m.in_transit, m.version, m.entries)
    """,
    "each entry follows from the one before it": """
        SELECT sku, location_id, version FROM (
            SELECT *, lag(on_hand, 1, 0::bigint) OVER w + on_hand_delta AS a,
                   lag(reserved, 1, 0::bigint) OVER w + reserved_delta AS b,
                   lag(backordered, 1, 0::bigint) OVER w + backordered_delta AS c,
                   lag(in_transit, 1, 0::bigint) OVER w + in_transit_delta AS d
            FROM stock_movements WINDOW w AS (PARTITION BY sku, location_id ORDER BY version)
        ) AS m
        WHERE (on_hand, reserved, backordered, in_transit) <> (a, b, c, d)
    """,
    "the lots sum up to the level": """
        SELECT sku, location_id FROM stock_levels AS l
        LEFT JOIN (
            SELECT sku, location_id, sum(on_hand) AS on_hand, sum(reserved) AS reserved
            FROM lots GROUP BY sku, location_id
        ) AS s USING (sku, location_id)
        WHERE l.lot_tracked
          AND (l.on_hand, l.reserved) <> (coalesce(s.on_hand, 0), coalesce(s.reserved, 0))
           OR NOT l.lot_tracked AND s.on_hand IS NOT NULL
    """,
    "the ledger sums up to the lot": """
        SELECT sku, location_id, lot_id FROM lots AS l
        FULL JOIN (
            SELECT sku, location_id, lot_id, sum(on_hand_delta) AS on_hand, sum(reserved_delta) AS reserved
            FROM stock_movements WHERE lot_id <> '' GROUP BY sku, location_id, lot_id
        ) AS m USING (sku, location_id, lot_id)
        WHERE (l.on_hand, l.reserved) IS DISTINCT FROM (m.on_hand, m.reserved)
    """,
    "the serials that are present are those that the lot counts": """
        SELECT sku, location_id, lot_id FROM lots AS l
        LEFT JOIN (
            SELECT sku, location_id, lot_id, count(*) AS present
            FROM serials WHERE present GROUP BY sku, location_id, lot_id
        ) AS s USING (sku, location_id, lot_id)
        WHERE l.serials <> coalesce(s.present, 0)
    """,
    "promises sum up to what is reserved and backordered, of each lot": """
        WITH promised AS (
            SELECT p.sku, p.location_id, p.lot_id, p.quantity - p.confirmed - p.released AS reserved,
                   0 AS backordered
            FROM reservations AS r, unnest(
                r.skus, r.location_ids, r.lot_ids, r.quantities, r.confirmed, r.released
            )
                AS p (sku, location_id, lot_id, quantity, confirmed, released)
            UNION ALL
            SELECT p.sku, p.location_id, p.lot_id, p.quantity - p.backordered - p.shipped - p.cancelled,
                   p.backordered
            FROM orders AS o, unnest(
                o.skus, o.location_ids, o.lot_ids, o.quantities, o.backordered, o.shipped, o.cancelled
            ) AS p (sku, location_id, lot_id, quantity, backordered, shipped, cancelled)
        ), kept AS (
            SELECT sku, location_id, '' AS lot_id, reserved, backordered
            FROM stock_levels WHERE NOT lot_tracked
            UNION ALL
            SELECT sku, location_id, '', 0, backordered FROM stock_levels WHERE lot_tracked
            UNION ALL
            SELECT sku, location_id, lot_id, reserved, 0 FROM lots
        )
        SELECT sku, location_id, lot_id FROM kept
        FULL JOIN (
            SELECT sku, location_id, lot_id, sum(reserved) AS reserved, sum(backordered) AS backordered
            FROM promised GROUP BY sku, location_id, lot_id
        ) AS p USING (sku, location_id, lot_id)
        WHERE (coalesce(kept.reserved, 0), coalesce(kept.backordered, 0))
           <> (coalesce(p.reserved, 0), coalesce(p.backordered, 0))
    """,
    "who waits is found by the level": """
        SELECT sku, location_id FROM (
            SELECT h.sku, h.location_id, h.backordered > 0 AS waits,
                   h.sku || ' ' || h.location_id = ANY(o.waiting) AS found
            FROM orders AS o, unnest(o.skus, o.location_ids, o.backordered)
                AS h (sku, location_id, backordered)
        ) AS w GROUP BY sku, location_id HAVING bool_or(waits) <> bool_or(found)
    """,
    "transfers sum up to what is in transit": """
        SELECT sku, location_id FROM stock_levels AS l
        FULL JOIN (
            SELECT h.sku, t.destination_location_id AS location_id,
                   sum(h.quantity - h.received - h.written_off - h.returned) AS under_way
            FROM transfers AS t, unnest(t.skus, t.quantities, t.received, t.written_off, t.returned)
                AS h (sku, quantity, received, written_off, returned)
            GROUP BY h.sku, t.destination_location_id
        ) AS t USING (sku, location_id)
        WHERE coalesce(l.in_transit, 0) <> coalesce(t.under_way, 0)
    """,
}
