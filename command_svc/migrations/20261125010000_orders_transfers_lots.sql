-- migrate:up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- Items of more kinds ----------------------------------------------------------------------------

-- Physical items are always counted, bundles never (their components are), digital goods as licences.
-- A captured column that is not null needs a default that capture can tell, which is none of an array: those
-- are nullable, and a constraint keeps them from being null.
ALTER TABLE items
ADD COLUMN licensed boolean NOT NULL DEFAULT false,
ADD COLUMN lot_tracked boolean NOT NULL DEFAULT false,
ADD COLUMN parent_sku text NOT NULL DEFAULT '',
ADD COLUMN option_values jsonb NOT NULL DEFAULT '{}',
ADD COLUMN length_mm bigint,
ADD COLUMN width_mm bigint,
ADD COLUMN height_mm bigint,
ADD COLUMN weight_grams bigint NOT NULL DEFAULT 0,
ADD COLUMN component_skus text [] DEFAULT '{}',
ADD COLUMN component_quantities bigint [] DEFAULT '{}';

-- Taken back in the same transaction, with one kind more.
-- squawk-ignore ban-drop-constraint
ALTER TABLE items DROP CONSTRAINT items_kind_check;
ALTER TABLE items
ADD CONSTRAINT items_kind_check CHECK (kind IN ('PHYSICAL', 'DIGITAL', 'BUNDLE')) NOT VALID,
ADD CONSTRAINT components_are_parallel CHECK (
    component_skus IS NOT NULL
    AND component_quantities IS NOT NULL
    AND cardinality(component_quantities) = cardinality(component_skus)
) NOT VALID,
ADD CONSTRAINT bundles_have_components CHECK ((kind = 'BUNDLE') = (cardinality(component_skus) > 0)) NOT VALID,
ADD CONSTRAINT only_goods_have_lots CHECK (NOT lot_tracked OR kind = 'PHYSICAL') NOT VALID;

-- Who takes nothing new is asked for in every transaction: few rows, found at once.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX items_archived ON items (sku) WHERE state = 'ARCHIVED';
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX locations_inactive ON locations (location_id) WHERE state = 'INACTIVE';

-- Lots -------------------------------------------------------------------------------------------

ALTER TABLE stock_levels ADD COLUMN lot_tracked boolean NOT NULL DEFAULT false;
ALTER TABLE stock_movements
ADD COLUMN lot_id text NOT NULL DEFAULT '',
ADD COLUMN supplier text NOT NULL DEFAULT '';

-- The lots of a level: its on_hand and reserved are their sums. Changed only under the level's lock.
CREATE TABLE lots (
    sku text NOT NULL,
    location_id text NOT NULL,
    lot_id text NOT NULL,
    expiry_date date,
    on_hand bigint NOT NULL,
    reserved bigint NOT NULL,
    serials bigint NOT NULL,
    version bigint NOT NULL CHECK (version >= 1),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (sku, location_id, lot_id),
    FOREIGN KEY (sku, location_id) REFERENCES stock_levels,
    CONSTRAINT lot_on_hand_not_negative CHECK (on_hand >= 0),
    CONSTRAINT lot_reserved_within_on_hand CHECK (reserved BETWEEN 0 AND on_hand),
    CONSTRAINT lot_serials_within_on_hand CHECK (serials BETWEEN 0 AND on_hand)
) WITH (fillfactor = 70);

-- Where each unit with a serial number is, or was when it left.
CREATE TABLE serials (
    sku text NOT NULL,
    number text NOT NULL,
    location_id text NOT NULL,
    lot_id text NOT NULL,
    present boolean NOT NULL,
    PRIMARY KEY (sku, number),
    FOREIGN KEY (sku, location_id, lot_id) REFERENCES lots
);

-- Orders -----------------------------------------------------------------------------------------

