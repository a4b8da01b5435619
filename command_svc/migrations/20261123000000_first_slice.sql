-- migrate:up

-- A migration that would hold up the service gives up instead, and is tried again later.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- Catalogue --------------------------------------------------------------------------------------

CREATE TABLE items (
    sku text PRIMARY KEY,
    name text NOT NULL,
    description text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('PHYSICAL', 'DIGITAL')),
    unit_of_measure text NOT NULL,
    categories text [] NOT NULL,
    tags text [] NOT NULL,
    barcodes text [] NOT NULL,
    metadata jsonb NOT NULL,
    state text NOT NULL CHECK (state IN ('ACTIVE', 'ARCHIVED')),
    version bigint NOT NULL CHECK (version >= 1),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL
);

CREATE TABLE locations (
    location_id text PRIMARY KEY,
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('WAREHOUSE', 'STORE', 'DARK_STORE', 'PARTNER')),
    region_code text NOT NULL,
    postal_code text NOT NULL,
    locality text NOT NULL,
    address_lines text [] NOT NULL,
    latitude double precision CHECK (latitude BETWEEN -90 AND 90),
    longitude double precision CHECK (longitude BETWEEN -180 AND 180),
    time_zone text NOT NULL,
    priority bigint NOT NULL CHECK (priority >= 0),
    ships_online_orders boolean NOT NULL,
    state text NOT NULL CHECK (state IN ('ACTIVE', 'INACTIVE')),
    version bigint NOT NULL CHECK (version >= 1),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    CHECK ((latitude IS NULL) = (longitude IS NULL))
);

-- Levels -----------------------------------------------------------------------------------------

-- One row for each item at each location that has ever held it. The CHECKs hold the promises of the
-- arithmetic even against a faulty writer.
CREATE TABLE stock_levels (
    sku text NOT NULL REFERENCES items,
    location_id text NOT NULL REFERENCES locations,
    on_hand bigint NOT NULL DEFAULT 0,
    reserved bigint NOT NULL DEFAULT 0,
    backordered bigint NOT NULL DEFAULT 0,
    in_transit bigint NOT NULL DEFAULT 0,
    safety_stock bigint NOT NULL DEFAULT 0,
    reorder_point bigint NOT NULL DEFAULT 0,
    backorder_limit bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL CHECK (version >= 1),
    update_time timestamptz NOT NULL,
    PRIMARY KEY (sku, location_id),
    CONSTRAINT on_hand_range CHECK (on_hand BETWEEN 0 AND 1000000000000000),
    CONSTRAINT reserved_within_on_hand CHECK (reserved BETWEEN 0 AND on_hand),
    CONSTRAINT backordered_within_limit CHECK (backordered BETWEEN 0 AND backorder_limit),
    CONSTRAINT in_transit_not_negative CHECK (in_transit >= 0),
    CONSTRAINT policy_not_negative CHECK (
        safety_stock >= 0 AND reorder_point >= 0 AND backorder_limit >= 0
    )
) WITH (fillfactor = 70); -- room for updates in place: no index entry changes when a level does

-- The ledger: every change of every level, immutable, partitioned by month of recording. Nobody but
-- the owner may change or delete an entry.
CREATE TABLE stock_movements (
    sku text NOT NULL,
    location_id text NOT NULL,
    version bigint NOT NULL CHECK (version >= 1),
    kind text NOT NULL,
    reason text NOT NULL,
    on_hand_delta bigint NOT NULL,
    reserved_delta bigint NOT NULL,
    backordered_delta bigint NOT NULL,
    in_transit_delta bigint NOT NULL,
    on_hand bigint NOT NULL,
    reserved bigint NOT NULL,
    backordered bigint NOT NULL,
    in_transit bigint NOT NULL,
    actor text NOT NULL,
    reference text NOT NULL,
    request_id text NOT NULL,
    transaction_id uuid NOT NULL,
    occur_time timestamptz NOT NULL,
    record_time timestamptz NOT NULL,
    PRIMARY KEY (sku, location_id, version, record_time)
) PARTITION BY RANGE (record_time);

