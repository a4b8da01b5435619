-- migrate:up transaction:false

-- Beside live traffic, so in no transaction, so alone: it takes as long as it takes, and no command waits for it.
-- squawk-ignore ban-concurrent-index-creation-in-transaction, prefer-robust-stmts, require-lock-timeout, require-statement-timeout
CREATE INDEX CONCURRENTLY lots_by_expiry ON lots (
    expiry_day(expiry_date) COLLATE "C", sku COLLATE "C", location_id COLLATE "C", lot_id COLLATE "C"
) WHERE emptied IS NOT TRUE;

-- migrate:down transaction:false

-- squawk-ignore prefer-robust-stmts, require-lock-timeout, require-statement-timeout
DROP INDEX CONCURRENTLY lots_by_expiry;
