-- name: mark
-- Hours ($2) of buckets ($1) that have to be rolled up again. A mark that stands already will do, provided that nobody can
-- take it away before this transaction's rows are there to be seen: so it is locked, and one that is being taken is not enough.
INSERT INTO rollup_mark (bucket, at)
SELECT bucket, at FROM unnest($1::int[], $2::timestamptz[]) AS wanted (bucket, at)
WHERE NOT EXISTS (
    SELECT FROM rollup_mark WHERE rollup_mark.bucket = wanted.bucket AND rollup_mark.at = wanted.at FOR KEY SHARE SKIP LOCKED
)

-- name: ripe_buckets
-- Buckets with marks of hours that began before $1, those that waited longest first.
SELECT bucket FROM rollup_mark WHERE at < $1 GROUP BY bucket ORDER BY min(at), bucket LIMIT $2

-- name: lock_bucket
-- Whether this transaction may roll up a bucket: one process at a time, so that a day is always made of all its hours.
SELECT pg_try_advisory_xact_lock($1, $2)

-- name: take_marks
-- The marks of a bucket's next $3 ripe hours, taken away. What is rolled up afterwards sees all rows that they stand for.
DELETE FROM rollup_mark WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM rollup_mark
    WHERE bucket = $1 AND at IN (SELECT DISTINCT at FROM rollup_mark WHERE bucket = $1 AND at < $2 ORDER BY at LIMIT $3)
    FOR UPDATE SKIP LOCKED
)) RETURNING at

-- name: believed_s
-- For how long at most a state of these series ($1 to before $2) is believed without being repeated; 0 without states.
SELECT coalesce(max(least(stale_after_s, $3)), 0) FROM series WHERE id >= $1 AND id < $2 AND lane = 'urgent'

-- name: whole_since
-- From when on readings are still whole, held until this transaction ends: none are dropped while their hours are read.
SELECT since FROM retention WHERE rows = 'readings' FOR SHARE

-- name: roll_up_readings
-- The hours from $3 to before $4 of the series from $1 to before $2, from their rows.
WITH fresh AS (
    SELECT series, date_bin('1 hour', at, 'epoch') AS hour,
           count(*) FILTER (WHERE quality = 0) AS count, count(*) FILTER (WHERE quality <> 0) AS bad,
           min(value) FILTER (WHERE quality = 0) AS min, max(value) FILTER (WHERE quality = 0) AS max,
           avg(value) FILTER (WHERE quality = 0) AS mean,
           (array_agg(value ORDER BY at, value) FILTER (WHERE quality = 0))[1] AS first,
           (array_agg(value ORDER BY at DESC, value DESC) FILTER (WHERE quality = 0))[1] AS last
    FROM readings WHERE series >= $1 AND series < $2 AND at >= $3 AND at < $4 GROUP BY 1, 2
)
INSERT INTO readings_hour AS kept (series, at, count, bad, min, max, mean, first, last)
SELECT series, hour, count, bad, min, max, mean, first, last FROM fresh
ON CONFLICT (series, at) DO UPDATE
SET count = excluded.count, bad = excluded.bad, min = excluded.min, max = excluded.max, mean = excluded.mean,
    first = excluded.first, last = excluded.last
WHERE (kept.count, kept.bad, kept.min, kept.max, kept.mean, kept.first, kept.last)
      IS DISTINCT FROM (excluded.count, excluded.bad, excluded.min, excluded.max, excluded.mean, excluded.first, excluded.last)

-- name: sum_up_readings
-- The same for hours whose rows are gone but for what came too late: that is added to what is known, and goes as well.
-- What was first and last stays.
WITH late AS (
    DELETE FROM readings WHERE series >= $1 AND series < $2 AND at >= $3 AND at < $4 RETURNING series, at, value, quality
), fresh AS (
    SELECT series, date_bin('1 hour', at, 'epoch') AS hour,
           count(*) FILTER (WHERE quality = 0) AS count, count(*) FILTER (WHERE quality <> 0) AS bad,
           min(value) FILTER (WHERE quality = 0) AS min, max(value) FILTER (WHERE quality = 0) AS max,
           avg(value) FILTER (WHERE quality = 0) AS mean,
           (array_agg(value ORDER BY at, value) FILTER (WHERE quality = 0))[1] AS first,
           (array_agg(value ORDER BY at DESC, value DESC) FILTER (WHERE quality = 0))[1] AS last
    FROM late GROUP BY 1, 2
)
INSERT INTO readings_hour AS kept (series, at, count, bad, min, max, mean, first, last)
SELECT series, hour, count, bad, min, max, mean, first, last FROM fresh
ON CONFLICT (series, at) DO UPDATE
SET count = kept.count + excluded.count, bad = kept.bad + excluded.bad,
    min = least(kept.min, excluded.min), max = greatest(kept.max, excluded.max),
    mean = (coalesce(kept.mean * kept.count, 0) + coalesce(excluded.mean * excluded.count, 0)) / nullif(kept.count + excluded.count, 0),
    first = coalesce(kept.first, excluded.first), last = coalesce(kept.last, excluded.last)

