-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- When a promise that is closed changed last, NULL while it is open: what was closed lately is found by an index.
-- One on update_time would have to be told of every change, and no update of an open promise would stay in place.
ALTER TABLE reservations ADD COLUMN closed_time timestamptz;
ALTER TABLE orders ADD COLUMN closed_time timestamptz;
ALTER TABLE transfers ADD COLUMN closed_time timestamptz;

-- Its argument is the state in which a row is open.
CREATE FUNCTION note_closed_time() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp
AS $$
BEGIN
    NEW.closed_time := CASE WHEN NEW.state <> TG_ARGV[0] THEN NEW.update_time END;
    RETURN NEW;
END
$$;

-- The conditions cost next to nothing; the function is called when a promise is closed, or changes after that.
CREATE TRIGGER closed_time_follows BEFORE INSERT OR UPDATE ON reservations FOR EACH ROW
WHEN (NEW.closed_time IS DISTINCT FROM CASE WHEN NEW.state <> 'PENDING' THEN NEW.update_time END)
EXECUTE FUNCTION note_closed_time('PENDING');
CREATE TRIGGER closed_time_follows BEFORE INSERT OR UPDATE ON orders FOR EACH ROW
WHEN (NEW.closed_time IS DISTINCT FROM CASE WHEN NEW.state <> 'OPEN' THEN NEW.update_time END)
EXECUTE FUNCTION note_closed_time('OPEN');
CREATE TRIGGER closed_time_follows BEFORE INSERT OR UPDATE ON transfers FOR EACH ROW
WHEN (NEW.closed_time IS DISTINCT FROM CASE WHEN NEW.state <> 'IN_TRANSIT' THEN NEW.update_time END)
EXECUTE FUNCTION note_closed_time('IN_TRANSIT');

-- migrate:down

-- squawk-ignore ban-drop-trigger
DROP TRIGGER closed_time_follows ON transfers;
-- squawk-ignore ban-drop-trigger
DROP TRIGGER closed_time_follows ON orders;
-- squawk-ignore ban-drop-trigger
DROP TRIGGER closed_time_follows ON reservations;
-- squawk-ignore ban-drop-function
DROP FUNCTION note_closed_time();
-- squawk-ignore ban-drop-column
ALTER TABLE transfers DROP COLUMN closed_time;
-- squawk-ignore ban-drop-column
ALTER TABLE orders DROP COLUMN closed_time;
-- squawk-ignore ban-drop-column
ALTER TABLE reservations DROP COLUMN closed_time;
