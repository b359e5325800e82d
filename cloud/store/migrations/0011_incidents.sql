-- Incidents from their report to their review, plans, and mobilisations that follow a plan.

CREATE TABLE incident (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    number       int GENERATED ALWAYS AS IDENTITY UNIQUE,  -- what people call it by radio
    estate       int NOT NULL REFERENCES area,
    kind         text NOT NULL CHECK (kind IN ('fire', 'water', 'person', 'security', 'facility', 'other')),
    priority     text NOT NULL CHECK (priority IN ('critical', 'high', 'medium', 'low')),
    state        text NOT NULL
        CHECK (state IN ('reported', 'dispatched', 'declined', 'accepted', 'arrived', 'resolved', 'reviewed', 'cancelled')),
    building     text NOT NULL DEFAULT '',
    unit         text NOT NULL DEFAULT '',
    floor        text NOT NULL DEFAULT '',
    spot         text NOT NULL DEFAULT '',
    words        text NOT NULL CHECK (length(words) <= 500),
    reporter     text NOT NULL CHECK (reporter IN ('alarm', 'guard', 'grid_worker', 'resident')),
    person       int REFERENCES person,    -- who entered it
    who          text NOT NULL,
    assignee     int REFERENCES person,    -- who was sent, goes, or is there
    rung         smallint NOT NULL,        -- how far up people were told that the next step is missing
    wants        boolean NOT NULL,         -- somebody was told and has not done the next step: messages may still leave
    label        text CHECK (label IN ('real', 'false', 'test', 'unknown')),
    reported_at  timestamptz NOT NULL,
    changed_at   timestamptz NOT NULL,     -- when its state was reached
    due_at       timestamptz               -- when the next one is told
);
CREATE INDEX incident_due ON incident (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX incident_active ON incident (estate) WHERE state NOT IN ('reviewed', 'cancelled');
CREATE INDEX incident_over ON incident (estate, changed_at) WHERE state IN ('reviewed', 'cancelled');
CREATE INDEX incident_assignee ON incident (assignee) WHERE state NOT IN ('resolved', 'reviewed', 'cancelled');

CREATE TABLE incident_caller (             -- personal: read only with a line in the audit log
    incident  uuid PRIMARY KEY REFERENCES incident,
    name      text NOT NULL,
    phone     text NOT NULL
);

CREATE TABLE incident_alarm (
    incident  uuid NOT NULL REFERENCES incident,
    alarm     uuid NOT NULL REFERENCES alarm,
    is_open   boolean NOT NULL DEFAULT true,  -- as the incident is
    PRIMARY KEY (incident, alarm)
);
CREATE UNIQUE INDEX incident_of_alarm ON incident_alarm (alarm) WHERE is_open;  -- one open incident an alarm

CREATE TABLE incident_step (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident    uuid NOT NULL REFERENCES incident,
    at          timestamptz NOT NULL,
    act         text NOT NULL,             -- 'report', an act of cloud/incidents/machine.py, 'escalate', 'join', 'comment'
    from_state  text NOT NULL,
    to_state    text NOT NULL,
    person      int REFERENCES person,
    who         text NOT NULL,
    assignee    int REFERENCES person,     -- who has it from now on
    limit_s     int,                       -- the limit that runs from now on, where the state changed
    told        int[] NOT NULL DEFAULT '{}',  -- who was told
    why         text NOT NULL DEFAULT '' CHECK (length(why) <= 2000)
);
CREATE INDEX ON incident_step (incident, id);
CREATE TRIGGER step_is_history BEFORE UPDATE OR DELETE ON incident_step FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();

CREATE VIEW incident_now AS               -- an incident as pages show it
SELECT incident.id, incident.number, incident.kind, incident.priority, incident.state, incident.building, incident.unit,
       incident.floor, incident.spot, incident.words, incident.reporter, incident.person, incident.who, incident.assignee,
       assignee.name AS assignee_name, incident.rung, incident.label, incident.reported_at, incident.changed_at,
       last.limit_s, incident.estate AS estate_id, area.name AS estate, area.timezone,
       EXISTS (SELECT FROM incident_caller WHERE incident_caller.incident = incident.id) AS has_caller
FROM incident
JOIN area ON area.id = incident.estate
LEFT JOIN person AS assignee ON assignee.id = incident.assignee
LEFT JOIN LATERAL (
    SELECT limit_s FROM incident_step WHERE incident_step.incident = incident.id AND limit_s IS NOT NULL ORDER BY id DESC LIMIT 1
) AS last ON true;

CREATE TABLE plan (                        -- every version of every plan that ever was; the newest counts
    estate   int NOT NULL REFERENCES area,
    name     text NOT NULL,
    version  int NOT NULL,
    body     jsonb NOT NULL,               -- cloud/incidents/plan.py
    person   int REFERENCES person,
    who      text NOT NULL,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (estate, name, version)
);
CREATE TRIGGER plan_is_history BEFORE UPDATE OR DELETE ON plan FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();

CREATE TABLE mobilisation (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    estate        int NOT NULL REFERENCES area,
    plan          text NOT NULL,
    plan_version  int NOT NULL,
    drill         boolean NOT NULL,
    incident      uuid REFERENCES incident,
    person        int REFERENCES person,
    who           text NOT NULL,
    started_at    timestamptz NOT NULL,
    ends_at       timestamptz NOT NULL,    -- by itself, where nobody ends it before
    ended_at      timestamptz,
    ended_by      text,                    -- a name; 'system': by itself
    FOREIGN KEY (estate, plan, plan_version) REFERENCES plan
);
-- A second press starts nothing; a fire during a drill does.
CREATE UNIQUE INDEX mobilisation_running ON mobilisation (estate, plan, drill) WHERE ended_at IS NULL;
CREATE INDEX mobilisation_due ON mobilisation (ends_at) WHERE ended_at IS NULL;
CREATE INDEX ON mobilisation (estate, started_at);
CREATE INDEX ON mobilisation (incident) WHERE incident IS NOT NULL;

CREATE TABLE mobilisation_call (
    mobilisation  uuid NOT NULL REFERENCES mobilisation,
    person        int NOT NULL REFERENCES person,
    PRIMARY KEY (mobilisation, person)
);

CREATE TABLE mobilisation_answer (         -- every answer; the newest of a person counts
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    mobilisation  uuid NOT NULL REFERENCES mobilisation,
    person        int NOT NULL REFERENCES person,
    answer        text NOT NULL CHECK (answer IN ('coming', 'there', 'cannot')),
    at            timestamptz NOT NULL,
    entered_by    int REFERENCES person,   -- who entered it: somebody who was called by telephone has no hand free
    who           text NOT NULL,
    FOREIGN KEY (mobilisation, person) REFERENCES mobilisation_call
);
CREATE INDEX ON mobilisation_answer (mobilisation, person, id);
CREATE TRIGGER answer_is_history BEFORE UPDATE OR DELETE ON mobilisation_answer FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();

CREATE TABLE mobilisation_order (          -- what was asked of doors and displays
    mobilisation  uuid NOT NULL REFERENCES mobilisation,
    device        int NOT NULL REFERENCES device,
    point         text NOT NULL,
    command       uuid REFERENCES command, -- its answer stands there; NULL: it could not be ordered
    problem       text NOT NULL DEFAULT '',
    PRIMARY KEY (mobilisation, device, point)
);
