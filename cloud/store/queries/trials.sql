-- name: estate
-- An estate by name: its id, where it lies, its time zone.
SELECT id, path, timezone AS zone FROM area WHERE level = 'estate' AND name = $1 ORDER BY id LIMIT 1

-- name: devices
-- The devices of an estate, with the series of each of these points that it has (events have none).
SELECT device.id AS device, device.name, device.kind, device.building, device.unit, device.floor, point.name AS point, series.id AS series
FROM device CROSS JOIN unnest($2::text[]) AS point (name)
LEFT JOIN series ON series.device = device.id AND series.point = point.name
WHERE device.estate = $1 ORDER BY device.building, device.unit, device.floor, device.name, device.id, point.name

-- name: readings
-- The good readings of a series between two times, in order.
SELECT at, value FROM readings WHERE series = $1 AND at >= $2 AND at < $3 AND quality = 0 ORDER BY at

-- name: states
-- What a series said before a time, and then until another, in order; nothing where it was lost or is not good.
(SELECT at, value, quality FROM states WHERE series = $1 AND at < $2 ORDER BY at DESC LIMIT 1)
UNION ALL
(SELECT at, value, quality FROM states WHERE series = $1 AND at >= $2 AND at < $3 ORDER BY at LIMIT $4)

-- name: events
-- Events of a device between two times, in order.
SELECT at, fields FROM events WHERE device = $1 AND point = $2 AND at >= $3 AND at < $4 ORDER BY at LIMIT $5
