-- name: list_active
-- What is wrong now, the worst and oldest first.
SELECT * FROM alarm_now WHERE state <> 'NORM' AND estate_id = ANY($1)
ORDER BY array_position(ARRAY['critical', 'high', 'medium', 'low'], priority), raised_at, id LIMIT $2

-- name: get
-- One alarm, active or past.
SELECT * FROM alarm_now WHERE id = $1 AND estate_id = ANY($2)

-- name: list_recent
-- Alarms that are over, the newest first; which ones is found before all that is said of them is put together.
SELECT * FROM alarm_now
WHERE id = ANY(ARRAY(SELECT id FROM alarm WHERE state = 'NORM' AND estate = ANY($1) ORDER BY changed_at DESC LIMIT $2))
ORDER BY changed_at DESC

-- name: history
-- Every transition of an alarm.
SELECT at, from_state, to_state, event, person, who, why FROM alarm_transition WHERE alarm = $1 ORDER BY id

-- name: count_unacknowledged
-- What the state strip shows.
SELECT priority, count(*) AS count FROM alarm WHERE state IN ('UNACK', 'RTNUN') AND estate = ANY($1) GROUP BY priority
