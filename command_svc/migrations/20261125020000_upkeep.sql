-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- Jobs -------------------------------------------------------------------------------------------

-- When each job last succeeded. Who does a job holds its row locked meanwhile, so that of several
-- processes one at a time does it.
CREATE TABLE upkeep_jobs (
    job text PRIMARY KEY,
    success_time timestamptz NOT NULL
);
INSERT INTO upkeep_jobs (job, success_time) VALUES
('partitions', 'epoch'), ('marks', 'epoch'), ('expiry', 'epoch'), ('summary', now());

-- The partitions of all tables with the time that each holds.
CREATE FUNCTION list_partitions()
RETURNS TABLE (parent text, child text, lower_bound timestamptz, upper_bound timestamptz)
LANGUAGE sql STABLE SET search_path = public, pg_temp SET timezone = 'UTC'
AS $$
    SELECT p.relname::text, c.relname::text, bounds[1]::timestamptz, bounds[2]::timestamptz
    FROM pg_inherits AS i
    JOIN pg_class AS c ON c.oid = i.inhrelid
    JOIN pg_class AS p ON p.oid = i.inhparent
    CROSS JOIN regexp_match(pg_get_expr(c.relpartbound, c.oid), '\(''(.+)''\) TO \(''(.+)''\)') AS bounds
    WHERE p.relnamespace = 'public'::regnamespace AND p.relkind = 'p' AND c.relkind = 'r'
$$;

-- Expiry of requests and journal -----------------------------------------------------------------

-- Where the write-ahead log stood at a time: all that had been committed before `mark_time` stands
-- before `lsn`.
CREATE TABLE wal_marks (
    mark_time timestamptz PRIMARY KEY,
    lsn pg_lsn NOT NULL
);

-- Write down where the log stands now, and forget what nobody will ask for again: who comes back later
-- than that needs the newest mark alone.
CREATE FUNCTION mark_wal() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    INSERT INTO wal_marks (mark_time, lsn) VALUES (clock_timestamp(), pg_current_wal_insert_lsn());
    DELETE FROM wal_marks WHERE mark_time < now() - interval '30 days';
$$;

-- The time up to which the connector has confirmed every record; NULL without its slot. An hour is taken
-- off for transactions that had their time but not their commit when the mark was made: none lives so long.
CREATE FUNCTION confirmed_until() RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT max(m.mark_time) - interval '1 hour'
    FROM pg_replication_slots AS s
    JOIN wal_marks AS m ON m.lsn <= s.confirmed_flush_lsn
    WHERE s.slot_name = 'inventory' AND s.database = current_database()
        AND s.invalidation_reason IS NULL
$$;

-- Drop the oldest partition of requests or journal that is of no use any more: seven whole days and today
-- are kept, as the look-up of request ids expects, and whatever the connector has not confirmed. (A request
-- has no record of its own on the wire: its effects travel in the journal of the same day.) Returns its
-- name, or NULL if there is none. One at a time, since it locks the whole table until the end of the
-- transaction; it waits for that lock only so long, because every command waits behind it.
CREATE FUNCTION drop_expired_partition() RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '100ms'
AS $$
DECLARE
    expired text;
BEGIN
    SELECT child INTO expired FROM list_partitions()
    WHERE parent IN ('requests', 'journal')
        AND upper_bound <= date_trunc('day', now(), 'UTC') - interval '7 days'
        AND upper_bound <= confirmed_until()
    ORDER BY upper_bound, child LIMIT 1;
    IF expired IS NOT NULL THEN
        EXECUTE format('DROP TABLE %I', expired);
    END IF;
    RETURN expired;
END
$$;

-- Archive of the ledger --------------------------------------------------------------------------

-- Where the ledger begins for a level some of whose entries are archived: version and quantities as the
-- last of them left them. With the entries that are left, they sum up to the level.
CREATE TABLE ledger_openings (
    sku text NOT NULL,
    location_id text NOT NULL,
    version bigint NOT NULL CHECK (version >= 1),
    on_hand bigint NOT NULL,
    reserved bigint NOT NULL,
    backordered bigint NOT NULL,
    in_transit bigint NOT NULL,
    PRIMARY KEY (sku, location_id)
);

-- The months that are archived, and the files that hold them now.
CREATE TABLE ledger_archives (
    month date PRIMARY KEY,
    entries bigint NOT NULL,
    checksum numeric NOT NULL,
    file text NOT NULL,
    archive_time timestamptz NOT NULL
);

