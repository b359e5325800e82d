-- Rules with versions, alarms about anything (not only a series), what holds them, and the rules' memory with its due rows.

CREATE TABLE rule (                        -- every version of every rule that ever was; the newest counts
    name      text NOT NULL,
    version   int NOT NULL,
    origin    text NOT NULL CHECK (origin IN ('pack', 'person')),
    body      jsonb,                       -- the rule (cloud/alarms/rules/model.py); NULL: from now on there is none
    person    int REFERENCES person,
    who       text NOT NULL,
    why       text NOT NULL DEFAULT '',
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (name, version)
);
CREATE TRIGGER rule_is_history BEFORE UPDATE OR DELETE ON rule FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();

DROP VIEW alarm_now;

ALTER TABLE alarm
    ALTER series DROP NOT NULL,
    ALTER device DROP NOT NULL,
    ADD source        text,                -- what it is about: 'series:12', 'gateway:<id>', 'device:<id>/<event>', 'bus:<id>/<bus>', 'place:<estate>/<building>/<unit>'
    ADD gateway       uuid REFERENCES gateway,
    ADD rule_version  int NOT NULL DEFAULT 0,
    ADD holds         boolean,             -- whether the condition holds, whatever the state says
    ADD stage         smallint NOT NULL DEFAULT 1,
    ADD announced_at  timestamptz,         -- when somebody was to be told for the first time
    ADD hold_until    timestamptz,         -- SHLVD, OOSRV: it ends by itself then
    ADD hold_why      text NOT NULL DEFAULT '',
    ADD held_by       int REFERENCES person,
    ADD cause         uuid REFERENCES alarm,  -- DSUPR: the alarm that says why
    ADD assignee      int REFERENCES person,
    ADD label         text CHECK (label IN ('real', 'false', 'test', 'unknown')),
    ADD repeats       int NOT NULL DEFAULT 0,  -- how often it came again while it stood
    ADD chattering    boolean NOT NULL DEFAULT false,  -- three times in a minute: it ends only after a minute without
    ADD clears_at     timestamptz,         -- chattering: its condition is over, and it ends then unless that comes again
    ADD warn_at       timestamptz,         -- SHLVD: when to say that it ends soon; NULL once that is done
    ADD due_at        timestamptz GENERATED ALWAYS AS (least(hold_until, warn_at, clears_at)) STORED,
    ADD ended_at      timestamptz;
UPDATE alarm SET source = 'series:' || series, holds = state IN ('UNACK', 'ACKED'),
    gateway = (SELECT gateway FROM device WHERE device.id = alarm.device),
    announced_at = CASE WHEN late THEN NULL ELSE created_at END,
    ended_at = CASE WHEN state = 'NORM' THEN changed_at END;
ALTER TABLE alarm ALTER source SET NOT NULL, ALTER holds SET NOT NULL;
DROP INDEX alarm_active;
CREATE UNIQUE INDEX alarm_active ON alarm (rule, source) WHERE state <> 'NORM';  -- one active alarm per rule and source
CREATE INDEX alarm_due ON alarm (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX alarm_beneath ON alarm (cause) WHERE cause IS NOT NULL AND state <> 'NORM';
CREATE INDEX alarm_gateway ON alarm (gateway) WHERE state <> 'NORM';

CREATE TABLE alarm_comment (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alarm   uuid NOT NULL REFERENCES alarm,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    person  int REFERENCES person,
    who     text NOT NULL,
    text    text NOT NULL CHECK (length(text) BETWEEN 1 AND 2000)
);
CREATE INDEX ON alarm_comment (alarm);
CREATE TRIGGER comment_is_history BEFORE UPDATE OR DELETE ON alarm_comment FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();

CREATE TABLE condition (                   -- what a rule remembers of a source that is not at rest; who is at rest has no row
    rule     text NOT NULL,
    source   text NOT NULL,
    gateway  uuid,                         -- whose box; NULL for what is not behind one
    bulk     boolean NOT NULL DEFAULT false,  -- moved by readings, so by who has the box's bulk cursor
    stage    smallint NOT NULL DEFAULT 0,  -- the stage that holds, 0: none
    pending  smallint,                     -- the stage that will hold at due_at if nothing comes between; 0: it will clear
    since    timestamptz,                  -- when what is pending began
    due_at   timestamptz,
    memory   jsonb NOT NULL DEFAULT '{}',  -- of rates and counts
    PRIMARY KEY (rule, source)
) WITH (fillfactor = 70);
CREATE INDEX condition_due ON condition (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX condition_bulk ON condition (gateway) WHERE bulk;
INSERT INTO condition (rule, source, gateway, stage, memory)
    SELECT rule, source, gateway, 1, '{"raw": 1}' FROM alarm WHERE holds;  -- so that what holds already can clear

CREATE VIEW alarm_now AS                   -- an alarm as pages show it
SELECT alarm.id, alarm.rule, alarm.rule_version, alarm.priority, alarm.state, alarm.holds, alarm.stage, alarm.value, alarm.raised_at, alarm.created_at,
       alarm.changed_at, alarm.ended_at, alarm.acked_at, person.name AS acked_by, alarm.acked_by AS acked_by_id, alarm.late, alarm.source, alarm.gateway, alarm.device,
       coalesce(device.name, gateway.hostname, '') AS device_name, coalesce(device.kind, CASE WHEN alarm.gateway IS NOT NULL THEN 'gateway' ELSE '' END) AS kind,
       coalesce(series_now.point, CASE WHEN alarm.source LIKE 'device:%' THEN split_part(alarm.source, '/', 2) END) AS point, coalesce(device.building, '') AS building, coalesce(device.unit, '') AS unit, coalesce(device.floor, '') AS floor,
       coalesce(device.spot, '') AS spot, alarm.estate AS estate_id, area.name AS estate, area.timezone, coalesce(series_now.stale, false) AS stale,
       alarm.hold_until, alarm.hold_why, holder.name AS held_by, alarm.cause, assignee.name AS assignee, alarm.assignee AS assignee_id, alarm.label,
       alarm.repeats, alarm.chattering
FROM alarm
JOIN area ON area.id = alarm.estate
LEFT JOIN device ON device.id = alarm.device
LEFT JOIN gateway ON gateway.id = alarm.gateway
LEFT JOIN series_now ON series_now.series = alarm.series
LEFT JOIN person ON person.id = alarm.acked_by
LEFT JOIN person AS holder ON holder.id = alarm.held_by
LEFT JOIN person AS assignee ON assignee.id = alarm.assignee;

ALTER TABLE person_grant DROP CONSTRAINT person_grant_role_check,
    ADD CONSTRAINT person_grant_role_check
        CHECK (role IN ('admin', 'supervisor', 'manager', 'operator', 'grid_worker', 'installer', 'auditor'));
