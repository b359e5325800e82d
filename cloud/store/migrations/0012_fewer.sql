-- Fewer, better: what the rules were told of boxes and buses, floods, maintenance windows and drills, and what KPIs are counted from.

CREATE TABLE sweep (                       -- who looks after boxes that say nothing, and since when somebody could have heard them
    one          boolean PRIMARY KEY DEFAULT true CHECK (one),
    swept_at     timestamptz NOT NULL,
    hears_since  timestamptz NOT NULL
);

CREATE TABLE box_told (                    -- what the rules were last told of a box: they are told what changes
    gateway         uuid PRIMARY KEY REFERENCES gateway,
    rules           text NOT NULL,         -- which rules those were
    is_silent       boolean NOT NULL,
    backlog_blocks  bigint NOT NULL,
    reported_at     timestamptz,           -- the report of the box that was looked at last
    clock_offset_s  double precision
) WITH (fillfactor = 70);

CREATE TABLE bus_told (                    -- the buses that the rules were told of as silent
    gateway  uuid NOT NULL REFERENCES gateway,
    bus      text NOT NULL,
    rules    text NOT NULL,
    PRIMARY KEY (gateway, bus)
);

CREATE TABLE bus_look (                    -- boxes on which a device's link changed, so that their buses are to be looked at
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway  uuid NOT NULL
);

CREATE TABLE flood (                       -- more new alarms in ten minutes than anybody can look at: one row an estate
    estate    int PRIMARY KEY REFERENCES area,
    since     timestamptz NOT NULL,
    ended_at  timestamptz                  -- NULL: it stands
);

CREATE TABLE maintenance (                 -- a time in which people work on something, or hold a fire drill
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind        text NOT NULL CHECK (kind IN ('maintenance', 'drill')),
    estate      int NOT NULL REFERENCES area,
    building    text,                      -- NULL: wherever
    unit        text,
    devices     int[],                     -- NULL: whichever
    gateway     uuid REFERENCES gateway,
    bus         text,
    from_at     timestamptz NOT NULL,
    until_at    timestamptz NOT NULL,
    why         text NOT NULL CHECK (length(why) BETWEEN 1 AND 500),
    person      int REFERENCES person,
    who         text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    warned_at   timestamptz,               -- when people were told that it ends soon
    ended_at    timestamptz,               -- when its end was seen to, or a person ended it
    ended_by    int REFERENCES person,
    ended_who   text,
    CHECK (until_at > from_at),
    CHECK (until_at <= from_at + CASE kind WHEN 'drill' THEN INTERVAL '4 hours' ELSE INTERVAL '7 days' END),
    CHECK (unit IS NULL OR building IS NOT NULL),
    CHECK (bus IS NULL OR gateway IS NOT NULL)
);
CREATE INDEX maintenance_standing ON maintenance (estate, until_at) WHERE ended_at IS NULL;
CREATE INDEX ON maintenance (until_at) WHERE ended_at IS NULL;

ALTER TABLE alarm ADD drill uuid REFERENCES maintenance;  -- raised in a drill: a real one until somebody looks, told as a drill
CREATE INDEX alarm_drill ON alarm (drill) WHERE drill IS NOT NULL AND state <> 'NORM';
CREATE INDEX alarm_announced ON alarm (announced_at, estate) WHERE announced_at IS NOT NULL;
CREATE INDEX alarm_transition_at ON alarm_transition (at);
