-- name: put_plan
-- One more version of a plan.
INSERT INTO plan (estate, name, version, body, person, who)
SELECT $1, $2, coalesce(max(version), 0) + 1, $3, $4, $5 FROM plan WHERE estate = $1 AND name = $2
RETURNING version

-- name: list_plans
-- The newest version of each plan of these estates.
SELECT DISTINCT ON (area.name, plan.estate, plan.name) plan.estate AS estate_id, area.name AS estate, plan.name, plan.version,
       plan.body, plan.who, plan.at
FROM plan JOIN area ON area.id = plan.estate WHERE plan.estate = ANY($1)
ORDER BY area.name, plan.estate, plan.name, plan.version DESC LIMIT 200

-- name: get_plan
-- One plan, in its newest version or in that which is asked for, by the same columns.
SELECT plan.estate AS estate_id, area.name AS estate, plan.name, plan.version, plan.body, plan.who, plan.at
FROM plan JOIN area ON area.id = plan.estate
WHERE plan.estate = $1 AND plan.name = $2 AND version = coalesce($3, version) ORDER BY version DESC LIMIT 1

-- name: known_devices
-- Those of these devices that are in an estate.
SELECT id, kind, commands FROM device_now WHERE estate_id = $1 AND id = ANY($2)

-- name: known_channels
-- The channels in use at an estate or above it.
SELECT channel.id, channel.name FROM area AS estate
JOIN channel ON channel.area = ANY(string_to_array(trim(BOTH '/' FROM estate.path), '/')::int[]) AND channel.active
WHERE estate.id = $1

-- name: known_people
-- Who has these logins and may log in.
SELECT id, login FROM person WHERE login = ANY($1) AND NOT disabled

-- name: start
-- A mobilisation; nothing where the same one is running.
INSERT INTO mobilisation (estate, plan, plan_version, drill, incident, person, who, started_at, ends_at)
SELECT $1, $2, $3, $4, $5, $6, $7, at, at + $8 FROM (SELECT coalesce($9::timestamptz, clock_timestamp()) AS at) AS now
ON CONFLICT (estate, plan, drill) WHERE ended_at IS NULL DO NOTHING RETURNING id, started_at

-- name: running
-- The mobilisation of a plan that is running.
SELECT id FROM mobilisation WHERE estate = $1 AND plan = $2 AND drill = $3 AND ended_at IS NULL

-- name: put_calls
-- Who is called.
INSERT INTO mobilisation_call (mobilisation, person) SELECT $1, unnest($2::int[]) ON CONFLICT DO NOTHING

-- name: put_orders
-- What was asked of devices.
INSERT INTO mobilisation_order (mobilisation, device, point, command, problem)
SELECT $1, * FROM unnest($2::int[], $3::text[], $4::uuid[], $5::text[]) ON CONFLICT DO NOTHING

-- name: lock
-- A mobilisation that somebody acts on, locked.
SELECT id, estate, plan, drill, ended_at FROM mobilisation WHERE id = $1 FOR UPDATE

-- name: lock_due
-- Mobilisations that end by themselves now, by the same columns; those that another process handles are passed over.
SELECT id, estate, plan, drill, ended_at FROM mobilisation
WHERE ended_at IS NULL AND ends_at <= coalesce($2::timestamptz, clock_timestamp()) ORDER BY ends_at LIMIT $1 FOR UPDATE SKIP LOCKED

-- name: end
-- They are over.
UPDATE mobilisation SET ended_at = coalesce($2::timestamptz, clock_timestamp()), ended_by = $3 WHERE id = ANY($1) AND ended_at IS NULL

-- name: is_called
-- Whether a person was called.
SELECT true FROM mobilisation_call WHERE mobilisation = $1 AND person = $2

-- name: put_answer
-- A person's answer; the newest counts.
INSERT INTO mobilisation_answer (mobilisation, person, answer, at, entered_by, who)
VALUES ($1, $2, $3, coalesce($4::timestamptz, clock_timestamp()), $5, $6)

-- name: get
-- One mobilisation: of these estates, or one to which a person ($3) was called.
SELECT mobilisation.id, mobilisation.estate AS estate_id, area.name AS estate, mobilisation.plan, plan.body, drill, incident,
       mobilisation.who, started_at, ends_at, ended_at, ended_by
FROM mobilisation JOIN area ON area.id = mobilisation.estate
JOIN plan ON plan.estate = mobilisation.estate AND plan.name = mobilisation.plan AND plan.version = mobilisation.plan_version
WHERE mobilisation.id = $1 AND (mobilisation.estate = ANY($2)
      OR EXISTS (SELECT FROM mobilisation_call WHERE mobilisation = mobilisation.id AND person = $3))

-- name: list_recent
-- The newest mobilisations of these estates, those that run first, by the same columns.
SELECT mobilisation.id, mobilisation.estate AS estate_id, area.name AS estate, mobilisation.plan, plan.body, drill, incident,
       mobilisation.who, started_at, ends_at, ended_at, ended_by
FROM mobilisation JOIN area ON area.id = mobilisation.estate
JOIN plan ON plan.estate = mobilisation.estate AND plan.name = mobilisation.plan AND plan.version = mobilisation.plan_version
WHERE mobilisation.estate = ANY($1) ORDER BY ended_at IS NOT NULL, started_at DESC LIMIT $2

-- name: roll
-- Who was called, with the newest answer of each.
SELECT person.id AS person, person.name, last.answer, last.at, last.who, last.entered_by IS DISTINCT FROM person.id AS by_other
FROM mobilisation_call JOIN person ON person.id = mobilisation_call.person
LEFT JOIN LATERAL (
    SELECT answer, at, who, entered_by FROM mobilisation_answer
    WHERE mobilisation = $1 AND mobilisation_answer.person = mobilisation_call.person ORDER BY id DESC LIMIT 1
) AS last ON true
WHERE mobilisation_call.mobilisation = $1 ORDER BY person.name, person.id

-- name: orders
-- What was asked of devices, and their answers.
SELECT device.id AS device, device.name, device.kind, device.building, device.unit, device.floor, device.spot, mobilisation_order.point,
       coalesce(command.status, '') AS status, coalesce(nullif(command.reason, ''), mobilisation_order.problem) AS reason,
       command.answered_at
FROM mobilisation_order JOIN device ON device.id = mobilisation_order.device LEFT JOIN command ON command.id = mobilisation_order.command
WHERE mobilisation = $1 ORDER BY device.building, device.unit, device.name, device.id

-- name: wanted
-- Which of these mobilisations are running. Who ends one waits for this transaction.
SELECT id FROM mobilisation WHERE id = ANY($1) AND ended_at IS NULL FOR SHARE
