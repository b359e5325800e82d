-- What every tier has: areas, boxes, devices, readings, alarms, commands, people.

CREATE TABLE area (
    id        int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    parent    int REFERENCES area,
    level     text NOT NULL CHECK (level IN ('province', 'city', 'county', 'street', 'community', 'grid', 'estate')),
    name      text NOT NULL,
    code      text,                        -- the official division code
    timezone  text NOT NULL DEFAULT 'Asia/Shanghai',
    path      text NOT NULL UNIQUE,        -- '/1/7/': the ids from the root down, for "everything beneath"
    UNIQUE NULLS NOT DISTINCT (parent, name)
);

-- People ------------------------------------------------------------------------------------------------------------

CREATE TABLE person (
    id             int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    login          text NOT NULL UNIQUE,
    name           text NOT NULL,
    password_hash  text NOT NULL,
    language       text,
    disabled       boolean NOT NULL DEFAULT false,
    created_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE person_grant (
    person  int NOT NULL REFERENCES person,
    role    text NOT NULL CHECK (role IN ('admin', 'supervisor', 'manager', 'operator', 'auditor')),
    area    int NOT NULL REFERENCES area,
    PRIMARY KEY (person, role, area)
);

CREATE TABLE person_session (
    token_hash  bytea PRIMARY KEY,
    person      int NOT NULL REFERENCES person,
    opened_at   timestamptz NOT NULL DEFAULT now(),
    seen_at     timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL
);

CREATE TABLE login_failure (              -- counted before the password is looked at, taken back when it was right
    login_hash  bytea NOT NULL,            -- as a hash: people type passwords into the wrong field
    source      text NOT NULL,             -- an address, or a browser in which the person logged in before
    known       boolean NOT NULL,          -- whether it is such a browser
    at          timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON login_failure (at);

CREATE TABLE known_browser (               -- where people logged in before: strangers' failures do not lock these out
    token_hash  bytea NOT NULL,
    person      int NOT NULL REFERENCES person,
    seen_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (token_hash, person)
);

CREATE TABLE audit (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT now(),
    person   int REFERENCES person,
    who      text NOT NULL,                -- a name, or 'system', or 'gateway <id>'
    action   text NOT NULL,
    object   text NOT NULL,
    detail   jsonb NOT NULL DEFAULT '{}',
    address  text NOT NULL DEFAULT ''
);

-- Boxes -------------------------------------------------------------------------------------------------------------

CREATE TABLE gateway (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    estate       int NOT NULL REFERENCES area,
    public_key   bytea NOT NULL CHECK (length(public_key) = 32),
    hostname     text NOT NULL,
    version      text NOT NULL,
    site_digest  text,
    enrolled_at  timestamptz NOT NULL DEFAULT now(),
    seen_at      timestamptz,
    revoked_at   timestamptz,
    down_connection uuid,                  -- the connection that is given its commands, whichever process has it
    urgent_backlog  bigint,                -- blocks that it keeps and we have not acknowledged, by its last beat
    bulk_backlog    bigint
);

-- Whether a box lives: it says something every 20 s, and after three beats (contract/session.py) nothing behind it is known.
CREATE VIEW gateway_now AS
SELECT *, seen_at IS NULL OR seen_at < now() - INTERVAL '65 seconds' AS silent FROM gateway WHERE revoked_at IS NULL;

CREATE TABLE claim (
    code_hash   bytea PRIMARY KEY,
    estate      int NOT NULL REFERENCES area,
    created_by  text NOT NULL,
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz,
    gateway     uuid REFERENCES gateway
);

CREATE TABLE enrol_failure (address text NOT NULL, at timestamptz NOT NULL DEFAULT now());
CREATE INDEX ON enrol_failure (at);

CREATE TABLE gateway_nonce (
    nonce       bytea PRIMARY KEY,
    gateway     uuid NOT NULL REFERENCES gateway,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX ON gateway_nonce (expires_at);
CREATE INDEX ON gateway_nonce (gateway, expires_at);

CREATE TABLE gateway_session (
    token_hash  bytea PRIMARY KEY,
    gateway     uuid NOT NULL REFERENCES gateway,
    opened_at   timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL
);
CREATE INDEX ON gateway_session (gateway);

CREATE TABLE stream_cursor (
    gateway     uuid NOT NULL REFERENCES gateway,
    stream      text NOT NULL CHECK (stream IN ('urgent', 'bulk')),
    epoch       bigint NOT NULL,
    number      bigint NOT NULL,
    checksum    bigint NOT NULL,
    moved_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (gateway, stream)
);

CREATE TABLE stream_epoch (               -- each chain a box has had; a closed one is never taken up again
    gateway      uuid NOT NULL REFERENCES gateway,
    stream       text NOT NULL,
    epoch        bigint NOT NULL,
    opened_at    timestamptz NOT NULL DEFAULT now(),
    closed_at    timestamptz,
    last_number  bigint,
    PRIMARY KEY (gateway, stream, epoch)
);

CREATE TABLE boot (                       -- one run of a box's clock
    gateway         uuid NOT NULL REFERENCES gateway,
    boot            bytea NOT NULL,
    first_seen_at   timestamptz NOT NULL DEFAULT now(),
    mono_ns         bigint,               -- the latest clock record: at mono_ns it was utc_ns
    utc_ns          bigint,
    uncertainty_ns  bigint,
    source          text,
    PRIMARY KEY (gateway, boot)
);

CREATE TABLE stream_seal (                -- seal time of the last block taken of a boot: what tells a repeat after a new epoch
    gateway    uuid NOT NULL REFERENCES gateway,
    stream     text NOT NULL,             -- a row for each: a commit of bulk holds up no urgent block
    boot       bytea NOT NULL,
    sealed_ns  bigint NOT NULL,
    PRIMARY KEY (gateway, stream, boot)
);

CREATE TABLE loss (                       -- what a box says it had to give up
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway   uuid NOT NULL REFERENCES gateway,
    stream    text NOT NULL,
    epoch     bigint NOT NULL,
    first     bigint NOT NULL,
    last      bigint NOT NULL,
    items     bigint NOT NULL,
    reason    text NOT NULL,
    at        timestamptz NOT NULL
);

CREATE UNIQUE INDEX ON loss (gateway, stream, epoch, first, last) WHERE epoch > 0;  -- a box may say it twice; 0: no numbers known
CREATE INDEX ON loss (gateway);

CREATE TABLE quarantine (                 -- blocks that cannot be taken as they are, kept for people and for replay
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway      uuid NOT NULL REFERENCES gateway,
    stream       text NOT NULL,
    epoch        bigint NOT NULL,
    number       bigint NOT NULL,
    block        bytea NOT NULL,
    reason       text NOT NULL,
    at           timestamptz NOT NULL DEFAULT now(),
    replayed_at  timestamptz
);
CREATE INDEX ON quarantine (gateway) WHERE replayed_at IS NULL;

-- Devices and what they say -----------------------------------------------------------------------------------------

CREATE TABLE device (
    id        int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway   uuid NOT NULL REFERENCES gateway,
    estate    int NOT NULL REFERENCES area,
    key       text NOT NULL,               -- the device's id in the box's site file
    name      text NOT NULL,
    kind      text NOT NULL,
    profile   text NOT NULL,
    bus       text NOT NULL,
    building  text NOT NULL DEFAULT '',
    unit      text NOT NULL DEFAULT '',
    floor     text NOT NULL DEFAULT '',
    spot      text NOT NULL DEFAULT '',
    commands  text[] NOT NULL DEFAULT '{}',
    active    boolean NOT NULL DEFAULT true,
    UNIQUE (gateway, key)
);
CREATE INDEX ON device (estate);

CREATE TABLE series (
    id             int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device         int NOT NULL REFERENCES device,
    point          text NOT NULL,
    lane           text NOT NULL CHECK (lane IN ('urgent', 'bulk')),
    stale_after_s  real NOT NULL,
    UNIQUE (device, point)
);

CREATE TABLE inventory (                  -- how a box counted its series; blocks name it
    gateway       uuid NOT NULL REFERENCES gateway,
    inventory_id  bigint NOT NULL,
    series        int[] NOT NULL,
    received_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (gateway, inventory_id)
);

CREATE TABLE latest_state (               -- the newest state of each urgent series, in the transaction of its row
    series   int PRIMARY KEY REFERENCES series,
    at       timestamptz NOT NULL,
    state    text,
    quality  smallint NOT NULL
) WITH (fillfactor = 70);

-- The newest readings of a box, in the transaction of their block: arrays of one length, by ascending series. NaN: no value.
-- One row a box, since a row a series would cost as much to move as the readings themselves cost to add.
CREATE TABLE latest_readings (
    gateway  uuid PRIMARY KEY,
    series   int[] NOT NULL,
    at       timestamptz[] NOT NULL,
    value    double precision[] NOT NULL,
    quality  smallint[] NOT NULL
);
ALTER TABLE latest_readings ALTER series SET STORAGE EXTERNAL, ALTER at SET STORAGE EXTERNAL,
    ALTER value SET STORAGE EXTERNAL, ALTER quality SET STORAGE EXTERNAL;  -- compressing them takes longer than writing them

CREATE VIEW latest AS                     -- the newest value of every series; ask for it by gateway
SELECT device.gateway, latest_state.series, latest_state.at, NULL::double precision AS value, latest_state.state, latest_state.quality
FROM latest_state JOIN series ON series.id = latest_state.series JOIN device ON device.id = series.device
UNION ALL
SELECT of_box.gateway, newest.series, newest.at, nullif(newest.value, 'NaN'), NULL, newest.quality
FROM latest_readings AS of_box,
     unnest(of_box.series, of_box.at, of_box.value, of_box.quality) AS newest (series, at, value, quality);

-- The three time series. No unique key: the cursor makes them exact, and a key would cost half the writing.
CREATE TABLE readings (series int NOT NULL, at timestamptz NOT NULL, value double precision NOT NULL, quality smallint NOT NULL);
CREATE INDEX readings_series_at ON readings (series, at) WITH (deduplicate_items = off);  -- hardly two entries are equal

CREATE TABLE states (series int NOT NULL, at timestamptz NOT NULL, value text, quality smallint NOT NULL);
CREATE INDEX states_series_at ON states (series, at);

CREATE TABLE events (device int NOT NULL, at timestamptz NOT NULL, point text NOT NULL, fields jsonb NOT NULL);
CREATE INDEX events_device_at ON events (device, at);

-- Alarms and commands -----------------------------------------------------------------------------------------------

CREATE TABLE alarm (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    rule        text NOT NULL,
    series      int NOT NULL REFERENCES series,
    device      int NOT NULL REFERENCES device,
    estate      int NOT NULL REFERENCES area,
    priority    text NOT NULL CHECK (priority IN ('critical', 'high', 'medium', 'low')),
    state       text NOT NULL CHECK (state IN ('NORM', 'UNACK', 'ACKED', 'RTNUN', 'SHLVD', 'DSUPR', 'OOSRV')),
    value       text NOT NULL,
    raised_at   timestamptz NOT NULL,      -- when the condition began, by the box's clock
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    acked_at    timestamptz,
    acked_by    int REFERENCES person,
    late        boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX alarm_active ON alarm (rule, series) WHERE state <> 'NORM';  -- one active alarm per rule and source
CREATE INDEX alarm_estate ON alarm (estate, state);
CREATE INDEX alarm_ended ON alarm (estate, changed_at) WHERE state = 'NORM';
CREATE VIEW series_now AS                 -- what each series says, and whether that can still be believed
SELECT series.device, series.id AS series, series.point, series.lane, coalesce(latest_state.at, number.at) AS at, number.value,
       latest_state.state, coalesce(latest_state.quality, number.quality) AS quality,
       coalesce(gateway_now.silent, true)
       OR (series.point <> 'link' AND link.state IS NOT DISTINCT FROM 'offline')
       OR coalesce(extract(epoch FROM now() - coalesce(latest_state.at, number.at)) > series.stale_after_s, false) AS stale
FROM series
JOIN device ON device.id = series.device
LEFT JOIN gateway_now ON gateway_now.id = device.gateway
LEFT JOIN latest_state ON latest_state.series = series.id
LEFT JOIN LATERAL (
    SELECT of_box.at[place.n] AS at, nullif(of_box.value[place.n], 'NaN') AS value, of_box.quality[place.n] AS quality
    FROM latest_readings AS of_box, array_position(of_box.series, series.id) AS place (n)
    WHERE of_box.gateway = device.gateway AND series.lane = 'bulk'
) AS number ON true
LEFT JOIN series AS link_series ON link_series.device = series.device AND link_series.point = 'link'
LEFT JOIN latest_state AS link ON link.series = link_series.id;

CREATE VIEW alarm_now AS                  -- an alarm as pages show it
SELECT alarm.id, alarm.rule, alarm.priority, alarm.state, alarm.value, alarm.raised_at, alarm.created_at, alarm.changed_at,
       alarm.acked_at, person.name AS acked_by, alarm.late, alarm.device, device.name AS device_name, device.kind,
       source.point, device.building, device.unit, device.floor, device.spot, alarm.estate AS estate_id,
       area.name AS estate, area.timezone, source.stale
FROM alarm
JOIN device ON device.id = alarm.device
JOIN series_now AS source ON source.series = alarm.series
JOIN area ON area.id = alarm.estate
LEFT JOIN person ON person.id = alarm.acked_by;

-- A device as pages show it, with its worst news. Nobody carries out a command of a device that is gone.
CREATE VIEW device_now AS
SELECT device.id, device.gateway, device.name, device.kind, device.profile, device.building, device.unit, device.floor, device.spot,
       CASE WHEN device.active AND gateway.revoked_at IS NULL THEN device.commands ELSE '{}' END AS commands,
       gateway.hostname, area.id AS estate_id, area.name AS estate, area.timezone, link.state AS link, link.at AS link_at,
       link.at IS NULL OR link.stale AS link_stale,
       (SELECT count(*) FROM alarm WHERE alarm.device = device.id AND alarm.state <> 'NORM') AS alarms
FROM device JOIN area ON area.id = device.estate JOIN gateway ON gateway.id = device.gateway
LEFT JOIN series_now AS link ON link.device = device.id AND link.point = 'link';

CREATE INDEX alarm_device ON alarm (device) WHERE state <> 'NORM';

CREATE TABLE alarm_transition (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alarm       uuid NOT NULL REFERENCES alarm,
    at          timestamptz NOT NULL,
    from_state  text NOT NULL,
    to_state    text NOT NULL,
    event       text NOT NULL,
    person      int REFERENCES person,
    who         text NOT NULL,
    why         text NOT NULL DEFAULT ''
);
CREATE INDEX ON alarm_transition (alarm);

CREATE TABLE command (
    id           uuid PRIMARY KEY,
    gateway      uuid NOT NULL REFERENCES gateway,
    device       int NOT NULL REFERENCES device,
    point        text NOT NULL,
    args         jsonb NOT NULL,
    not_after    timestamptz NOT NULL,
    status       text NOT NULL,
    reason       text NOT NULL DEFAULT '',
    person       int REFERENCES person,
    who          text NOT NULL,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    sent_at      timestamptz,
    answered_at  timestamptz
);
CREATE INDEX command_waiting ON command (gateway) WHERE status IN ('queued', 'sent');
CREATE INDEX ON command (device, at);

-- History is added to, never rewritten.
CREATE FUNCTION refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% keeps history: rows are added, never changed or removed', TG_TABLE_NAME;
END $$;
CREATE TRIGGER audit_is_history BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER transition_is_history BEFORE UPDATE OR DELETE ON alarm_transition FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
