-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- What the indexes of lists stand on; each of them is built by a migration of its own, beside live traffic.

-- Levels and lots change all the time, and their updates stay in place only while no index has to be told. So an
-- index asks a flag, which seldom changes, in the place of the figures. NULL is not known: rows from before, until
-- their next change. The flag only narrows down what is looked at: lists ask the figures, too.
ALTER TABLE stock_levels ADD COLUMN low boolean;
ALTER TABLE lots ADD COLUMN emptied boolean;

CREATE FUNCTION turn_low() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp
AS $$
BEGIN
    NEW.low := NEW.on_hand - NEW.reserved + NEW.in_transit - NEW.backordered <= NEW.reorder_point;
    RETURN NEW;
END
$$;
CREATE FUNCTION turn_emptied() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp
AS $$
BEGIN
    NEW.emptied := NEW.on_hand = 0;
    RETURN NEW;
END
$$;

-- The conditions cost next to nothing; the functions are called when a flag turns.
CREATE TRIGGER low_turns BEFORE INSERT OR UPDATE ON stock_levels FOR EACH ROW
WHEN (
    NEW.low IS DISTINCT FROM (NEW.on_hand - NEW.reserved + NEW.in_transit - NEW.backordered <= NEW.reorder_point)
)
EXECUTE FUNCTION turn_low();
CREATE TRIGGER emptied_turns BEFORE INSERT OR UPDATE ON lots FOR EACH ROW
WHEN (NEW.emptied IS DISTINCT FROM (NEW.on_hand = 0))
EXECUTE FUNCTION turn_emptied();

-- The day on which a lot expires as YYYYMMDD, 99999999 for one that keeps. (to_char depends on settings.)
CREATE FUNCTION expiry_day(expiry_date date) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(
    lpad((
        extract(year FROM expiry_date) * 10000 + extract(month FROM expiry_date) * 100 + extract(day FROM expiry_date)
    )::bigint::text, 8, '0'),
    '99999999'
);

-- Categories, and all that they are part of: home/kitchen is home, too.
CREATE FUNCTION category_paths(categories text []) RETURNS text []
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN array(
    SELECT DISTINCT array_to_string((string_to_array(category, '/')) [:depth], '/')
    FROM unnest(categories) AS category,
        generate_series(1, cardinality(string_to_array(category, '/'))) AS depth
);

-- migrate:down

-- squawk-ignore ban-drop-function
DROP FUNCTION category_paths(text []), expiry_day(date);
-- squawk-ignore ban-drop-trigger
DROP TRIGGER emptied_turns ON lots;
-- squawk-ignore ban-drop-trigger
DROP TRIGGER low_turns ON stock_levels;
-- squawk-ignore ban-drop-function
DROP FUNCTION turn_emptied(), turn_low();
-- squawk-ignore ban-drop-column
ALTER TABLE lots DROP COLUMN emptied;
-- squawk-ignore ban-drop-column
ALTER TABLE stock_levels DROP COLUMN low;
