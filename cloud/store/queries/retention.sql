-- name: lock
-- From when on the rows of a table are whole, locked: nobody rolls them up while they are dropped, nor drops them twice.
SELECT since FROM retention WHERE rows = $1 FOR UPDATE

-- name: move
-- The rows of a table are whole from $2 on, once this transaction commits.
UPDATE retention SET since = $2, moved_at = now() WHERE rows = $1

-- name: marks_before
-- Whether hours before this time still wait to be rolled up.
SELECT EXISTS (SELECT FROM rollup_mark WHERE at < $1)

-- name: chunks
-- Chunks of a hypertable that lie before this time.
SELECT count(*) FROM show_chunks($1::text::regclass, older_than => $2::timestamptz)

-- name: drop_chunks
-- The chunks of a hypertable that lie wholly before this time, gone with all their rows.
SELECT count(*) FROM drop_chunks($1::text::regclass, older_than => $2::timestamptz)

-- name: oldest_readings
-- The time of the oldest row.
SELECT min(at) FROM readings

-- name: oldest_states
-- The time of the oldest row.
SELECT min(at) FROM states

-- name: oldest_events
-- The time of the oldest row.
SELECT min(at) FROM events

-- name: oldest_readings_hour
-- The time of the oldest row.
SELECT min(at) FROM readings_hour

-- name: oldest_states_hour
-- The time of the oldest row.
SELECT min(at) FROM states_hour

-- name: oldest_readings_day
-- The time of the oldest row.
SELECT min(at) FROM readings_day

-- name: oldest_states_day
-- The time of the oldest row.
SELECT min(at) FROM states_day

-- name: delete_readings
-- Rows of before this time, where there are no chunks to drop.
DELETE FROM readings WHERE at < $1

-- name: delete_states
-- Rows of before this time, where there are no chunks to drop.
DELETE FROM states WHERE at < $1

-- name: delete_events
-- Rows of before this time, where there are no chunks to drop.
DELETE FROM events WHERE at < $1

-- name: delete_readings_hour
-- Rows of before this time, where there are no chunks to drop.
DELETE FROM readings_hour WHERE at < $1

-- name: delete_states_hour
-- Rows of before this time, where there are no chunks to drop.
DELETE FROM states_hour WHERE at < $1

-- name: delete_readings_day
-- Rows of before this time, where there are no chunks to drop.
DELETE FROM readings_day WHERE at < $1

-- name: delete_states_day
-- Rows of before this time, where there are no chunks to drop.
DELETE FROM states_day WHERE at < $1

-- name: count_personal_events
-- Some ($2) events before a time that say who it was: what is left of them is how many there were in a day of the estate.
WITH old AS (
    SELECT tableoid AS part, ctid AS place FROM events
    WHERE at < $1 AND (point IN ('access', 'passage') OR fields ?| ARRAY['credential', 'plate']) ORDER BY at LIMIT $2
), gone AS (
    DELETE FROM events USING old
    WHERE events.tableoid = old.part AND events.ctid = old.place AND events.at < $1
      AND (point IN ('access', 'passage') OR fields ?| ARRAY['credential', 'plate'])
    RETURNING device, at, point
), counted AS (
    INSERT INTO events_day AS kept (device, at, point, count)
    SELECT gone.device, date_trunc('day', gone.at, area.timezone), gone.point, count(*)
    FROM gone JOIN device ON device.id = gone.device JOIN area ON area.id = device.estate GROUP BY 1, 2, 3
    ON CONFLICT (device, at, point) DO UPDATE SET count = kept.count + excluded.count
)
SELECT count(*) FROM gone

-- name: drop_quarantine
-- Quarantined blocks of before $1; and of each box those beyond $2 bytes, the oldest first.
WITH sized AS (
    SELECT id, at, sum(octet_length(block)) OVER (PARTITION BY gateway ORDER BY id DESC) AS newer_bytes FROM quarantine
), gone AS (
    DELETE FROM quarantine USING sized WHERE quarantine.id = sized.id AND (sized.at < $1 OR newer_bytes > $2) RETURNING quarantine.id
)
SELECT count(*) FROM gone

-- name: drop_losses
-- What boxes said before this time that they had to give up; and of each box what is beyond $2, the oldest first.
WITH many AS (SELECT gateway FROM loss GROUP BY gateway HAVING count(*) > $2),
beyond AS (SELECT id, row_number() OVER (PARTITION BY gateway ORDER BY id DESC) AS n FROM loss JOIN many USING (gateway)),
gone AS (
    DELETE FROM loss WHERE id = ANY(ARRAY(
        SELECT id FROM beyond WHERE n > $2 UNION ALL SELECT id FROM loss WHERE at < $1 LIMIT $3)) RETURNING id
)
SELECT count(*) FROM gone

-- name: drop_boots
-- Of boxes with more than $1 runs of their clock the oldest ones, at most $2.
WITH many AS (SELECT gateway FROM boot GROUP BY gateway HAVING count(*) > $1),
numbered AS (
    SELECT gateway, boot, row_number() OVER (PARTITION BY gateway ORDER BY first_seen_at DESC, boot) AS n
    FROM boot JOIN many USING (gateway)
), old AS (SELECT gateway, boot FROM numbered WHERE n > $1 LIMIT $2),
gone AS (DELETE FROM boot USING old WHERE boot.gateway = old.gateway AND boot.boot = old.boot RETURNING 1)
SELECT count(*) FROM gone

-- name: drop_seals
-- Of boxes with more than $1 seals of a stream those of runs that are not known, at most $2.
WITH many AS (SELECT gateway, stream FROM stream_seal GROUP BY 1, 2 HAVING count(*) > $1),
old AS (
    SELECT gateway, stream, boot FROM stream_seal JOIN many USING (gateway, stream)
    WHERE NOT EXISTS (SELECT FROM boot WHERE boot.gateway = stream_seal.gateway AND boot.boot = stream_seal.boot) LIMIT $2
), gone AS (
    DELETE FROM stream_seal USING old
    WHERE stream_seal.gateway = old.gateway AND stream_seal.stream = old.stream AND stream_seal.boot = old.boot RETURNING 1
)
SELECT count(*) FROM gone
