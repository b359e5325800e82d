-- name: search
-- The devices a person may see whose name, key, place or kind has every word, with their worst news: link and active alarms.
-- $2 are the words' patterns, $3 and $4 kinds and their words.
SELECT device_now.* FROM device_now JOIN device ON device.id = device_now.id JOIN area ON area.id = device.estate
LEFT JOIN unnest($3::text[], $4::text[]) AS words(kind, words) ON words.kind = device.kind
WHERE device.active AND device.estate = ANY($1)
  AND concat_ws(' ', device.name, device.key, area.name, nullif(device.building, '') || '号楼', 'building ' || nullif(device.building, ''),
                nullif(device.unit, '') || '单元', 'unit ' || nullif(device.unit, ''), nullif(device.floor, '') || '层',
                'floor ' || nullif(device.floor, ''), device.spot, device.kind, words.words) ILIKE ALL($2::text[])
ORDER BY area.name, device.building, device.unit, device.floor, device.name, device.id LIMIT $5

-- name: get
-- One device, with the same columns as search.
SELECT device_now.* FROM device_now JOIN device ON device.id = device_now.id
WHERE device.id = $1 AND device.estate = ANY($2)

-- name: among
-- Which of these devices are in these estates.
SELECT id FROM device WHERE id = ANY($1) AND estate = ANY($2)

-- name: points
-- What devices say now, and whether that can still be believed.
SELECT device, series, point, lane, at, value, state, quality, stale
FROM series_now WHERE device = ANY($1) ORDER BY device, point

-- name: doors_near
-- Doors that a person at a place of an estate may want to open, the nearest first, with the same columns as search.
SELECT device_now.* FROM device_now JOIN device ON device.id = device_now.id JOIN gateway ON gateway.id = device.gateway
WHERE device.estate = $1 AND device.estate = ANY($4) AND device.active AND gateway.revoked_at IS NULL
  AND (device.kind = 'door' AND 'unlock' = ANY(device.commands) OR device.kind = 'vehicle_gate' AND 'open' = ANY(device.commands))
ORDER BY device.building = $2 DESC, device.unit = $3 DESC, device.building, device.unit LIMIT 6

-- name: chart
-- A series between two times in buckets of $4: least, most, mean and count of good readings. A bucket without any is missing.
SELECT extract(epoch FROM date_bin($4, at, 'epoch'))::float8 AS t, min(value) AS min, max(value) AS max, avg(value) AS mean, count(*) AS count
FROM readings WHERE series = $1 AND at >= $2 AND at < $3 AND quality = 0
GROUP BY 1 ORDER BY 1

-- name: series_of
-- The series of a device's point.
SELECT id, stale_after_s FROM series WHERE device = $1 AND point = $2

-- name: recent_states
-- What changed at a device lately: of each of its series no more than are asked for, as they are repeated for years.
SELECT lately.at, series.point, lately.value, lately.quality
FROM series CROSS JOIN LATERAL (
    SELECT at, value, quality FROM states WHERE states.series = series.id AND at >= $2 ORDER BY at DESC LIMIT $3
) AS lately
WHERE series.device = $1 AND series.lane = 'urgent' ORDER BY lately.at DESC LIMIT $3

-- name: recent_events
-- What happened at a device lately.
SELECT at, point, fields FROM events WHERE device = $1 AND at >= $2 ORDER BY at DESC LIMIT $3

-- name: names_beside
-- What devices of the same box as one are called, by the ids that the box has for them.
SELECT other.key, other.name FROM device JOIN device AS other ON other.gateway = device.gateway
WHERE device.id = $1 AND other.key = ANY($2::text[])
