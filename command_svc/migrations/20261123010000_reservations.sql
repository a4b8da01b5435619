-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- Promises. One row tells all: the lines are parallel arrays, one element for each lot of each level (the
-- lot's id is empty where lots are not kept), and which they are never changes.
CREATE TABLE reservations (
    reservation_id uuid PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('PENDING', 'CONFIRMED', 'CANCELLED', 'EXPIRED')),
    skus text [] NOT NULL,
    location_ids text [] NOT NULL,
    lot_ids text [] NOT NULL,
    quantities bigint [] NOT NULL,
    confirmed bigint [] NOT NULL,
    released bigint [] NOT NULL,
    expire_time timestamptz NOT NULL,
    channel text NOT NULL,
    reference text NOT NULL,
    actor text NOT NULL,
    version bigint NOT NULL CHECK (version >= 1),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    CONSTRAINT lines_are_parallel CHECK (
        cardinality(skus) >= 1
        AND cardinality(location_ids) = cardinality(skus)
        AND cardinality(lot_ids) = cardinality(skus)
        AND cardinality(quantities) = cardinality(skus)
        AND cardinality(confirmed) = cardinality(skus)
        AND cardinality(released) = cardinality(skus)
    )
) WITH (fillfactor = 80);

-- What is overdue: few rows at any time, for the sweeper takes them away.
CREATE INDEX reservations_pending ON reservations (expire_time) WHERE state = 'PENDING';

GRANT SELECT, INSERT, UPDATE ON reservations TO inventory_command;
GRANT SELECT ON reservations TO inventory_query;

-- migrate:down

-- squawk-ignore ban-drop-table
DROP TABLE reservations;