-- READY, or what stands against archiving a month of the ledger: ARCHIVED, MISSING (no such
-- partition), TOO_RECENT (ended less than `retention_months`, and 12 months at least, ago) or
-- EARLIER_MONTH_LEFT.
CREATE FUNCTION ledger_month_state(first_day date, retention_months integer) RETURNS text
LANGUAGE sql STABLE SET search_path = public, pg_temp SET timezone = 'UTC'
AS $$
    SELECT CASE
        WHEN EXISTS (SELECT FROM ledger_archives WHERE month = first_day) THEN 'ARCHIVED'
        WHEN first_day + make_interval(months => 1 + greatest(retention_months, 12)) > now() THEN 'TOO_RECENT'
        WHEN NOT EXISTS (
            SELECT FROM list_partitions() WHERE parent = 'stock_movements'
                AND lower_bound = first_day AND upper_bound = first_day + interval '1 month'
        ) THEN 'MISSING'
        WHEN EXISTS (
            SELECT FROM list_partitions() WHERE parent = 'stock_movements' AND lower_bound < first_day
        ) THEN 'EARLIER_MONTH_LEFT'
        ELSE 'READY'
    END
$$;

-- How many entries a month of the ledger has, and a checksum over all their columns that does not depend
-- on their order: the sum of each entry's first eight bytes of SHA-256. It is that of the columns in the
-- order of their names, each as LENGTH:TEXT, or - for NULL; times as microseconds since 1970. So whoever
-- reads a file of them comes to the same.
CREATE FUNCTION ledger_month_totals(first_day date, OUT entries bigint, OUT checksum numeric)
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO'
AS $$
DECLARE
    entry text;
BEGIN
    SELECT string_agg(format('coalesce(length(%1$s) || '':'' || %1$s, ''-'')', shown), ' || ' ORDER BY name)
    INTO STRICT entry
    FROM (
        SELECT attname COLLATE "C" AS name, CASE atttypid
            WHEN 'timestamptz'::regtype
                THEN format('(extract(epoch FROM %I) * 1000000)::bigint::text', attname)
            ELSE format('%I::text', attname)
        END AS shown
        FROM pg_attribute
        WHERE attrelid = 'stock_movements'::regclass AND attnum > 0 AND NOT attisdropped
    );
    EXECUTE format(
        'SELECT count(*), coalesce(sum(substr(sha256(convert_to(%s, ''UTF8'')), 1, 8)::bigint), 0)'
        ' FROM stock_movements WHERE record_time >= $1 AND record_time < $2',
        entry
    ) INTO STRICT entries, checksum
    USING first_day::timestamptz, (first_day + interval '1 month')::timestamptz;
END
$$;

