-- name: mark
-- Hours ($2) of buckets ($1) that have to be rolled up again. A mark that stands already will do, provided that nobody can
-- take it away before this transaction's rows are there to be seen: so it is locked, and one that is being taken is not enough.
INSERT INTO rollup_mark (bucket, at)
SELECT bucket, at FROM unnest($1::int[], $2::timestamptz[]) AS wanted (bucket, at)
WHERE NOT EXISTS (
    SELECT FROM rollup_mark WHERE rollup_mark.bucket = wanted.bucket AND rollup_mark.at = wanted.at FOR KEY SHARE SKIP LOCKED
)

-- name: ripe_buckets
-- Buckets with marks of hours that began before $1, or of days (below zero) before $2; those that waited longest first.
SELECT bucket FROM rollup_mark WHERE at < CASE WHEN bucket >= 0 THEN $1::timestamptz ELSE $2::timestamptz END
GROUP BY bucket ORDER BY min(at), bucket LIMIT $3

-- name: lock_bucket
-- Whether this transaction may roll up a bucket: one process at a time, so that a day is always made of all its hours.
SELECT pg_try_advisory_xact_lock($1, $2)

-- name: need_not_wait
-- Whoever rolls up does not wait for the disk: after a crash its marks are there again together with the older hours.
SET LOCAL synchronous_commit = off

-- name: take_marks
-- The marks of a bucket's next $3 ripe hours or days, taken away. What is rolled up afterwards sees all rows that they stand for.
DELETE FROM rollup_mark WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM rollup_mark
    WHERE bucket = $1 AND at IN (SELECT DISTINCT at FROM rollup_mark WHERE bucket = $1 AND at < $2 ORDER BY at LIMIT $3)
    FOR UPDATE SKIP LOCKED
)) RETURNING at

-- name: series
-- The series from $1 to before $2, those of numbers and those of states.
-- And for how many seconds at most, but $3, one of these is believed without being repeated.
SELECT coalesce(array_agg(id) FILTER (WHERE lane = 'bulk'), '{}') AS numbers,
       coalesce(array_agg(id) FILTER (WHERE lane = 'urgent'), '{}') AS states,
       coalesce(max(least(stale_after_s, $3)) FILTER (WHERE lane = 'urgent'), 0) AS believed_s
FROM series WHERE id >= $1 AND id < $2

-- name: mark_days
-- Marks days of the estates' own time, like mark.
-- Those that the hours from $4 to before $5 of these series ($1 to before $2) belong to; $3 is the bucket of their days.
INSERT INTO rollup_mark (bucket, at)
SELECT $3, wanted.at FROM (
    SELECT DISTINCT date_trunc('day', hour, zone.timezone) AS at
    FROM generate_series($4::timestamptz, $5::timestamptz - INTERVAL '1 microsecond', INTERVAL '1 hour') AS hour CROSS JOIN (
        SELECT DISTINCT area.timezone
        FROM series JOIN device ON device.id = series.device JOIN area ON area.id = device.estate
        WHERE series.id >= $1 AND series.id < $2
    ) AS zone
) AS wanted
WHERE NOT EXISTS (
    SELECT FROM rollup_mark WHERE rollup_mark.bucket = $3 AND rollup_mark.at = wanted.at FOR KEY SHARE SKIP LOCKED
)

-- name: whole_since
-- From when on readings are still whole, held until this transaction ends: none are dropped while their hours are read.
SELECT since FROM retention WHERE rows = 'readings' FOR SHARE

