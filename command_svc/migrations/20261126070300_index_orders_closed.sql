-- migrate:up transaction:false

-- Beside live traffic, so in no transaction, so alone: it takes as long as it takes, and no command waits for it.
-- squawk-ignore ban-concurrent-index-creation-in-transaction, prefer-robust-stmts, require-lock-timeout, require-statement-timeout
CREATE INDEX CONCURRENTLY orders_closed ON orders (closed_time, order_id)
WHERE closed_time IS NOT NULL;

-- migrate:down transaction:false

-- squawk-ignore prefer-robust-stmts, require-lock-timeout, require-statement-timeout
DROP INDEX CONCURRENTLY orders_closed;