-- One row tells all: what was ordered, and, in parallel arrays, where each unit comes from. Which levels
-- those are never changes. `waiting` names the levels at which something is backordered.
CREATE TABLE orders (
    order_id uuid PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('OPEN', 'FULFILLED', 'CANCELLED')),
    line_skus text [] NOT NULL,
    line_quantities bigint [] NOT NULL,
    skus text [] NOT NULL,
    location_ids text [] NOT NULL,
    lot_ids text [] NOT NULL,
    quantities bigint [] NOT NULL,
    backordered bigint [] NOT NULL,
    shipped bigint [] NOT NULL,
    cancelled bigint [] NOT NULL,
    returned bigint [] NOT NULL,
    waiting text [] NOT NULL,
    channel text NOT NULL,
    reference text NOT NULL,
    actor text NOT NULL,
    version bigint NOT NULL CHECK (version >= 1),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    CONSTRAINT order_lines_are_parallel CHECK (
        cardinality(line_skus) >= 1 AND cardinality(line_quantities) = cardinality(line_skus)
    ),
    CONSTRAINT allocations_are_parallel CHECK (
        cardinality(location_ids) = cardinality(skus)
        AND cardinality(lot_ids) = cardinality(skus)
        AND cardinality(quantities) = cardinality(skus)
        AND cardinality(backordered) = cardinality(skus)
        AND cardinality(shipped) = cardinality(skus)
        AND cardinality(cancelled) = cardinality(skus)
        AND cardinality(returned) = cardinality(skus)
    )
) WITH (fillfactor = 80);

-- Who waits at a level, for the units that arrive there.
CREATE INDEX orders_waiting ON orders USING gin (waiting) WITH (fastupdate = off) WHERE waiting <> '{}';

-- Transfers --------------------------------------------------------------------------------------

CREATE TABLE transfers (
    transfer_id uuid PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('IN_TRANSIT', 'RECEIVED', 'CANCELLED')),
    source_location_id text NOT NULL,
    supplier text NOT NULL,
    destination_location_id text NOT NULL,
    skus text [] NOT NULL,
    lot_ids text [] NOT NULL,
    quantities bigint [] NOT NULL,
    received bigint [] NOT NULL,
    written_off bigint [] NOT NULL,
    returned bigint [] NOT NULL,
    serials jsonb NOT NULL, -- for each line, those of the units that are under way
    expected_arrival_time timestamptz,
    reference text NOT NULL,
    actor text NOT NULL,
    version bigint NOT NULL CHECK (version >= 1),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    CONSTRAINT one_origin CHECK ((source_location_id = '') <> (supplier = '')),
    CONSTRAINT transfer_lines_are_parallel CHECK (
        cardinality(skus) >= 1
        AND cardinality(lot_ids) = cardinality(skus)
        AND cardinality(quantities) = cardinality(skus)
        AND cardinality(received) = cardinality(skus)
        AND cardinality(written_off) = cardinality(skus)
        AND cardinality(returned) = cardinality(skus)
        AND jsonb_array_length(serials) = cardinality(skus)
    )
) WITH (fillfactor = 80);

GRANT SELECT, INSERT, UPDATE ON lots, serials, orders, transfers TO inventory_command;
GRANT SELECT ON lots, serials, orders, transfers TO inventory_query;

-- migrate:down

-- squawk-ignore ban-drop-table
DROP TABLE transfers, orders, serials, lots;
-- squawk-ignore ban-drop-column
ALTER TABLE stock_movements DROP COLUMN lot_id;
-- squawk-ignore ban-drop-column
ALTER TABLE stock_movements DROP COLUMN supplier;
-- squawk-ignore ban-drop-column
ALTER TABLE stock_levels DROP COLUMN lot_tracked;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX items_archived, locations_inactive;
-- squawk-ignore ban-drop-constraint
ALTER TABLE items DROP CONSTRAINT items_kind_check;
-- The constraints on these columns go with them.
-- squawk-ignore ban-drop-column
ALTER TABLE items DROP COLUMN licensed;
-- squawk-ignore ban-drop-column
ALTER TABLE items DROP COLUMN lot_tracked;
-- squawk-ignore ban-drop-column
ALTER TABLE items DROP COLUMN parent_sku;
-- squawk-ignore ban-drop-column
ALTER TABLE items DROP COLUMN option_values;
-- squawk-ignore ban-drop-column
ALTER TABLE items DROP COLUMN length_mm;
-- squawk-ignore ban-drop-column
ALTER TABLE items DROP COLUMN width_mm;
-- squawk-ignore ban-drop-column
ALTER TABLE items DROP COLUMN height_mm;
-- squawk-ignore ban-drop-column
ALTER TABLE items DROP COLUMN weight_grams;
-- squawk-ignore ban-drop-column
ALTER TABLE items DROP COLUMN component_skus;
-- squawk-ignore ban-drop-column
ALTER TABLE items DROP COLUMN component_quantities;
ALTER TABLE items ADD CONSTRAINT items_kind_check CHECK (kind IN ('PHYSICAL', 'DIGITAL')) NOT VALID;
