-- name: take
-- One process at a time sweeps: the others have nothing to add.
SELECT pg_try_advisory_xact_lock($1)

-- name: hear
-- A sweep takes place. After a pause of them nobody could hear boxes either: they are silent from then on at the earliest.
INSERT INTO sweep (swept_at, hears_since)
SELECT at, at FROM (SELECT coalesce($1::timestamptz, clock_timestamp()) AS at) AS present
ON CONFLICT (one) DO UPDATE SET
    hears_since = CASE WHEN EXCLUDED.swept_at - sweep.swept_at > $2::interval THEN EXCLUDED.swept_at ELSE sweep.hears_since END,
    swept_at = EXCLUDED.swept_at
RETURNING swept_at, hears_since

-- name: boxes
-- Of which boxes the rules have to be told something: silent or heard, a backlog that moved by a twentieth, a new report. Who is
-- silent stays so until something is heard; who is gone is silent no more.
SELECT * FROM (
    SELECT gateway.id, gateway.estate, area.path, area.timezone, told.gateway IS NULL AS is_new, gateway.revoked_at IS NOT NULL AS is_gone,
           gateway.revoked_at IS NULL AND silence.at < $1 AS is_silent, silence.at AS silent_at, told.is_silent AS was_silent,
           coalesce(gateway.urgent_backlog, 0) + coalesce(gateway.bulk_backlog, 0) AS backlog_blocks, told.backlog_blocks AS told_blocks,
           gateway_report.at AS reported_at, told.clock_offset_s AS told_offset_s,
           CASE WHEN gateway_report.at IS DISTINCT FROM told.reported_at
               THEN (gateway_report.report ->> 'machine_clock_off_ns')::double precision / 1e9 ELSE told.clock_offset_s END AS clock_offset_s,
           told.rules IS DISTINCT FROM $3 AS is_unknown, told.reported_at IS DISTINCT FROM gateway_report.at AS is_reported
    FROM gateway
    JOIN area ON area.id = gateway.estate
    LEFT JOIN box_told AS told ON told.gateway = gateway.id
    LEFT JOIN gateway_report ON gateway_report.gateway = gateway.id
    CROSS JOIN LATERAL (SELECT CASE WHEN told.is_silent THEN coalesce(gateway.seen_at, gateway.enrolled_at)
                                    ELSE greatest(gateway.seen_at, gateway.enrolled_at, $2) END
                               + 3.25 * gateway.beat_s * INTERVAL '1 second' AS at) AS silence
    WHERE gateway.revoked_at IS NULL OR told.gateway IS NOT NULL
) AS box
WHERE is_unknown OR is_gone OR is_silent <> was_silent OR is_reported
   OR abs(backlog_blocks - told_blocks) >= greatest($4::int, told_blocks / 20)
ORDER BY is_silent DESC, id LIMIT $5

-- name: told
-- What the rules know of these boxes now.
INSERT INTO box_told (gateway, rules, is_silent, backlog_blocks, reported_at, clock_offset_s)
SELECT box.*  FROM unnest($1::uuid[], $2::text[], $3::boolean[], $4::bigint[], $5::timestamptz[], $6::double precision[]) AS box
ON CONFLICT (gateway) DO UPDATE SET rules = EXCLUDED.rules, is_silent = EXCLUDED.is_silent, backlog_blocks = EXCLUDED.backlog_blocks,
    reported_at = EXCLUDED.reported_at, clock_offset_s = EXCLUDED.clock_offset_s

-- name: forget
-- Boxes that are gone.
DELETE FROM box_told WHERE gateway = ANY($1)

-- name: look_at
-- Links of these devices changed.
INSERT INTO bus_look (gateway) SELECT DISTINCT gateway FROM device WHERE id = ANY($1)

-- name: look_at_boxes
-- These boxes are back: how are their buses?
INSERT INTO bus_look (gateway) SELECT unnest($1::uuid[])

-- name: buses
-- How many devices of which buses are off line: of boxes on which a link changed, and of buses that are silent. Not of silent boxes,
-- of which nobody knows.
WITH looked AS (DELETE FROM bus_look WHERE id IN (SELECT id FROM bus_look ORDER BY id LIMIT $1) RETURNING gateway),
boxes AS (
    SELECT gateway FROM looked UNION SELECT gateway FROM bus_told
), counted AS (
    SELECT device.gateway, device.bus, count(*) AS devices, count(*) FILTER (WHERE link.state = 'offline') AS offline
    FROM boxes JOIN device ON device.gateway = boxes.gateway AND device.active
    JOIN series ON series.device = device.id AND series.point = 'link'
    LEFT JOIN latest_state AS link ON link.series = series.id
    GROUP BY device.gateway, device.bus
)
SELECT gateway.id AS gateway, bus, gateway.estate, area.path, area.timezone, coalesce(counted.devices, 0) AS devices,
       coalesce(counted.offline, 0) AS offline, bus_told.gateway IS NOT NULL AS was_silent,
       bus_told.rules IS NOT NULL AND bus_told.rules <> $2 AS is_unknown, gateway.revoked_at IS NOT NULL AS is_gone
FROM counted FULL JOIN bus_told USING (gateway, bus)
JOIN gateway ON gateway.id = gateway
JOIN area ON area.id = gateway.estate
LEFT JOIN box_told ON box_told.gateway = gateway.id
WHERE gateway.revoked_at IS NOT NULL OR NOT coalesce(box_told.is_silent, false)

-- name: told_buses
-- These buses are silent, as the rules know now.
INSERT INTO bus_told (gateway, bus, rules) SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[])
ON CONFLICT (gateway, bus) DO UPDATE SET rules = EXCLUDED.rules

-- name: forget_buses
-- These buses are not silent any more.
DELETE FROM bus_told USING unnest($1::uuid[], $2::text[]) AS heard (gateway, bus)
WHERE bus_told.gateway = heard.gateway AND bus_told.bus = heard.bus
