-- name: put
-- A new incident; nothing where there is one of its id.
INSERT INTO incident (id, estate, kind, priority, state, building, unit, floor, spot, words, reporter, person, who, rung, wants,
                      reported_at, changed_at, due_at)
SELECT coalesce($15::uuid, gen_random_uuid()), $1, $2, $3, 'reported', $4, $5, $6, $7, $8, $9, $10, $11, $12, true, at, at, at + $14
FROM (SELECT coalesce($13::timestamptz, clock_timestamp()) AS at) AS now
ON CONFLICT (id) DO NOTHING RETURNING id, number, reported_at

-- name: put_caller
-- Who called, and away with those of incidents that have been over for 90 days.
WITH old AS (
    DELETE FROM incident_caller USING incident
    WHERE incident.id = incident_caller.incident AND incident.state IN ('reviewed', 'cancelled')
      AND incident.changed_at < coalesce($4::timestamptz, clock_timestamp()) - INTERVAL '90 days'
)
INSERT INTO incident_caller (incident, name, phone) VALUES ($1, $2, $3)

-- name: caller
-- Who called; the look at it is audited.
SELECT name, phone FROM incident_caller WHERE incident = $1

-- name: lock
-- One incident that a person acts on, locked.
SELECT id, number, estate, kind, priority, state, building, unit, floor, spot, words, person, assignee, rung, changed_at, due_at
FROM incident WHERE id = $1 FOR UPDATE

-- name: lock_due
-- Incidents whose next step is missing, by the same columns; those that another process handles are passed over.
SELECT id, number, estate, kind, priority, state, building, unit, floor, spot, words, person, assignee, rung, changed_at, due_at
FROM incident WHERE due_at <= coalesce($2::timestamptz, clock_timestamp())
ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED

-- name: now
-- What time it is, for all that a transaction decides about.
SELECT coalesce($1::timestamptz, clock_timestamp())

-- name: move
-- The incident's state from now on, who has it, and when the next one is told. Its alarms are as open as it is.
WITH moved AS (
    UPDATE incident SET state = $2, assignee = $3, rung = $4, wants = $5, changed_at = $6, due_at = $7, label = coalesce($8, label)
    WHERE id = $1 RETURNING id
)
UPDATE incident_alarm SET is_open = $9 FROM moved WHERE incident_alarm.incident = moved.id AND is_open <> $9

-- name: escalate
-- The next ones were told of these incidents.
UPDATE incident SET rung = told.rung, due_at = told.due_at, wants = true
FROM unnest($1::uuid[], $2::int[], $3::timestamptz[]) AS told (id, rung, due_at) WHERE incident.id = told.id

-- name: add_steps
-- Lines of the incidents' history.
INSERT INTO incident_step (incident, at, act, from_state, to_state, person, who, assignee, limit_s, told, why)
SELECT incident, at, act, from_state, to_state, person, who, assignee, limit_s, told::int[], why
FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::int[], $7::text[], $8::int[], $9::int[],
            $10::text[], $11::text[])
    AS step (incident, at, act, from_state, to_state, person, who, assignee, limit_s, told, why)

-- name: holders
-- Who holds one of these roles at one of these estates or above it, the nearest first; `depth` is greater the nearer.
SELECT estate.id AS estate, person_grant.role, node.level, length(node.path) AS depth, person.id AS person, person.name
FROM area AS estate
JOIN area AS node ON node.id = ANY(string_to_array(trim(BOTH '/' FROM estate.path), '/')::int[])
JOIN person_grant ON person_grant.area = node.id AND person_grant.role = ANY($2)
JOIN person ON person.id = person_grant.person AND NOT person.disabled
WHERE estate.id = ANY($1) ORDER BY estate.id, depth DESC, person.id LIMIT 5000

-- name: busy
-- How many open incidents each of these people has.
SELECT assignee, count(*) AS count FROM incident
WHERE assignee = ANY($1) AND state NOT IN ('resolved', 'reviewed', 'cancelled') GROUP BY assignee

-- name: declined
-- Who was sent and could not go, since the incident was opened last.
SELECT DISTINCT was FROM (
    SELECT id, act, lag(assignee) OVER (ORDER BY id) AS was, max(id) FILTER (WHERE act = 'reopen') OVER () AS reopened
    FROM incident_step WHERE incident = $1
) AS step WHERE act = 'decline' AND was IS NOT NULL AND id > coalesce(reopened, 0)