-- name: roll_up_reading_days
-- The days of the estates' own time that the hours from $3 to before $4 belong to, from their hours.
WITH zone AS (
    SELECT series.id AS series, area.timezone, date_trunc('day', $3::timestamptz, area.timezone) AS since,
           date_trunc('day', $4::timestamptz - INTERVAL '1 microsecond', area.timezone) + INTERVAL '1 day' AS until
    FROM series JOIN device ON device.id = series.device JOIN area ON area.id = device.estate
    WHERE series.id >= $1 AND series.id < $2 AND series.lane = 'bulk'
), fresh AS (
    SELECT series, date_trunc('day', at, timezone) AS day, sum(count) AS count, sum(bad) AS bad, min(min) AS min, max(max) AS max,
           sum(mean * count) / nullif(sum(count), 0) AS mean,
           (array_agg(first ORDER BY at) FILTER (WHERE count > 0))[1] AS first,
           (array_agg(last ORDER BY at DESC) FILTER (WHERE count > 0))[1] AS last
    FROM readings_hour JOIN zone USING (series)
    WHERE series >= $1 AND series < $2 AND at >= $3::timestamptz - INTERVAL '1 day' AND at < $4::timestamptz + INTERVAL '1 day'
      AND at >= since AND at < until
    GROUP BY 1, 2
)
INSERT INTO readings_day AS kept (series, at, count, bad, min, max, mean, first, last)
SELECT series, day, count, bad, min, max, mean, first, last FROM fresh
ON CONFLICT (series, at) DO UPDATE
SET count = excluded.count, bad = excluded.bad, min = excluded.min, max = excluded.max, mean = excluded.mean,
    first = excluded.first, last = excluded.last

-- name: roll_up_states
-- For how long the series from $1 to before $2 said which word, in the hours from $3 to before $4, from their rows. $5 is
-- the longest that any of them is believed without being repeated, in seconds: no older row reaches into these hours.
WITH told AS (
    SELECT states.series, states.at, states.value, states.quality, least(series.stale_after_s, $5) AS believed_s,
           lead(states.at) OVER (PARTITION BY states.series ORDER BY states.at) AS next
    FROM states JOIN series ON series.id = states.series
    WHERE states.series >= $1 AND states.series < $2
      AND states.at >= $3::timestamptz - make_interval(secs => $5::float8) AND states.at < $4
), held AS (
    SELECT series, quality, coalesce(value, '') AS value, greatest(at, $3) AS since,
           least(next, at + make_interval(secs => believed_s::float8), $4) AS until
    FROM told
), fresh AS (
    SELECT series, quality, hour, value,
           sum(extract(epoch FROM least(until, hour + INTERVAL '1 hour') - greatest(since, hour)))::float8 AS seconds
    FROM held CROSS JOIN LATERAL
         generate_series(date_bin('1 hour', since, 'epoch'), until - INTERVAL '1 microsecond', INTERVAL '1 hour') AS hour
    WHERE until > since
    GROUP BY 1, 2, 3, 4
), gone AS (                               -- words that no longer stand in these hours
    DELETE FROM states_hour AS kept WHERE series >= $1 AND series < $2 AND at >= $3 AND at < $4 AND NOT EXISTS (
        SELECT FROM fresh WHERE fresh.series = kept.series AND fresh.hour = kept.at
                          AND fresh.quality = kept.quality AND fresh.value = kept.value)
)
INSERT INTO states_hour AS kept (series, quality, at, value, seconds) SELECT series, quality, hour, value, seconds FROM fresh
ON CONFLICT (series, at, quality, value) DO UPDATE SET seconds = excluded.seconds WHERE kept.seconds <> excluded.seconds

-- name: roll_up_state_days
-- The days of the estates' own time that the hours from $3 to before $4 belong to, from their hours.
WITH zone AS (
    SELECT series.id AS series, area.timezone, date_trunc('day', $3::timestamptz, area.timezone) AS since,
           date_trunc('day', $4::timestamptz - INTERVAL '1 microsecond', area.timezone) + INTERVAL '1 day' AS until
    FROM series JOIN device ON device.id = series.device JOIN area ON area.id = device.estate
    WHERE series.id >= $1 AND series.id < $2 AND series.lane = 'urgent'
), fresh AS (
    SELECT series, quality, date_trunc('day', at, timezone) AS day, value, sum(seconds) AS seconds
    FROM states_hour JOIN zone USING (series)
    WHERE series >= $1 AND series < $2 AND at >= $3::timestamptz - INTERVAL '1 day' AND at < $4::timestamptz + INTERVAL '1 day'
      AND at >= since AND at < until
    GROUP BY 1, 2, 3, 4
), gone AS (
    DELETE FROM states_day AS kept USING zone
    WHERE kept.series = zone.series AND kept.series >= $1 AND kept.series < $2
      AND kept.at >= $3::timestamptz - INTERVAL '1 day' AND kept.at < $4 AND kept.at >= since AND kept.at < until
      AND NOT EXISTS (SELECT FROM fresh WHERE fresh.series = kept.series AND fresh.day = kept.at
                                        AND fresh.quality = kept.quality AND fresh.value = kept.value)
)
INSERT INTO states_day AS kept (series, quality, at, value, seconds) SELECT series, quality, day, value, seconds FROM fresh
ON CONFLICT (series, at, quality, value) DO UPDATE SET seconds = excluded.seconds WHERE kept.seconds <> excluded.seconds
