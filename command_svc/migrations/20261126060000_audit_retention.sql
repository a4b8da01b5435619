-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- Months of the audit log that have left it, and the files that hold them. What became of their days, how many
-- entries each had and its last seal, stays in `audit_days`.
CREATE TABLE audit_archives (
    month date PRIMARY KEY,
    entries bigint NOT NULL,
    file_name text NOT NULL,
    archive_time timestamptz NOT NULL
);

-- Whether a month may leave the audit log (READY), or what stands against it. No setting lets it leave within
-- 30 days.
CREATE FUNCTION audit_month_state(first_day date, retention_days integer) RETURNS text
LANGUAGE sql STABLE SET search_path = public, pg_temp SET timezone = 'UTC'
AS $$
    SELECT CASE
        WHEN EXISTS (SELECT FROM audit_archives WHERE month = first_day) THEN 'ARCHIVED'
        WHEN first_day + interval '1 month' + make_interval(days => greatest(retention_days, 30)) > now()
            THEN 'TOO_RECENT'
        WHEN NOT EXISTS (
            SELECT FROM list_partitions() WHERE parent = 'audit_log'
                AND lower_bound = first_day AND upper_bound = first_day + interval '1 month'
        ) THEN 'MISSING'
        WHEN EXISTS (
            SELECT FROM list_partitions() WHERE parent = 'audit_log' AND lower_bound < first_day
        ) THEN 'EARLIER_MONTH_LEFT'
        ELSE 'READY'
    END
$$;

-- Drop a month whose entries, so many and all of them sealed, are in a file, with its seals.
CREATE FUNCTION drop_audit_month(first_day date, file_entries bigint, file_name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp SET timezone = 'UTC' SET lock_timeout = '200ms'
AS $$
DECLARE
    state text := audit_month_state(first_day, 30);
    end_day date := first_day + interval '1 month';
    entries text;
    seals text;
BEGIN
    IF state <> 'READY' THEN
        RAISE EXCEPTION '%', state USING ERRCODE = 'IA001';
    END IF;
    SELECT child INTO STRICT entries FROM list_partitions()
    WHERE parent = 'audit_log' AND lower_bound = first_day;
    SELECT child INTO STRICT seals FROM list_partitions()
    WHERE parent = 'audit_seals' AND lower_bound = first_day;
    EXECUTE format('LOCK TABLE %I, %I IN SHARE MODE', entries, seals);
    IF file_entries IS DISTINCT FROM (
            SELECT count(*) FROM audit_log WHERE day >= first_day AND day < end_day)
        OR file_entries IS DISTINCT FROM (
            SELECT count(*) FROM audit_seals WHERE day >= first_day AND day < end_day)
        OR file_entries IS DISTINCT FROM (
            SELECT coalesce(sum(d.entries), 0) FROM audit_days AS d
            WHERE d.day >= first_day AND d.day < end_day)
    THEN
        RAISE EXCEPTION 'DIFFERS' USING ERRCODE = 'IA001';
    END IF;
    INSERT INTO audit_archives VALUES (first_day, file_entries, file_name, clock_timestamp());

    -- Last, for it locks the whole log: a short wait for that lock, many times, holds up no command.
    FOR attempt IN 1..60 LOOP
        BEGIN
            EXECUTE format('DROP TABLE %I, %I', entries, seals);
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

REVOKE ALL ON FUNCTION audit_month_state(date, integer), drop_audit_month(date, bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_month_state(date, integer), drop_audit_month(date, bigint, text)
TO inventory_archive;
GRANT SELECT ON audit_log, audit_seals, audit_days, audit_archives TO inventory_archive;
GRANT SELECT ON audit_archives TO inventory_query;
-- Notes the last seals of days that are over.
GRANT SELECT ON audit_days TO inventory_command;

-- migrate:down

REVOKE SELECT ON audit_days FROM inventory_command;
REVOKE SELECT ON audit_log, audit_seals, audit_days FROM inventory_archive;
-- squawk-ignore ban-drop-function
DROP FUNCTION drop_audit_month(date, bigint, text), audit_month_state(date, integer);
-- squawk-ignore ban-drop-table
DROP TABLE audit_archives;
