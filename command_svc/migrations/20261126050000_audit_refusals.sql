-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- Batches of refusals that proxies have sent and whose entries are written: one that comes again, because its
-- receipt was lost, is known by its digest.
CREATE TABLE audit_batches (
    digest bytea PRIMARY KEY,
    arrival_time timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX audit_batches_by_arrival ON audit_batches (arrival_time);

-- The pseudonym of a person, from now on at the latest. For who writes of people without being able to look
-- up who they are.
CREATE FUNCTION audit_pseudonym(named text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    found text;
BEGIN
    SELECT s.pseudonym INTO found FROM audit_subjects AS s WHERE s.subject = named;
    IF found IS NULL THEN
        INSERT INTO audit_subjects (pseudonym, subject) VALUES ('person/' || gen_random_uuid(), named)
        ON CONFLICT DO NOTHING;
        SELECT s.pseudonym INTO found FROM audit_subjects AS s WHERE s.subject = named;
    END IF;
    RETURN found;
END
$$;

REVOKE ALL ON FUNCTION audit_pseudonym(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_pseudonym(text) TO inventory_refusals;
GRANT SELECT, INSERT, DELETE ON audit_batches TO inventory_refusals;
GRANT INSERT (
    day, record_time, method, verdict, actor, proof, source, request_id, trace_id, skus, location_ids,
    transaction_id, calls
) ON audit_log TO inventory_refusals;

-- migrate:down

REVOKE INSERT (
    day, record_time, method, verdict, actor, proof, source, request_id, trace_id, skus, location_ids,
    transaction_id, calls
) ON audit_log FROM inventory_refusals;
-- squawk-ignore ban-drop-function
DROP FUNCTION audit_pseudonym(text);
-- squawk-ignore ban-drop-table
DROP TABLE audit_batches;
