-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- What is open is summed up all the time, to prove the levels: few rows of many.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX orders_open ON orders (order_id) WHERE state = 'OPEN';
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX transfers_in_transit ON transfers (transfer_id) WHERE state = 'IN_TRANSIT';

-- migrate:down

-- squawk-ignore require-concurrent-index-deletion
DROP INDEX orders_open, transfers_in_transit;
