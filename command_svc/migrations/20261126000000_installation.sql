-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- Which installation this is: every consistency token says so, and no other takes it. A copy of the database that
-- goes its own way is another one, and is given another id: UPDATE installation SET id = gen_random_uuid().
CREATE TABLE installation (
    id uuid NOT NULL,
    is_the_one boolean PRIMARY KEY DEFAULT true CHECK (is_the_one)
);
INSERT INTO installation (id) VALUES (gen_random_uuid());

GRANT SELECT ON installation TO inventory_command, inventory_query;

-- migrate:down

-- squawk-ignore ban-drop-table
DROP TABLE installation;