-- name: roll_up_readings
-- The hours from $2 to before $3 of series ($1) from their rows. By the list of series: the index then finds each one's hours,
-- where from a range it would read all days of a chunk. Sorted once, so that what was first and last stands at the ends.
WITH sorted AS (
    SELECT series, at, quality, CASE WHEN quality = 0 THEN value END AS value
    FROM readings WHERE series = ANY($1::int[]) AND at >= $2 AND at < $3 ORDER BY series, at, value
), fresh AS (
    SELECT series, date_bin('1 hour', at, 'epoch') AS hour, count(value) AS count, count(*) - count(value) AS bad,
           min(value) AS min, max(value) AS max, avg(value) AS mean,
           (array_agg(value) FILTER (WHERE quality = 0))[1] AS first,
           (array_agg(value) FILTER (WHERE quality = 0))[count(value)] AS last
    FROM sorted GROUP BY 1, 2
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
    DELETE FROM readings WHERE series = ANY($1::int[]) AND at >= $2 AND at < $3 RETURNING series, at, value, quality
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
-- The days of the estates' own time that the hours from $2 to before $3 belong to, from their hours.
WITH zone AS (
    SELECT series.id AS series, area.timezone, date_trunc('day', $2::timestamptz, area.timezone) AS since,
           date_trunc('day', $3::timestamptz - INTERVAL '1 microsecond', area.timezone) + INTERVAL '1 day' AS until
    FROM series JOIN device ON device.id = series.device JOIN area ON area.id = device.estate
    WHERE series.id = ANY($1::int[])
), fresh AS (
    SELECT series, date_trunc('day', at, timezone) AS day, sum(count) AS count, sum(bad) AS bad, min(min) AS min, max(max) AS max,
           sum(mean * count) / nullif(sum(count), 0) AS mean,
           (array_agg(first ORDER BY at) FILTER (WHERE count > 0))[1] AS first,
           (array_agg(last ORDER BY at DESC) FILTER (WHERE count > 0))[1] AS last
    FROM readings_hour JOIN zone USING (series)
    WHERE series = ANY($1::int[]) AND at >= $2::timestamptz - INTERVAL '1 day' AND at < $3::timestamptz + INTERVAL '1 day'
      AND at >= since AND at < until
    GROUP BY 1, 2
)
INSERT INTO readings_day AS kept (series, at, count, bad, min, max, mean, first, last)
SELECT series, day, count, bad, min, max, mean, first, last FROM fresh
ON CONFLICT (series, at) DO UPDATE
SET count = excluded.count, bad = excluded.bad, min = excluded.min, max = excluded.max, mean = excluded.mean,
    first = excluded.first, last = excluded.last

-- name: roll_up_states
-- For how long series ($1) said which word, in the hours from $2 to before $3, from their rows. $4 is the longest that any
-- of them is believed without being repeated, in seconds: no older row reaches into these hours.
WITH told AS (
    SELECT states.series, states.at, states.value, states.quality, least(series.stale_after_s, $4) AS believed_s,
           lead(states.at) OVER (PARTITION BY states.series ORDER BY states.at) AS next
    FROM states JOIN series ON series.id = states.series
    WHERE states.series = ANY($1::int[])
      AND states.at >= $2::timestamptz - make_interval(secs => $4::float8) AND states.at < $3
), held AS (
    SELECT series, quality, coalesce(value, '') AS value, greatest(at, $2) AS since,
           least(next, at + make_interval(secs => believed_s::float8), $3) AS until
    FROM told
), fresh AS (
    SELECT series, quality, hour, value,
           sum(extract(epoch FROM least(until, hour + INTERVAL '1 hour') - greatest(since, hour)))::float8 AS seconds
    FROM held CROSS JOIN LATERAL
         generate_series(date_bin('1 hour', since, 'epoch'), until - INTERVAL '1 microsecond', INTERVAL '1 hour') AS hour
    WHERE until > since
    GROUP BY 1, 2, 3, 4
), gone AS (                               -- words that no longer stand in these hours
    DELETE FROM states_hour AS kept WHERE series = ANY($1::int[]) AND at >= $2 AND at < $3 AND NOT EXISTS (
        SELECT FROM fresh WHERE fresh.series = kept.series AND fresh.hour = kept.at
                          AND fresh.quality = kept.quality AND fresh.value = kept.value)
)
INSERT INTO states_hour AS kept (series, quality, at, value, seconds) SELECT series, quality, hour, value, seconds FROM fresh
ON CONFLICT (series, at, quality, value) DO UPDATE SET seconds = excluded.seconds WHERE kept.seconds <> excluded.seconds

-- name: roll_up_state_days
-- The days of the estates' own time that the hours from $2 to before $3 belong to, from their hours.
WITH zone AS (
    SELECT series.id AS series, area.timezone, date_trunc('day', $2::timestamptz, area.timezone) AS since,
           date_trunc('day', $3::timestamptz - INTERVAL '1 microsecond', area.timezone) + INTERVAL '1 day' AS until
    FROM series JOIN device ON device.id = series.device JOIN area ON area.id = device.estate
    WHERE series.id = ANY($1::int[])
), fresh AS (
    SELECT series, quality, date_trunc('day', at, timezone) AS day, value, sum(seconds) AS seconds
    FROM states_hour JOIN zone USING (series)
    WHERE series = ANY($1::int[]) AND at >= $2::timestamptz - INTERVAL '1 day' AND at < $3::timestamptz + INTERVAL '1 day'
      AND at >= since AND at < until
    GROUP BY 1, 2, 3, 4
), gone AS (
    DELETE FROM states_day AS kept USING zone
    WHERE kept.series = zone.series AND kept.series = ANY($1::int[])
      AND kept.at >= $2::timestamptz - INTERVAL '1 day' AND kept.at < $3 AND kept.at >= since AND kept.at < until
      AND NOT EXISTS (SELECT FROM fresh WHERE fresh.series = kept.series AND fresh.day = kept.at
                                        AND fresh.quality = kept.quality AND fresh.value = kept.value)
)
INSERT INTO states_day AS kept (series, quality, at, value, seconds) SELECT series, quality, day, value, seconds FROM fresh
ON CONFLICT (series, at, quality, value) DO UPDATE SET seconds = excluded.seconds WHERE kept.seconds <> excluded.seconds
