-- name: hours
-- A series between two times in buckets of $4, a number of hours: least, most, mean and count of good readings. The newest
-- hours that are not rolled up yet, $5 at most, come from their rows. A bucket without any is missing.
WITH marked AS (
    SELECT DISTINCT at FROM rollup_mark
    WHERE bucket = $1::int / 256 AND at >= date_bin('1 hour', $2::timestamptz, 'epoch') AND at < $3 ORDER BY at DESC LIMIT $5
), part AS (
    SELECT at, min, max, mean, count FROM readings_hour
    WHERE series = $1 AND at >= date_bin('1 hour', $2::timestamptz, 'epoch') AND at < $3 AND count > 0
      AND at NOT IN (SELECT at FROM marked)
    UNION ALL
    SELECT marked.at, fresh.* FROM marked CROSS JOIN LATERAL (
        SELECT min(value), max(value), avg(value), count(*)::int FROM readings
        WHERE series = $1 AND readings.at >= marked.at AND readings.at < marked.at + INTERVAL '1 hour' AND quality = 0
    ) AS fresh (min, max, mean, count) WHERE fresh.count > 0
)
SELECT extract(epoch FROM date_bin($4, at, 'epoch'))::float8 AS t, min(min) AS min, max(max) AS max,
       sum(mean * count) / sum(count) AS mean, sum(count) AS count
FROM part GROUP BY 1 ORDER BY 1

-- name: how_many
-- How many good readings a series has between two times, by its hours.
SELECT coalesce(sum(count), 0)::bigint FROM readings_hour WHERE series = $1 AND at >= $2 AND at < $3

-- name: days
-- The same from days of the estate's own time, up to $3. `t` is a day's midnight.
SELECT extract(epoch FROM at)::float8 AS t, min, max, mean, count
FROM readings_day WHERE series = $1 AND at >= $2 AND at < $3 AND count > 0 ORDER BY at

-- name: first_fresh_day
-- The day of the estate's own time from which on hours are read.
-- That of the oldest hour or day between two times, of the newest $4, that is not rolled up yet; the last day in any case.
SELECT date_trunc('day', least($3::timestamptz - INTERVAL '1 microsecond', (
    SELECT min(at) FROM (
        SELECT DISTINCT at FROM rollup_mark WHERE bucket IN ($1::int / 256, -1 - $1::int / 256) AND at >= $2 AND at < $3
        ORDER BY at DESC LIMIT $4
    ) AS marked)), area.timezone)
FROM series JOIN device ON device.id = series.device JOIN area ON area.id = device.estate WHERE series.id = $1

-- name: consumption
-- What counters ($1, of one estate) went up by in each $4 (day, month) of the estate's time from $2 to before $3, all together.
-- A counter that was exchanged or set back adds nothing for the time in which nobody read it. Series by series, as the
-- index has them in order of time.
SELECT of_series.at, sum(of_series.used) AS used FROM unnest($1::int[]) AS counter (id) CROSS JOIN LATERAL (
    SELECT date_trunc($4, at, $5) AS at,
           sum(greatest(first - coalesce(before, first), 0)
               + CASE WHEN last >= first THEN last - first ELSE max - first + last - min END) AS used
    FROM (
        SELECT at, first, last, min, max, lag(last) OVER (ORDER BY at) AS before
        FROM readings_day WHERE series = counter.id AND at >= $2::timestamptz - INTERVAL '31 days' AND at < $3 AND count > 0
    ) AS day WHERE at >= $2 GROUP BY 1
) AS of_series GROUP BY 1 ORDER BY 1

-- name: time_in_state_hours
-- For how many seconds each series said what in the hours from $2 to before $3.
SELECT asked.id AS series, quality, value, seconds FROM unnest($1::int[]) AS asked (id) CROSS JOIN LATERAL (
    SELECT quality, value, sum(seconds) AS seconds FROM states_hour
    WHERE series = asked.id AND at >= $2 AND at < $3 GROUP BY 1, 2
) AS said ORDER BY 1, 2, 3

-- name: time_in_state_days
-- The same for the days of the estate's own time from $2 to before $3. In order of time, that they be read from the index.
SELECT asked.id AS series, quality, value, seconds FROM unnest($1::int[]) AS asked (id) CROSS JOIN LATERAL (
    SELECT quality, value, sum(seconds) AS seconds
    FROM (SELECT * FROM states_day WHERE series = asked.id AND at >= $2 AND at < $3 ORDER BY at) AS day GROUP BY 1, 2
) AS said ORDER BY 1, 2, 3
