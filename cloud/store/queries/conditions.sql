-- name: lock
-- What these rules remember of these sources, locked; who is at rest has no row.
SELECT rule, source, gateway, bulk, stage, pending, since, due_at, memory FROM condition
WHERE (rule, source) IN (SELECT * FROM unnest($1::text[], $2::text[])) ORDER BY rule, source FOR UPDATE

-- name: claim
-- The same for sources that no cursor keeps apart: whoever comes second waits, also where there was no row.
INSERT INTO condition (rule, source, gateway)
SELECT * FROM unnest($1::text[], $2::text[], $3::uuid[]) AS asked (rule, source, gateway) ORDER BY rule, source
ON CONFLICT (rule, source) DO UPDATE SET rule = excluded.rule
RETURNING rule, source, gateway, bulk, stage, pending, since, due_at, memory

-- name: of_boxes
-- What rules remember of these boxes' readings, locked.
SELECT rule, source, gateway, bulk, stage, pending, since, due_at, memory FROM condition
WHERE bulk AND gateway = ANY($1) ORDER BY rule, source FOR UPDATE

-- name: due
-- What is to be looked at again, without what another process has.
SELECT rule, source, gateway, bulk, stage, pending, since, due_at, memory FROM condition
WHERE due_at <= coalesce($1::timestamptz, clock_timestamp()) ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED

-- name: catching_up
-- Of these boxes: who has sent bulk just now ($2), of which nothing is of the last while ($3).
SELECT of_box.gateway FROM latest_readings AS of_box
JOIN stream_cursor ON stream_cursor.gateway = of_box.gateway AND stream = 'bulk' AND moved_at > $2
WHERE of_box.gateway = ANY($1) AND (SELECT max(at) FROM unnest(of_box.at) AS at) < $3

-- name: of_rules
-- Some of what is remembered for rules that are not among these ($1), or for the rules $2; locked.
SELECT rule, source, gateway, bulk, stage, pending, since, due_at, memory FROM condition
WHERE (rule <> ALL($1::text[]) OR rule = ANY($2::text[])) AND (rule, source) > ($3, $4)
ORDER BY rule, source LIMIT $5 FOR UPDATE

-- name: add
-- What rules remember of sources that were at rest.
INSERT INTO condition (rule, source, gateway, bulk, stage, pending, since, due_at, memory)
SELECT rule, source, gateway, bulk, stage, pending, since, due_at, memory::jsonb
FROM unnest($1::text[], $2::text[], $3::uuid[], $4::boolean[], $5::smallint[], $6::smallint[], $7::timestamptz[], $8::timestamptz[],
    $9::text[]) AS new (rule, source, gateway, bulk, stage, pending, since, due_at, memory)
ON CONFLICT DO NOTHING RETURNING 1

-- name: put
-- What rules remember now.
UPDATE condition SET stage = new.stage, pending = new.pending, since = new.since, due_at = new.due_at, memory = new.memory::jsonb
FROM unnest($1::text[], $2::text[], $3::smallint[], $4::smallint[], $5::timestamptz[], $6::timestamptz[], $7::text[])
    AS new (rule, source, stage, pending, since, due_at, memory)
WHERE condition.rule = new.rule AND condition.source = new.source

-- name: drop
-- What came to rest.
DELETE FROM condition WHERE (rule, source) IN (SELECT * FROM unnest($1::text[], $2::text[]))
