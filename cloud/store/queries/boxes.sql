-- name: beats
-- Boxes live, and this much they still keep. What was heard lately, each box once ($4: how long ago); NULL where it was no
-- beat. Two boxes share an identity where an older session beats after a newer one was opened: a box never goes back to a
-- session that it has left. $5 and $6: the oldest and the newest session that beat; $8: how long ago the oldest did, since
-- another process may have written what it heard after us before us.
UPDATE gateway
SET seen_at = greatest(gateway.seen_at, now() - beat.ago),
    urgent_backlog = coalesce(beat.urgent, gateway.urgent_backlog),
    bulk_backlog = coalesce(beat.bulk, gateway.bulk_backlog),
    session_at = greatest(gateway.session_at, beat.newest_at),
    shared_at = CASE WHEN beat.shared OR beat.oldest_at < gateway.session_at AND gateway.session_at < now() - beat.oldest_ago THEN now() ELSE gateway.shared_at END
FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::interval[], $5::timestamptz[], $6::timestamptz[], $7::boolean[],
            $8::interval[]) AS beat (id, urgent, bulk, ago, oldest_at, newest_at, shared, oldest_ago)
JOIN gateway_now AS before ON before.id = beat.id
WHERE gateway.id = beat.id
RETURNING gateway.id, gateway.estate, before.silent AS was_silent, before.shared AS was_shared,
          coalesce(gateway.shared_at > now() - INTERVAL '15 minutes', false) AS shared

-- name: put_reports
-- What boxes say of themselves; the newest counts.
INSERT INTO gateway_report (gateway, at, report)
SELECT gateway, now(), report::jsonb FROM unnest($1::uuid[], $2::text[]) AS r (gateway, report)
ON CONFLICT (gateway) DO UPDATE SET at = excluded.at, report = excluded.report

-- name: silent
-- The boxes of these estates that say nothing, and how many devices are behind each.
SELECT gateway.id, area.name AS estate, gateway.hostname, gateway.seen_at,
       (SELECT count(*) FROM device WHERE device.gateway = gateway.id AND active) AS devices
FROM gateway_now AS gateway JOIN area ON area.id = gateway.estate
WHERE gateway.silent AND gateway.estate = ANY($1) ORDER BY area.name, gateway.hostname

-- name: names
-- What the boxes of these estates are called by their machines.
SELECT id, hostname FROM gateway_now WHERE estate = ANY($1)

-- name: list_boxes
-- The boxes of these estates (NULL: of all), with how far their streams are and what they gave up that nobody has looked at.
SELECT gateway.id, area.name AS estate, gateway.hostname, gateway.version, gateway.enrolled_at, gateway.seen_at,
       clock.uncertainty_ns, clock.source AS clock_source, gateway.silent, gateway.shared, gateway.urgent_backlog, gateway.bulk_backlog,
       (SELECT count(*) FROM device WHERE device.gateway = gateway.id AND active) AS devices,
       (SELECT max(moved_at) FROM stream_cursor WHERE stream_cursor.gateway = gateway.id AND number > 0) AS data_at,
       (SELECT coalesce(sum(items), 0)::bigint FROM loss WHERE loss.gateway = gateway.id AND seen_at IS NULL) AS lost_items,
       (SELECT count(*) FROM quarantine WHERE quarantine.gateway = gateway.id AND replayed_at IS NULL) AS quarantined
FROM gateway_now AS gateway JOIN area ON area.id = gateway.estate
LEFT JOIN LATERAL (
    SELECT uncertainty_ns, source FROM boot WHERE boot.gateway = gateway.id AND utc_ns IS NOT NULL
    ORDER BY first_seen_at DESC LIMIT 1
) AS clock ON true
WHERE $1::int[] IS NULL OR gateway.estate = ANY($1)
ORDER BY area.name, gateway.hostname, gateway.id

-- name: box
-- One box of these estates, also one that was revoked, with its newest report.
SELECT gateway.id, gateway.estate AS estate_id, area.name AS estate, gateway.hostname, gateway.version, gateway.site_digest,
       gateway.enrolled_at, gateway.seen_at, gateway.revoked_at, gateway.beat_s, gateway.shared_at, gateway.replaced_by,
       ARRAY(SELECT older.id FROM gateway AS older WHERE older.replaced_by = gateway.id) AS replaced,
       coalesce(now.silent, true) AS silent, coalesce(now.shared, false) AS shared,
       gateway.urgent_backlog, gateway.bulk_backlog,
       (SELECT count(*) FROM device WHERE device.gateway = gateway.id AND active) AS devices,
       (SELECT max(moved_at) FROM stream_cursor WHERE stream_cursor.gateway = gateway.id AND number > 0) AS data_at,
       (SELECT count(*) FROM quarantine WHERE quarantine.gateway = gateway.id AND replayed_at IS NULL) AS quarantined,
       gateway_report.at AS reported_at, gateway_report.report::text AS report
FROM gateway JOIN area ON area.id = gateway.estate
LEFT JOIN gateway_now AS now ON now.id = gateway.id
LEFT JOIN gateway_report ON gateway_report.gateway = gateway.id
WHERE gateway.id = $1 AND gateway.estate = ANY($2)

-- name: boots
-- The runs of a box's clock, newest first.
SELECT first_seen_at, utc_ns IS NOT NULL AS has_time, uncertainty_ns, source FROM boot WHERE gateway = $1
ORDER BY first_seen_at DESC LIMIT $2

-- name: streams
-- How far the streams of a box are.
SELECT stream, epoch, number, moved_at FROM stream_cursor WHERE gateway = $1 AND number > 0 ORDER BY stream DESC

-- name: epochs
-- The chains of a box, newest first. The first of a stream needs no reason, each other had one.
SELECT stream, epoch, opened_at, closed_at, last_number,
       lag(epoch) OVER (PARTITION BY stream ORDER BY opened_at, epoch) IS NULL AS is_first
FROM stream_epoch WHERE gateway = $1 ORDER BY opened_at DESC, stream LIMIT $2

-- name: losses
-- What a box said it had to give up: what nobody has looked at first, then the newest.
SELECT loss.id, stream, items, reason, at, seen_at, person.name AS seen_by
FROM loss LEFT JOIN person ON person.id = loss.seen_by
WHERE gateway = $1 ORDER BY seen_at IS NOT NULL, at DESC, loss.id DESC LIMIT $2

-- name: unseen_losses
-- How many of those nobody has looked at, and the last of them.
SELECT count(*), coalesce(sum(items), 0)::bigint AS items, coalesce(max(id), 0) AS last FROM loss WHERE gateway = $1 AND seen_at IS NULL

-- name: see_losses
-- Somebody has looked at what a box gave up, as far as their page showed it.
WITH seen AS (UPDATE loss SET seen_at = now(), seen_by = $3 WHERE gateway = $1 AND id <= $2 AND seen_at IS NULL RETURNING items)
SELECT count(*) AS receipts, coalesce(sum(items), 0)::bigint AS items FROM seen
