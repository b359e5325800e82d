-- name: estate
-- An estate by its name.
SELECT id FROM area WHERE level = 'estate' AND name = $1 ORDER BY id LIMIT 1

-- name: recent
-- The newest alarms of an estate, active or over.
SELECT alarm.id, alarm.rule, alarm.priority, alarm.state, alarm.raised_at, alarm.created_at, alarm.changed_at,
       alarm.acked_at, person.name AS acked_by, alarm.late, coalesce(device.key, '') AS device, coalesce(device.name, alarm.source) AS name
FROM alarm LEFT JOIN device ON device.id = alarm.device LEFT JOIN person ON person.id = alarm.acked_by
WHERE alarm.estate = $1 ORDER BY alarm.created_at DESC LIMIT $2

-- name: transitions
-- What happened to these alarms.
SELECT alarm, at, from_state, to_state, event, who FROM alarm_transition WHERE alarm = ANY($1) ORDER BY id

-- name: commands
-- The newest commands to devices of an estate.
SELECT command.id, device.key AS device, command.point, command.args, command.status, command.reason, command.who,
       command.at, command.sent_at, command.answered_at
FROM command JOIN device ON device.id = command.device WHERE device.estate = $1 ORDER BY command.at DESC LIMIT $2

-- name: readings
-- The newest reading of each telemetry series of an estate.
SELECT device.key AS device, series.point, latest.at, latest.value
FROM latest JOIN series ON series.id = latest.series JOIN device ON device.id = series.device
WHERE latest.gateway = ANY(SELECT id FROM gateway WHERE estate = $1) AND device.estate = $1 AND series.lane = 'bulk'
ORDER BY 1, 2
