-- name: lock_active
-- The active alarms of these rules and sources, locked.
SELECT id, rule, source, state, priority FROM alarm
WHERE state <> 'NORM' AND (rule, source) IN (SELECT * FROM unnest($1::text[], $2::text[])) ORDER BY id FOR UPDATE

-- name: lock_alarm
-- One alarm that a person acts on, locked.
SELECT id, rule, series, device, estate, state, priority FROM alarm WHERE id = $1 FOR UPDATE

-- name: raise
-- A new alarm.
INSERT INTO alarm (rule, source, series, device, gateway, estate, priority, state, holds, value, raised_at, announced_at, late, ended_at)
SELECT $1, 'series:' || $2::int, $2, $3, (SELECT gateway FROM device WHERE id = $3), $4, $5, $6, $6 IN ('UNACK', 'ACKED'), $7, $8,
       CASE WHEN NOT $9::boolean THEN clock_timestamp() END, $9, CASE WHEN $6 = 'NORM' THEN clock_timestamp() END RETURNING id

-- name: move
-- The alarm's state now.
UPDATE alarm SET state = $2, value = coalesce($3, value), changed_at = clock_timestamp(),
    holds = CASE WHEN $4::boolean THEN holds ELSE $2 IN ('UNACK', 'ACKED') END,
    ended_at = CASE WHEN $2 = 'NORM' THEN clock_timestamp() END,
    acked_at = CASE WHEN $4::boolean THEN clock_timestamp() WHEN $2 = 'UNACK' THEN NULL ELSE acked_at END,
    acked_by = CASE WHEN $4::boolean THEN $5 WHEN $2 = 'UNACK' THEN NULL ELSE acked_by END
WHERE id = $1

-- name: add_transition
-- One line of an alarm's history.
INSERT INTO alarm_transition (alarm, at, from_state, to_state, event, person, who, why)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)

-- name: list_active
-- What is wrong now, the worst and oldest first.
SELECT * FROM alarm_now WHERE state <> 'NORM' AND estate_id = ANY($1)
ORDER BY array_position(ARRAY['critical', 'high', 'medium', 'low'], priority), raised_at, id LIMIT $2

-- name: get
-- One alarm, active or past.
SELECT * FROM alarm_now WHERE id = $1 AND estate_id = ANY($2)

-- name: list_recent
-- Alarms that are over, the newest first; which ones is found before all that is said of them is put together.
SELECT alarm_now.* FROM (
    SELECT id FROM alarm WHERE state = 'NORM' AND estate = ANY($1) ORDER BY changed_at DESC LIMIT $2
) AS newest JOIN alarm_now USING (id) ORDER BY alarm_now.changed_at DESC

-- name: history
-- Every transition of an alarm.
SELECT at, from_state, to_state, event, person, who, why FROM alarm_transition WHERE alarm = $1 ORDER BY id

-- name: count_unacknowledged
-- What the state strip shows.
SELECT priority, count(*) AS count FROM alarm WHERE state IN ('UNACK', 'RTNUN') AND estate = ANY($1) GROUP BY priority
