-- name: update
-- Begins and ends floods by how many alarms came to people within ten minutes.
WITH present AS (
    SELECT coalesce($1::timestamptz, clock_timestamp()) AS at
), counted AS (
    SELECT estate, count(*) AS alarms FROM alarm, present
    WHERE announced_at > present.at - $2::interval AND announced_at <= present.at GROUP BY estate
), begun AS (
    INSERT INTO flood (estate, since) SELECT estate, present.at FROM counted, present WHERE alarms > $3
    ON CONFLICT (estate) DO UPDATE SET since = EXCLUDED.since, ended_at = NULL WHERE flood.ended_at IS NOT NULL
    RETURNING estate
), ended AS (
    UPDATE flood SET ended_at = present.at FROM present
    WHERE ended_at IS NULL AND coalesce((SELECT alarms FROM counted WHERE counted.estate = flood.estate), 0) < $4
    RETURNING estate
)
SELECT estate, true AS stands FROM begun UNION ALL SELECT estate, false FROM ended

-- name: standing
-- Which of these estates are in a flood, and since when.
SELECT estate, since FROM flood WHERE ended_at IS NULL AND estate = ANY($1)

-- name: times
-- When alarms came to people in these estates.
SELECT announced_at FROM alarm WHERE announced_at > $2 AND announced_at <= $3 AND estate = ANY($1)
ORDER BY announced_at DESC LIMIT $4

-- name: places
-- Where the alarms of a time are, the worst place first.
SELECT area.name AS estate, coalesce(device.building, '') AS building, count(*) AS alarms
FROM alarm JOIN area ON area.id = alarm.estate LEFT JOIN device ON device.id = alarm.device
WHERE announced_at > $2 AND announced_at <= $3 AND alarm.estate = ANY($1)
GROUP BY alarm.estate, area.name, 2 ORDER BY alarms DESC, area.name, 2

-- name: grouped
-- What people have to see to now, by place; not what is held from them.
SELECT alarm.estate AS estate_id, area.name AS estate, coalesce(device.building, '') AS building, coalesce(device.unit, '') AS unit,
       count(*) FILTER (WHERE priority = 'critical') AS critical, count(*) FILTER (WHERE priority = 'high') AS high,
       count(*) FILTER (WHERE priority = 'medium') AS medium, count(*) FILTER (WHERE priority = 'low') AS low, count(*) AS alarms
FROM alarm JOIN area ON area.id = alarm.estate LEFT JOIN device ON device.id = alarm.device
WHERE alarm.estate = ANY($1) AND alarm.state IN ('UNACK', 'ACKED', 'RTNUN')
GROUP BY alarm.estate, area.name, 3, 4 ORDER BY critical DESC, high DESC, alarms DESC, area.name, 3, 4 LIMIT $2

-- name: clock
-- The clock that all of this goes by.
SELECT clock_timestamp()
