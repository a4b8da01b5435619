-- migrate:up transaction:false

-- What was closed before, a thousand rows at a time, each committed by itself, so that nobody waits for long; the
-- trigger fills in the column. Interrupted, it can be run again.
-- squawk-ignore prefer-robust-stmts, require-lock-timeout, require-statement-timeout
DO $$
DECLARE
    promises record;
    last uuid;
BEGIN
    FOR promises IN VALUES
        ('reservations', 'reservation_id', 'PENDING'),
        ('orders', 'order_id', 'OPEN'),
        ('transfers', 'transfer_id', 'IN_TRANSIT')
    LOOP
        last := '00000000-0000-0000-0000-000000000000';
        WHILE last IS NOT NULL LOOP
            EXECUTE format(
                'WITH page AS (SELECT %2$I AS id FROM %1$I WHERE %2$I > $1 ORDER BY %2$I LIMIT 1000), filled AS ('
                ' UPDATE %1$I SET closed_time = update_time'
                ' WHERE %2$I IN (SELECT id FROM page) AND state <> %3$L AND closed_time IS NULL'
                ') SELECT id FROM page ORDER BY id DESC LIMIT 1',
                promises.column1, promises.column2, promises.column3
            ) INTO last USING last;
            COMMIT;
        END LOOP;
    END LOOP;
END
$$;

-- migrate:down

-- The column goes with the migration that made it.
SELECT 1;
