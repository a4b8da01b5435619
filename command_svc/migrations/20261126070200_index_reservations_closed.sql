-- migrate:up transaction:false

-- Beside live traffic, so in no transaction, so alone: it takes as long as it takes, and no command waits for it.
-- squawk-ignore ban-concurrent-index-creation-in-transaction, prefer-robust-stmts, require-lock-timeout, require-statement-timeout
CREATE INDEX CONCURRENTLY reservations_closed ON reservations (closed_time, reservation_id)
WHERE closed_time IS NOT NULL;

-- migrate:down transaction:false

-- squawk-ignore prefer-robust-stmts, require-lock-timeout, require-statement-timeout
DROP INDEX CONCURRENTLY reservations_closed;
