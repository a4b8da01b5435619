-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- A number below 2^35 as protobuf writes it, in five bytes whatever it is.
CREATE FUNCTION journal_varint(number bigint) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN set_byte(set_byte(set_byte(set_byte(set_byte('\x0000000000'::bytea,
0, ((number & 127) | 128)::integer),
1, ((number >> 7 & 127) | 128)::integer),
2, ((number >> 14 & 127) | 128)::integer),
3, ((number >> 21 & 127) | 128)::integer),
4, (number >> 28 & 127)::integer);

-- Write a transaction in which nothing happened into the journal: an inventory.journal.v1.Transaction with its
-- transaction_id (1), its record_time (2: seconds 1, nanos 2), part (3) and part_count (4). What follows the
-- journal learns by it that there was nothing else to follow, and how far behind it is. Called by the connector
-- at every heartbeat, so that it also moves the slot on. Runs as the owner: the connector may write nothing else.
CREATE FUNCTION pulse() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    name uuid := uuidv7();
    beat timestamptz := clock_timestamp();
    microseconds bigint := (extract(epoch FROM beat) * 1000000)::bigint;
BEGIN
    INSERT INTO journal (id, part, part_count, payload, create_time)
    VALUES (
        name, 1, 1,
        '\x0a24'::bytea || convert_to(name::text, 'UTF8')
        || '\x120c08'::bytea || journal_varint(microseconds / 1000000)
        || '\x10'::bytea || journal_varint(microseconds % 1000000 * 1000)
        || '\x18012001'::bytea,
        beat
    );
END
$$;

REVOKE ALL ON FUNCTION pulse() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pulse() TO inventory_cdc;

-- migrate:down

-- squawk-ignore ban-drop-function
DROP FUNCTION pulse(), journal_varint(bigint);