-- History of an item over all its locations, in the order of recording.
CREATE INDEX stock_movements_by_time ON stock_movements (sku, record_time, location_id, version);

-- Requests and journal ---------------------------------------------------------------------------

-- What has been answered: committed with the change, so a repeat finds it exactly if the change is
-- there. Partitioned by day of recording, kept 7 days.
CREATE TABLE requests (
    request_id text NOT NULL,
    fingerprint bytea NOT NULL,
    response bytea NOT NULL,
    transaction_id uuid NOT NULL,
    create_time timestamptz NOT NULL,
    create_day date NOT NULL,
    PRIMARY KEY (request_id, create_day)
) PARTITION BY RANGE (create_day);

-- One row (or a few numbered parts) a transaction, carried to the journal topic in commit order.
-- Partitioned by day, kept 7 days, so that a lost topic can be fed again.
CREATE TABLE journal (
    id uuid NOT NULL,
    part bigint NOT NULL,
    part_count bigint NOT NULL,
    payload bytea NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (id, part, create_time)
) PARTITION BY RANGE (create_time);

-- Moved by the connector, so that an idle database does not pin its WAL.
CREATE TABLE cdc_heartbeat (
    id bigint PRIMARY KEY CHECK (id = 1),
    beat_time timestamptz NOT NULL
);
INSERT INTO cdc_heartbeat VALUES (1, now());

-- Partitions -------------------------------------------------------------------------------------

-- Make the partitions of today and a while ahead: 7 days of the daily tables, 3 months of the ledger;
-- those that exist are left alone. Runs as the owner, so that the service may make partitions without
-- owning the tables. Returns how many were made.
CREATE FUNCTION create_partitions() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    made integer := 0;
    parent text;
    unit text;
    ahead integer;
    step interval;
    lower_bound timestamp;
    child text;
BEGIN
    -- One maker at a time.
    PERFORM pg_advisory_xact_lock(hashtext('create_partitions'));
    FOR parent, unit, ahead IN
        VALUES ('stock_movements', 'month', 3), ('requests', 'day', 7), ('journal', 'day', 7)
    LOOP
        step := ('1 ' || unit)::interval;
        lower_bound := date_trunc(unit, now() AT TIME ZONE 'UTC');
        FOR place IN 0..ahead LOOP
            child := parent || to_char(lower_bound, CASE unit WHEN 'month' THEN '_YYYYMM' ELSE '_YYYYMMDD' END);
            IF to_regclass(child) IS NULL THEN
                EXECUTE format(
                    'CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                    child, parent, lower_bound || '+00', (lower_bound + step) || '+00'
                );
                made := made + 1;
            END IF;
            lower_bound := lower_bound + step;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;
SELECT create_partitions();

-- Change data capture ----------------------------------------------------------------------------

CREATE PUBLICATION inventory FOR TABLE journal, items, locations, cdc_heartbeat
WITH (publish_via_partition_root = true);

-- Rights -----------------------------------------------------------------------------------------

REVOKE ALL ON FUNCTION create_partitions() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION create_partitions() TO inventory_command;
GRANT SELECT, INSERT, UPDATE ON items, locations, stock_levels TO inventory_command;
GRANT SELECT, INSERT ON stock_movements, requests, journal TO inventory_command;
GRANT SELECT ON items, locations, stock_levels, stock_movements, journal TO inventory_query;
GRANT SELECT ON items, locations, journal TO inventory_cdc;
GRANT SELECT, UPDATE ON cdc_heartbeat TO inventory_cdc;

-- migrate:down

DROP PUBLICATION inventory;
-- squawk-ignore ban-drop-table
DROP TABLE cdc_heartbeat, journal, requests, stock_movements, stock_levels, locations, items;
-- squawk-ignore ban-drop-function
DROP FUNCTION create_partitions();
