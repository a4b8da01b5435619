-- migrate:up transaction:false

-- Of an expression, so that nothing changes for commands, which look for overdue reservations of their items: those
-- are found among the pending ones, however many the items have had.
-- Beside live traffic, so in no transaction, so alone: it takes as long as it takes, and no command waits for it.
-- squawk-ignore ban-concurrent-index-creation-in-transaction, prefer-robust-stmts, require-lock-timeout, require-statement-timeout
CREATE INDEX CONCURRENTLY reservations_by_sku ON reservations USING gin ((skus || '{}'));

-- migrate:down transaction:false

-- squawk-ignore prefer-robust-stmts, require-lock-timeout, require-statement-timeout
DROP INDEX CONCURRENTLY reservations_by_sku;
