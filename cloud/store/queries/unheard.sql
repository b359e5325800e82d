-- name: lock
-- Whether this process looks, until its transaction ends.
SELECT pg_try_advisory_xact_lock($1)

-- name: news
-- Series of a point of which nothing was heard for $3 times the time after which they are stale, and that the rule $1 does not
-- know as silent yet; and those that it does and that were heard again. $4 to $8: kinds, but these kinds, areas, devices, but
-- these devices; none: all. Of a device that is off line, and of a silent box, that itself is told.
WITH now AS (SELECT coalesce($9::timestamptz, clock_timestamp()) AS at), seen AS (
    SELECT series.id AS series, device.id AS device, device.kind, device.gateway, device.estate, area.path, area.timezone AS zone,
           latest.at AS heard_at, series.stale_after_s,
           extract(epoch FROM now.at - latest.at)::float8 / series.stale_after_s AS intervals, now.at AS now
    FROM now CROSS JOIN series JOIN device ON device.id = series.device AND device.active
    JOIN gateway ON gateway.id = device.gateway AND gateway.revoked_at IS NULL AND gateway.seen_at > now.at - INTERVAL '65 seconds'
    JOIN area ON area.id = device.estate
    JOIN latest ON latest.series = series.id AND latest.gateway = device.gateway
    LEFT JOIN series AS link ON link.device = device.id AND link.point = 'link'
    LEFT JOIN latest_state AS link_now ON link_now.series = link.id
    WHERE series.point = $2 AND link_now.state IS DISTINCT FROM 'offline'
      AND ($4::text[] = '{}' OR device.kind = ANY($4)) AND device.kind <> ALL($5::text[])
      AND ($6::int[] = '{}' OR string_to_array(trim(BOTH '/' FROM area.path), '/')::int[] && $6)
      AND ($7::int[] = '{}' OR device.id = ANY($7)) AND device.id <> ALL($8::int[])
)
SELECT seen.* FROM seen LEFT JOIN condition ON condition.rule = $1 AND condition.source = 'series:' || seen.series
WHERE (seen.intervals >= $3) <> (condition.rule IS NOT NULL) ORDER BY seen.series LIMIT $10
