-- name: time
-- The clock that all of this goes by.
SELECT clock_timestamp()

-- name: open
-- A maintenance window or a drill of an estate; none where devices or the box are not of that estate.
INSERT INTO maintenance (kind, estate, building, unit, devices, gateway, bus, from_at, until_at, why, person, who)
SELECT $1, $2, $3, $4, $5::int[], $6, $7, coalesce($8::timestamptz, clock_timestamp()), $9, $10, $11, $12
WHERE ($6::uuid IS NULL OR EXISTS (SELECT FROM gateway WHERE id = $6 AND estate = $2))
  AND NOT EXISTS (SELECT FROM unnest($5::int[]) AS asked (id) WHERE NOT EXISTS (
      SELECT FROM device WHERE device.id = asked.id AND device.estate = $2))
RETURNING id

-- name: count_open
-- How many of an estate are not over.
SELECT count(*) FROM maintenance WHERE estate = $1 AND ended_at IS NULL

-- name: standing
-- Windows and drills of these estates that stand or are to come, the first to end first.
SELECT id, kind, estate, building, unit, devices, gateway, bus, from_at, until_at, why, person, who, warned_at, ended_at
FROM maintenance WHERE estate = ANY($1) AND ended_at IS NULL AND until_at > coalesce($2::timestamptz, clock_timestamp())
ORDER BY until_at, id LIMIT $3

-- name: over
-- Windows and drills of these estates that are over, the newest first.
SELECT id, kind, estate, building, unit, devices, gateway, bus, from_at, until_at, why, person, who, warned_at, ended_at
FROM maintenance WHERE estate = ANY($1) AND ended_at IS NOT NULL ORDER BY ended_at DESC, id LIMIT $2

-- name: covering
-- Which windows and drills stand over these sources: by position and kind the one that ends last.
SELECT DISTINCT ON (asked.n, maintenance.kind) (asked.n - 1)::int AS position, maintenance.id, maintenance.kind, maintenance.until_at, maintenance.why
FROM unnest($1::int[], $2::uuid[], $3::int[], $4::text[], $5::text[], $6::text[])
     WITH ORDINALITY AS asked (estate, gateway, device, bus, building, unit, n)
LEFT JOIN device ON device.id = asked.device
JOIN maintenance ON maintenance.estate = asked.estate AND maintenance.ended_at IS NULL
WHERE maintenance.from_at <= coalesce($7::timestamptz, clock_timestamp())
  AND maintenance.until_at > coalesce($7::timestamptz, clock_timestamp())
  AND (maintenance.devices IS NULL OR asked.device = ANY(maintenance.devices))
  AND (maintenance.gateway IS NULL OR maintenance.gateway = coalesce(device.gateway, asked.gateway))
  AND (maintenance.bus IS NULL OR maintenance.bus = coalesce(device.bus, asked.bus))
  AND (maintenance.building IS NULL OR maintenance.building = coalesce(device.building, asked.building))
  AND (maintenance.unit IS NULL OR maintenance.unit = coalesce(device.unit, asked.unit))
ORDER BY asked.n, maintenance.kind, maintenance.until_at DESC

-- name: warn
-- Those that end soon, of which nobody was told; each is found once.
UPDATE maintenance SET warned_at = coalesce($2::timestamptz, clock_timestamp())
WHERE id IN (
    SELECT id FROM maintenance
    WHERE ended_at IS NULL AND warned_at IS NULL AND until_at <= coalesce($2::timestamptz, clock_timestamp()) + $3::interval
      AND from_at <= coalesce($2::timestamptz, clock_timestamp())
    ORDER BY until_at LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING id, kind, estate, building, unit, devices, gateway, bus, from_at, until_at, why, person, who, warned_at, ended_at

-- name: end_due
-- Those whose time is over; each is found once.
UPDATE maintenance SET ended_at = until_at, ended_who = coalesce(ended_who, 'system')
WHERE id IN (
    SELECT id FROM maintenance WHERE ended_at IS NULL AND until_at <= coalesce($2::timestamptz, clock_timestamp())
    ORDER BY until_at LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING id, kind, estate, building, unit, devices, gateway, bus, from_at, until_at, why, person, who, warned_at, ended_at, ended_who

-- name: end
-- A person ends one before its time: its time is over now, and what comes of that is seen to as ever. With the time it had before.
WITH found AS (
    SELECT id, until_at AS was_until, coalesce($5::timestamptz, clock_timestamp()) AS present FROM maintenance
    WHERE id = $1 AND estate = ANY($2) AND ended_at IS NULL AND until_at > coalesce($5::timestamptz, clock_timestamp()) FOR UPDATE
)
UPDATE maintenance SET until_at = present, from_at = least(from_at, present - INTERVAL '1 millisecond'), ended_by = $3, ended_who = $4
FROM found WHERE maintenance.id = found.id
RETURNING maintenance.kind, maintenance.estate, found.was_until, maintenance.why

-- name: let_go
-- What a window that was ended before its time kept out of service is out of it no longer than now.
UPDATE alarm SET hold_until = coalesce($3::timestamptz, clock_timestamp())
WHERE state = 'OOSRV' AND held_by IS NULL AND estate = $1 AND hold_until = $2

-- name: mark_drill
-- These alarms were raised in a drill.
UPDATE alarm SET drill = marked.drill, label = 'test'
FROM unnest($1::uuid[], $2::uuid[]) AS marked (alarm, drill) WHERE alarm.id = marked.alarm AND alarm.drill IS NULL RETURNING alarm.id

-- name: unmark_drill
-- What still holds when its drill is over is no drill any more.
UPDATE alarm SET drill = NULL, label = CASE WHEN label <> 'test' THEN label END
WHERE drill = ANY($1) AND holds AND state <> 'NORM' RETURNING id, state, estate

-- name: note
-- What people should know of these alarms beside what is wrong.
INSERT INTO alarm_comment (alarm, at, who, text)
SELECT alarm, coalesce($3::timestamptz, clock_timestamp()), 'system', text FROM unnest($1::uuid[], $2::text[]) AS noted (alarm, text)

-- name: in_drill
-- Those of these alarms that are told as a drill.
SELECT id, drill FROM alarm WHERE id = ANY($1) AND drill IS NOT NULL