-- Drop a month of the ledger that a verified file holds, and keep its closing figures in the same
-- transaction. Refuses, with SQLSTATE IA001 and the state as its message, what is not READY; with DIFFERS
-- if the month does not have these totals; with BROKEN if the figures of a level do not follow from one
-- another. Runs as the owner: nobody else may take anything from the ledger.
CREATE FUNCTION drop_ledger_month(
    first_day date, file_entries bigint, file_checksum numeric, file_name text
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp SET timezone = 'UTC' SET lock_timeout = '200ms'
AS $$
DECLARE
    state text;
    partition text;
    begin_time timestamptz := first_day::timestamptz;
    end_time timestamptz := (first_day + interval '1 month')::timestamptz;
BEGIN
    state := ledger_month_state(first_day, 12);
    IF state <> 'READY' THEN
        RAISE EXCEPTION '%', state USING ERRCODE = 'IA001';
    END IF;
    SELECT child INTO STRICT partition FROM list_partitions()
    WHERE parent = 'stock_movements' AND lower_bound = begin_time;
    -- Nobody writes into it from here on; the service writes into the present month and does not notice.
    EXECUTE format('LOCK TABLE %I IN SHARE MODE', partition);
    IF ledger_month_totals(first_day) IS DISTINCT FROM ROW(file_entries, file_checksum) THEN
        RAISE EXCEPTION 'DIFFERS' USING ERRCODE = 'IA001';
    END IF;

    CREATE TEMPORARY TABLE closing ON COMMIT DROP AS
    SELECT m.sku, m.location_id, max(m.version) AS version,
        min(m.version) = coalesce(o.version, 0) + 1
        AND max(m.version) = coalesce(o.version, 0) + count(*) AS is_dense,
        coalesce(o.on_hand, 0) + sum(m.on_hand_delta) AS on_hand,
        coalesce(o.reserved, 0) + sum(m.reserved_delta) AS reserved,
        coalesce(o.backordered, 0) + sum(m.backordered_delta) AS backordered,
        coalesce(o.in_transit, 0) + sum(m.in_transit_delta) AS in_transit
    FROM stock_movements AS m LEFT JOIN ledger_openings AS o USING (sku, location_id)
    WHERE m.record_time >= begin_time AND m.record_time < end_time
    GROUP BY m.sku, m.location_id, o.sku, o.location_id;
    IF EXISTS (
        SELECT FROM closing AS c
        JOIN stock_movements AS last USING (sku, location_id, version)
        WHERE last.record_time >= begin_time AND last.record_time < end_time
            AND NOT (c.is_dense AND ROW(c.on_hand, c.reserved, c.backordered, c.in_transit)
                = ROW(last.on_hand, last.reserved, last.backordered, last.in_transit))
    ) THEN
        RAISE EXCEPTION 'BROKEN' USING ERRCODE = 'IA001';
    END IF;
    INSERT INTO ledger_openings
    SELECT sku, location_id, version, on_hand, reserved, backordered, in_transit FROM closing
    ON CONFLICT (sku, location_id) DO UPDATE SET version = excluded.version,
        on_hand = excluded.on_hand, reserved = excluded.reserved,
        backordered = excluded.backordered, in_transit = excluded.in_transit;
    INSERT INTO ledger_archives
    VALUES (first_day, file_entries, file_checksum, file_name, clock_timestamp());

    -- Last, for it locks the whole ledger: a short wait for that lock, many times, holds up no command.
    FOR attempt IN 1..60 LOOP
        BEGIN
            EXECUTE format('DROP TABLE %I', partition);
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            IF attempt = 60 THEN
                RAISE;
            END IF;
            PERFORM pg_sleep(1);
        END;
    END LOOP;
END
$$;

-- Summary ----------------------------------------------------------------------------------------

-- What there is of each item over all its locations, as of the last refresh.
CREATE MATERIALIZED VIEW mv_stock_summary AS
SELECT
    sku,
    count(*) AS locations,
    sum(on_hand) AS on_hand,
    sum(reserved) AS reserved,
    sum(on_hand - reserved) AS available,
    sum(backordered) AS backordered,
    sum(in_transit) AS in_transit,
    max(update_time) AS update_time
FROM stock_levels
GROUP BY sku;

-- Without it, a refresh would lock out whoever reads.
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX mv_stock_summary_by_sku ON mv_stock_summary (sku);

-- Rights -----------------------------------------------------------------------------------------

REVOKE ALL ON FUNCTION list_partitions(), mark_wal(), confirmed_until(), drop_expired_partition(),
    ledger_month_state(date, integer), ledger_month_totals(date),
    drop_ledger_month(date, bigint, numeric, text)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION list_partitions(), mark_wal(), confirmed_until(), drop_expired_partition()
TO inventory_command;
GRANT SELECT, UPDATE ON upkeep_jobs TO inventory_command;
GRANT MAINTAIN ON mv_stock_summary TO inventory_command;
GRANT SELECT ON mv_stock_summary, ledger_openings, ledger_archives TO inventory_query;
GRANT SELECT ON stock_movements, ledger_archives TO inventory_archive;
GRANT EXECUTE ON FUNCTION list_partitions(), ledger_month_state(date, integer), ledger_month_totals(date),
    drop_ledger_month(date, bigint, numeric, text)
TO inventory_archive;

-- migrate:down

REVOKE SELECT ON stock_movements FROM inventory_archive;
-- squawk-ignore ban-drop-view
DROP MATERIALIZED VIEW mv_stock_summary;
-- squawk-ignore ban-drop-function
DROP FUNCTION drop_ledger_month(date, bigint, numeric, text), ledger_month_totals(date),
    ledger_month_state(date, integer), drop_expired_partition(), confirmed_until(), mark_wal(),
    list_partitions();
-- squawk-ignore ban-drop-table
DROP TABLE ledger_archives, ledger_openings, wal_marks, upkeep_jobs;
