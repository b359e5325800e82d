-- name: memory
-- A hundred thousand alarms are put together in memory, not on disk.
SELECT set_config('work_mem', '64MB', true)

-- name: facts
-- Each alarm's times: when it came to people (raised, come again, worse; not when an acknowledgement was taken back), when it was
-- acknowledged first, and when it was over. By the cloud's time: what a box tells late came to people late.
WITH chosen AS (
    SELECT id, rule, source, priority, label, created_at, announced_at FROM alarm
    WHERE estate = ANY($1) AND NOT late AND created_at < $3 AND (changed_at >= $2 OR state <> 'NORM')
    LIMIT $4
), steps AS (
    SELECT alarm,
           array_agg(greatest(at, created_at)) FILTER (
               WHERE to_state = 'UNACK' AND event <> 'undo' AND (from_state <> 'UNACK' OR event = 'worsen')
                 AND greatest(at, created_at) >= announced_at) AS annunciated,  -- not what was held back as it was raised
           min(at) FILTER (WHERE event = 'acknowledge') AS acknowledged_at,
           max(greatest(at, created_at)) FILTER (WHERE event IN ('clear', 'rule removed')) AS cleared_at,
           max(alarm_transition.id) FILTER (WHERE event IN ('clear', 'rule removed'))
               > coalesce(max(alarm_transition.id) FILTER (WHERE event = 'raise'), 0) AS is_over,
           bool_or(event = 'chattering') AS chattered
    FROM alarm_transition JOIN chosen ON chosen.id = alarm WHERE at < $3 GROUP BY alarm
)
SELECT rule, source, priority, label, coalesce(annunciated, '{}'), acknowledged_at, CASE WHEN is_over THEN cleared_at END, coalesce(chattered, false)
FROM chosen LEFT JOIN steps ON steps.alarm = chosen.id

-- name: holds
-- How often alarms were held back.
SELECT count(*) FILTER (WHERE to_state = 'DSUPR') AS suppressed, count(*) FILTER (WHERE to_state = 'SHLVD') AS shelved,
       count(*) FILTER (WHERE to_state = 'OOSRV') AS out_of_service
FROM alarm_transition JOIN alarm ON alarm.id = alarm_transition.alarm
WHERE alarm.estate = ANY($1) AND alarm_transition.at >= $2 AND alarm_transition.at < $3 AND to_state IN ('DSUPR', 'SHLVD', 'OOSRV')

-- name: names
-- What sources are called: a device with its place and point, a box, a bus of one; places say it themselves.
SELECT asked.source, CASE
           WHEN device.id IS NOT NULL THEN concat_ws(' ', area.name, nullif(device.building, ''), nullif(device.unit, ''), device.name,
                                                         coalesce(series.point, split_part(asked.source, '/', 2)))
           WHEN gateway.id IS NOT NULL THEN concat_ws(' ', area.name, gateway.hostname, CASE WHEN asked.source LIKE 'bus:%' THEN substr(asked.source, 42) END)
           ELSE asked.source END AS name
FROM unnest($1::text[]) AS asked (source)
LEFT JOIN series ON series.id = CASE WHEN asked.source ~ '^series:\d+$' THEN substr(asked.source, 8)::int END  -- a CASE: AND has no order
LEFT JOIN device ON device.id = CASE WHEN asked.source ~ '^device:\d+/' THEN split_part(substr(asked.source, 8), '/', 1)::int ELSE series.device END
LEFT JOIN gateway ON gateway.id = CASE WHEN asked.source ~ '^(gateway|bus):[0-9a-f-]{36}' THEN substring(asked.source FROM '[0-9a-f-]{36}')::uuid END
LEFT JOIN area ON area.id = coalesce(device.estate, gateway.estate)

-- name: estates
-- The estates beneath an area, or all.
SELECT DISTINCT estate.id FROM area AS estate JOIN area AS node ON starts_with(estate.path, node.path)
WHERE estate.level = 'estate' AND ($1::text IS NULL OR node.name = $1) ORDER BY 1
