-- Where bulk blocks land: as they came, one row each, until they are settled into rows of `readings` (cloud/ingest/settle.py).

CREATE TABLE landing (
    id         bigint GENERATED ALWAYS AS IDENTITY,
    gateway    uuid NOT NULL,              -- no reference: its cursor, locked by the same transaction, has one
    inventory  bigint NOT NULL,            -- how the box counted its series
    offset_ns  bigint NOT NULL,            -- UTC less the boot's monotonic time, as it was known when the block came
    first_at   timestamptz NOT NULL,
    last_at    timestamptz NOT NULL,
    items      int NOT NULL,
    block      bytea NOT NULL,
    landed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (gateway, id)
) WITH (
    toast_tuple_target = 8160,             -- a block of a minute lies in the row, not in a second table
    autovacuum_vacuum_scale_factor = 0,    -- rows live for seconds: what counts is how many are dead
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0,
    toast.autovacuum_vacuum_scale_factor = 0,
    toast.autovacuum_vacuum_threshold = 2000,
    toast.autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE landing ALTER block SET STORAGE EXTERNAL;  -- it is compressed already

-- Each box's newest readings are written anew with each of its requests.
ALTER TABLE latest_readings SET (
    toast_tuple_target = 8160,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
    toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 10000,
    toast.autovacuum_vacuum_cost_delay = 0
);

-- Which records of a block were left out where the others were kept; NULL: it was set aside whole.
ALTER TABLE quarantine ADD left_out int[];
