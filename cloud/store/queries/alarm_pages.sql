-- name: active
-- What wants a person now, the worst and oldest first.
SELECT alarm_now.*, alarm.drill IS NOT NULL AS drill,
       (SELECT count(*) FROM alarm AS under WHERE under.cause = alarm_now.id AND under.state = 'DSUPR') AS beneath
FROM alarm_now JOIN alarm USING (id)
WHERE alarm.state IN ('UNACK', 'ACKED', 'RTNUN') AND alarm.estate = ANY($1)
ORDER BY array_position(ARRAY['critical', 'high', 'medium', 'low'], alarm.priority), alarm.raised_at, alarm.id LIMIT $2

-- name: held
-- What is kept from people, first what one of them holds; which ones is found before all that is said of them.
SELECT alarm_now.*, alarm.drill IS NOT NULL AS drill, 0 AS beneath FROM alarm_now JOIN alarm USING (id)
WHERE alarm.id = ANY(ARRAY(SELECT id FROM alarm WHERE state IN ('SHLVD', 'OOSRV', 'DSUPR') AND estate = ANY($1)
                           ORDER BY state = 'DSUPR', hold_until, raised_at, id LIMIT $2))
ORDER BY alarm.state = 'DSUPR', alarm.hold_until, alarm.raised_at, alarm.id

-- name: count_held
-- How many are kept from people.
SELECT count(*) FROM alarm WHERE state IN ('SHLVD', 'OOSRV', 'DSUPR') AND estate = ANY($1)

-- name: ended
-- Alarms that are over, the newest first; which ones is found before all that is said of them is put together.
SELECT alarm_now.*, alarm.drill IS NOT NULL AS drill, 0 AS beneath FROM alarm_now JOIN alarm USING (id)
WHERE alarm.id = ANY(ARRAY(SELECT id FROM alarm WHERE state = 'NORM' AND estate = ANY($1) ORDER BY changed_at DESC LIMIT $2))
ORDER BY alarm.changed_at DESC

-- name: get
-- One alarm, active or past.
SELECT alarm_now.*, alarm.drill IS NOT NULL AS drill,
       (SELECT count(*) FROM alarm AS under WHERE under.cause = alarm_now.id AND under.state = 'DSUPR') AS beneath
FROM alarm_now JOIN alarm USING (id) WHERE alarm.id = $1 AND alarm.estate = ANY($2)

-- name: beneath
-- What an alarm suppresses, by place.
SELECT alarm_now.*, alarm.drill IS NOT NULL AS drill, 0 AS beneath
FROM alarm_now JOIN alarm USING (id) WHERE alarm.cause = $1 AND alarm.state = 'DSUPR' AND alarm.estate = ANY($2)
ORDER BY alarm_now.building, alarm_now.unit, alarm_now.floor, alarm_now.device_name, alarm.id LIMIT $3

-- name: history
-- Every transition of an alarm.
SELECT at, from_state, to_state, event, person, who, why FROM alarm_transition WHERE alarm = $1 ORDER BY id

-- name: comments
-- What people wrote about an alarm.
SELECT at, person, who, text FROM alarm_comment WHERE alarm = $1 ORDER BY id

-- name: who_may
-- Who has one of some roles at an estate, by name.
SELECT person.id, person.name, min(person_grant.role) AS role
FROM area AS estate
JOIN area AS node ON starts_with(estate.path, node.path)
JOIN person_grant ON person_grant.area = node.id
JOIN person ON person.id = person_grant.person
WHERE estate.id = $1 AND person_grant.role = ANY($2) AND NOT person.disabled
GROUP BY person.id ORDER BY person.name, person.id LIMIT $3

-- name: area_names
-- What areas are called.
SELECT id, name FROM area WHERE id = ANY($1)

-- name: device_names
-- What devices are called.
SELECT id, name FROM device WHERE id = ANY($1)

-- name: estates_beyond
-- Where all other estates lie than these.
SELECT path FROM area WHERE level = 'estate' AND id <> ALL($1)

-- name: time
-- The clock that alarms go by.
SELECT clock_timestamp()
