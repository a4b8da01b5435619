-- Roles and databases, run by psql as superuser before the migrations; running it again changes nothing.
-- No passwords here: the runner, or the operator of a deployment, sets them.
\set ON_ERROR_STOP on

SELECT format('CREATE ROLE %I LOGIN', role)
FROM unnest(ARRAY[
    'inventory_owner',     -- owns the schema and runs the migrations
    'inventory_command',   -- the command service
    'inventory_query',     -- the query service: reads only
    'inventory_cdc',       -- Debezium
    'inventory_archive',   -- the archiving of old months of the ledger
    'inventory_audit',     -- entries of refused calls, and who stands behind a pseudonym
    'inventory_refusals',  -- entries of calls that proxies have refused
    'inventory_registry'   -- the schema registry, in a database of its own
]) AS role
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role)
\gexec

ALTER ROLE inventory_cdc REPLICATION;

SELECT 'CREATE DATABASE inventory OWNER inventory_owner'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'inventory')
\gexec
SELECT 'CREATE DATABASE registry OWNER inventory_registry'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'registry')
\gexec

-- Nobody connects to a database that is not theirs.
REVOKE ALL ON DATABASE inventory, registry FROM PUBLIC;
GRANT CONNECT ON DATABASE inventory
TO inventory_command, inventory_query, inventory_cdc, inventory_archive, inventory_audit,
    inventory_refusals;

\connect inventory
-- The owner makes tables in public; the others use what a migration grants them.
ALTER SCHEMA public OWNER TO inventory_owner;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