-- name: lock_alarm
-- The alarm that an incident starts from, locked, so that one is started of it.
SELECT alarm_now.id, alarm_now.rule, alarm_now.priority, alarm_now.kind, alarm_now.device_name, alarm_now.building, alarm_now.unit,
       alarm_now.floor, alarm_now.spot, alarm_now.estate_id AS estate
FROM (SELECT id FROM alarm WHERE id = $1 AND estate = ANY($2) FOR UPDATE) AS locked JOIN alarm_now ON alarm_now.id = locked.id

-- name: of_alarm
-- The open incident of an alarm.
SELECT incident FROM incident_alarm WHERE alarm = $1 AND is_open

-- name: join_alarm
-- One more alarm of an incident.
INSERT INTO incident_alarm (incident, alarm) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING alarm

-- name: taken_alarms
-- Those alarms of an incident that have another open one meanwhile.
SELECT mine.alarm FROM incident_alarm AS mine JOIN incident_alarm AS other ON other.alarm = mine.alarm AND other.is_open
WHERE mine.incident = $1 AND other.incident <> $1

-- name: alarms
-- The alarms of an incident.
SELECT alarm FROM incident_alarm WHERE incident = $1 ORDER BY alarm LIMIT 500

-- name: near_alarms
-- Active alarms of an incident's building that belong to no open incident.
SELECT alarm_now.id FROM incident JOIN alarm_now ON alarm_now.estate_id = incident.estate AND alarm_now.building = incident.building
WHERE incident.id = $1 AND incident.building <> '' AND alarm_now.state IN ('UNACK', 'ACKED', 'RTNUN')
  AND NOT EXISTS (SELECT FROM incident_alarm WHERE incident_alarm.alarm = alarm_now.id AND is_open)
ORDER BY alarm_now.unit = incident.unit DESC, alarm_now.raised_at DESC LIMIT 5

-- name: joinable
-- Open incidents at the place of an alarm: those that it probably belongs to.
SELECT incident_now.* FROM incident_now JOIN alarm_now ON alarm_now.id = $1 AND alarm_now.estate_id = incident_now.estate_id
WHERE incident_now.estate_id = ANY($2) AND incident_now.state NOT IN ('resolved', 'reviewed', 'cancelled')
ORDER BY incident_now.building = alarm_now.building DESC, incident_now.unit = alarm_now.unit DESC, incident_now.reported_at DESC LIMIT 5

-- name: list_active
-- Incidents that want somebody, the worst and oldest first; at the end those that are only to be reviewed.
SELECT * FROM incident_now WHERE state NOT IN ('reviewed', 'cancelled') AND estate_id = ANY($1)
ORDER BY state = 'resolved', array_position(ARRAY['critical', 'high', 'medium', 'low'], priority), reported_at, id LIMIT $2

-- name: list_over
-- Incidents that are over, the newest first; which ones is found before all that is said of them is put together.
SELECT incident_now.* FROM (
    SELECT id FROM incident WHERE state IN ('reviewed', 'cancelled') AND estate = ANY($1) ORDER BY changed_at DESC LIMIT $2
) AS newest JOIN incident_now USING (id) ORDER BY incident_now.changed_at DESC

-- name: get
-- One incident, open or over.
SELECT * FROM incident_now WHERE id = $1 AND estate_id = ANY($2)

-- name: steps
-- The newest lines of an incident's history, oldest first, with the names of who was told and who has it.
SELECT * FROM (
    SELECT incident_step.id, at, act, from_state, to_state, who, assignee.name AS assignee, limit_s, why,
           coalesce((SELECT array_agg(name ORDER BY name) FROM person WHERE person.id = ANY(told)), '{}') AS told
    FROM incident_step LEFT JOIN person AS assignee ON assignee.id = incident_step.assignee
    WHERE incident = $1 ORDER BY incident_step.id DESC LIMIT $2
) AS newest ORDER BY id

-- name: wanted
-- Which of these incidents still want somebody. Who answers waits for this transaction.
SELECT id FROM incident WHERE id = ANY($1) AND wants FOR SHARE
