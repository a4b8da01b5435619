-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- Entries ----------------------------------------------------------------------------------------

-- Who asked what, from where, and what became of it: an entry for each command, committed with it, and for
-- each refused call. Append-only, partitioned by month. The order of a day's entries is that of the numbers
-- of their transactions, not of their times: whatever is below all transactions that still run is complete.
CREATE TABLE audit_log (
    day date NOT NULL,
    transaction_number xid8 NOT NULL DEFAULT pg_current_xact_id(),
    entry_id bigint GENERATED ALWAYS AS IDENTITY,
    record_time timestamptz NOT NULL,
    method text NOT NULL,
    verdict text NOT NULL,
    actor text NOT NULL,
    proof text NOT NULL,
    source text NOT NULL,
    request_id text NOT NULL,
    trace_id text NOT NULL,
    skus text [] NOT NULL,
    location_ids text [] NOT NULL,
    -- Of the change that was committed; NULL when none was.
    transaction_id uuid,
    -- How many calls it stands for.
    calls bigint NOT NULL DEFAULT 1 CHECK (calls >= 1),
    PRIMARY KEY (day, transaction_number, entry_id),
    CONSTRAINT day_of_record_time CHECK (day = (record_time AT TIME ZONE 'UTC')::date)
) PARTITION BY RANGE (day);

-- The chain of each day: every seal is the SHA-256 of the one before it and of its entry.
CREATE TABLE audit_seals (
    day date NOT NULL,
    position bigint NOT NULL CHECK (position >= 1),
    transaction_number xid8 NOT NULL,
    entry_id bigint NOT NULL,
    seal bytea NOT NULL,
    PRIMARY KEY (day, position)
) PARTITION BY RANGE (day);

-- How far the chain of each day goes.
CREATE TABLE audit_days (
    day date PRIMARY KEY,
    entries bigint NOT NULL,
    transaction_number xid8 NOT NULL,
    entry_id bigint NOT NULL,
    seal bytea NOT NULL
);

-- Seals ------------------------------------------------------------------------------------------

-- A value of an entry as it is sealed: LENGTH:TEXT in bytes of UTF-8, or - for NULL. Of a list, the number
-- of its elements before them.
CREATE FUNCTION audit_value(value text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(octet_length(value) || ':' || value, '-');

CREATE FUNCTION audit_values(list text []) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = public, pg_temp
AS $$
    SELECT cardinality(list) || '[' || coalesce(string_agg(audit_value(element), '' ORDER BY place), '')
    FROM unnest(list) WITH ORDINALITY AS u (element, place)
$$;

-- An entry as it is sealed: all its values in the order of the columns, times in microseconds since 1970.
CREATE FUNCTION audit_entry_bytes(entry audit_log) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = public, pg_temp SET datestyle = 'ISO'
AS $$
    SELECT convert_to(
        audit_value(entry.day::text) || audit_value(entry.transaction_number::text)
        || audit_value(entry.entry_id::text)
        || audit_value((extract(epoch FROM entry.record_time) * 1000000)::bigint::text)
        || audit_value(entry.method) || audit_value(entry.verdict) || audit_value(entry.actor)
        || audit_value(entry.proof) || audit_value(entry.source) || audit_value(entry.request_id)
        || audit_value(entry.trace_id) || audit_values(entry.skus) || audit_values(entry.location_ids)
        || audit_value(entry.transaction_id::text) || audit_value(entry.calls::text),
        'UTF8'
    )
$$;

-- Continue the chains with up to `most` entries, in their order; return how many. One at a time: who comes
-- meanwhile answers 0. Runs as the owner, so that nobody else may write a seal.
CREATE FUNCTION seal_audit_entries(most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    -- What began before this and is not in sight now will never be.
    horizon xid8 := pg_snapshot_xmin(pg_current_snapshot());
    today date := now()::date;
    each_day date;
    chain audit_days;
    entry audit_log;
    sealed integer := 0;
    before bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('seal_audit_entries')) THEN
        RETURN 0;
    END IF;
    -- No transaction lives for a day: none writes into the day before the newest two any more.
    FOR each_day IN
        SELECT generate_series(
            coalesce((SELECT max(d.day) - 1 FROM audit_days AS d), today - 1), today, interval '1 day'
        )
    LOOP
        SELECT * INTO chain FROM audit_days WHERE day = each_day;
        IF NOT FOUND THEN
            chain := ROW(each_day, 0, '0', 0, sha256(convert_to('inventory audit ' || each_day, 'UTF8')));
        END IF;
        before := chain.entries;
        FOR entry IN
            SELECT l.* FROM audit_log AS l
            WHERE l.day = chain.day AND l.transaction_number < horizon
                AND (l.transaction_number, l.entry_id) > (chain.transaction_number, chain.entry_id)
            ORDER BY l.transaction_number, l.entry_id LIMIT most - sealed
        LOOP
            chain.entries := chain.entries + 1;
            chain.transaction_number := entry.transaction_number;
            chain.entry_id := entry.entry_id;
            chain.seal := sha256(chain.seal || audit_entry_bytes(entry));
            INSERT INTO audit_seals
            VALUES (chain.day, chain.entries, chain.transaction_number, chain.entry_id, chain.seal);
        END LOOP;
        IF chain.entries > before THEN
            sealed := sealed + (chain.entries - before);
            INSERT INTO audit_days VALUES (chain.*)
            ON CONFLICT (day) DO UPDATE SET entries = excluded.entries, seal = excluded.seal,
                transaction_number = excluded.transaction_number, entry_id = excluded.entry_id;
        END IF;
        EXIT WHEN sealed >= most;
    END LOOP;
    RETURN sealed;
END
$$;

INSERT INTO upkeep_jobs (job, success_time) VALUES ('seals', now());

-- Partitions -------------------------------------------------------------------------------------

-- As before, and 3 months ahead of the audit log and its seals.
CREATE OR REPLACE FUNCTION create_partitions() RETURNS integer
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
        VALUES ('stock_movements', 'month', 3), ('requests', 'day', 7), ('journal', 'day', 7),
            ('audit_log', 'month', 3), ('audit_seals', 'month', 3)
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

-- Rights -----------------------------------------------------------------------------------------

-- Who writes entries can neither read nor change them, nor choose their place in the chain.
REVOKE ALL ON FUNCTION seal_audit_entries(integer), audit_entry_bytes(audit_log) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION seal_audit_entries(integer) TO inventory_command;
GRANT INSERT (
    day, record_time, method, verdict, actor, proof, source, request_id, trace_id, skus, location_ids,
    transaction_id, calls
) ON audit_log TO inventory_command, inventory_audit;
GRANT SELECT ON audit_log, audit_seals, audit_days TO inventory_query;

-- migrate:down

-- squawk-ignore ban-drop-function
DROP FUNCTION seal_audit_entries(integer), audit_entry_bytes(audit_log), audit_values(text []), audit_value(text);
-- squawk-ignore ban-drop-table
DROP TABLE audit_days, audit_seals, audit_log;
DELETE FROM upkeep_jobs WHERE job = 'seals';
CREATE OR REPLACE FUNCTION create_partitions() RETURNS integer
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
