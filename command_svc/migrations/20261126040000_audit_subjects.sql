-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- Whom a pseudonym stands for. All that ledger and audit log know of such a person is the pseudonym: without
-- its row here, nobody can tell any more who that was.
CREATE TABLE audit_subjects (
    pseudonym text PRIMARY KEY,
    subject text NOT NULL UNIQUE,
    create_time timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, DELETE ON audit_subjects TO inventory_audit;

-- migrate:down

-- squawk-ignore ban-drop-table
DROP TABLE audit_subjects;
