-- Roll-ups: what a chart of a month or a year reads, and what is left once the rows are gone.

-- Hours whose rows changed since they were last rolled up, by bucket of 256 neighbouring series. Several marks of one
-- hour may stand here: see cloud/store/rollups.py for why nothing waits for anything.
CREATE TABLE rollup_mark (bucket int NOT NULL, at timestamptz NOT NULL);
CREATE INDEX rollup_mark_bucket_at ON rollup_mark (bucket, at);

-- Numbers. Only good readings count; `bad` says how many were not. Without a good one all but `bad` and `count` are NULL.
CREATE TABLE readings_hour (
    series  int NOT NULL,
    count   int NOT NULL,
    at      timestamptz NOT NULL,          -- the hour's beginning
    min     double precision,
    max     double precision,
    mean    double precision,
    first   double precision,
    last    double precision,
    bad     int NOT NULL,
    PRIMARY KEY (series, at)
);

CREATE TABLE readings_day (                -- a day of the estate, by its time zone; `at` is its midnight
    series  int NOT NULL,
    count   int NOT NULL,
    at      timestamptz NOT NULL,
    min     double precision,
    max     double precision,
    mean    double precision,
    first   double precision,
    last    double precision,
    bad     int NOT NULL,
    PRIMARY KEY (series, at) INCLUDE (count, min, max, first, last)  -- a year of all meters is read from the index alone
) WITH (autovacuum_vacuum_insert_scale_factor = 0.01);  -- which takes pages that are known to be visible to all

-- States: for how long a series said which word. A word holds until the next, and no longer than its series can be
-- believed without being heard; what an hour lacks to 3,600 s nobody knows. `value` is empty where it was lost.
CREATE TABLE states_hour (
    series   int NOT NULL,
    quality  smallint NOT NULL,
    at       timestamptz NOT NULL,
    value    text NOT NULL,
    seconds  double precision NOT NULL,
    PRIMARY KEY (series, at, quality, value)
);

CREATE TABLE states_day (
    series   int NOT NULL,
    quality  smallint NOT NULL,
    at       timestamptz NOT NULL,
    value    text NOT NULL,
    seconds  double precision NOT NULL,
    PRIMARY KEY (series, at, quality, value) INCLUDE (seconds)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.01);

CREATE TABLE events_day (                  -- what is left of events that said who it was
    device  int NOT NULL,
    at      timestamptz NOT NULL,
    point   text NOT NULL,
    count   int NOT NULL,
    PRIMARY KEY (device, at, point)
);

CREATE TABLE retention (                   -- from when on the rows of a table are still whole
    rows      text PRIMARY KEY,
    since     timestamptz NOT NULL,        -- the beginning of a day in UTC
    moved_at  timestamptz NOT NULL DEFAULT now()
);
INSERT INTO retention (rows, since)
SELECT unnest(ARRAY['readings', 'states', 'events', 'readings_hour', 'states_hour', 'readings_day', 'states_day']), 'epoch';

-- Events that say who it was, which are kept for a short time only; queries/retention.sql has the same words.
CREATE INDEX events_personal ON events (at) WHERE point IN ('access', 'passage') OR fields ?| ARRAY['credential', 'plate'];
