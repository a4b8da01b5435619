-- migrate:up transaction:false

-- Beside live traffic, so in no transaction, so alone: it takes as long as it takes, and no command waits for it.
-- squawk-ignore ban-concurrent-index-creation-in-transaction, prefer-robust-stmts, require-lock-timeout, require-statement-timeout
CREATE INDEX CONCURRENTLY items_by_text ON items USING gin (
    category_paths(categories), tags, barcodes
);

-- migrate:down transaction:false

-- squawk-ignore prefer-robust-stmts, require-lock-timeout, require-statement-timeout
DROP INDEX CONCURRENTLY items_by_text;
