-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- The pulse has taken its place: it moves the slot on, and tells that nothing has happened.
ALTER PUBLICATION inventory DROP TABLE cdc_heartbeat;
-- squawk-ignore ban-drop-table
DROP TABLE cdc_heartbeat;

-- migrate:down

CREATE TABLE cdc_heartbeat (
    id bigint PRIMARY KEY CHECK (id = 1),
    beat_time timestamptz NOT NULL
);
INSERT INTO cdc_heartbeat (id, beat_time) VALUES (1, now());
ALTER PUBLICATION inventory ADD TABLE cdc_heartbeat;
GRANT SELECT, UPDATE ON cdc_heartbeat TO inventory_cdc;
