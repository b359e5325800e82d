-- name: next
-- The blocks that have landed, box by box, from a place on: their readings are rows next to each other. None newer than $4.
SELECT gateway, id, items FROM landing WHERE (gateway, id) > ($1, $2) AND id <= $4 ORDER BY gateway, id LIMIT $3

-- name: last_id
-- The newest block that has landed or is about to.
SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('landing', 'id')), 0)

-- name: take
-- Takes blocks out to settle them in this transaction; those that another process has at that moment are left to it.
DELETE FROM landing USING (
    SELECT gateway, id FROM landing JOIN unnest($1::uuid[], $2::bigint[]) AS asked (gateway, id) USING (gateway, id)
    FOR UPDATE OF landing SKIP LOCKED
) AS mine
WHERE landing.gateway = mine.gateway AND landing.id = mine.id
RETURNING landing.gateway, landing.id, landing.inventory, landing.offset_ns, landing.block

-- name: landed
-- Blocks of the series' boxes that reach into a time, and where the series stand in them (from 1; 0: not at all).
WITH box AS (SELECT DISTINCT device.gateway FROM series JOIN device ON device.id = series.device WHERE series.id = ANY($1)),
counted AS MATERIALIZED (  -- of each inventory once, not for each of its blocks
    SELECT gateway, inventory_id,
           ARRAY(SELECT coalesce(array_position(series, asked.id), 0)
                 FROM unnest($1::int[]) WITH ORDINALITY AS asked (id, n) ORDER BY n) AS places
    FROM inventory JOIN box USING (gateway)
)
SELECT offset_ns, block, places
FROM landing JOIN counted ON counted.gateway = landing.gateway AND counted.inventory_id = landing.inventory
WHERE landing.gateway IN (SELECT gateway FROM box) AND last_at >= $2 AND first_at < $3

-- name: depth
-- How much waits to be settled, and how long the oldest has waited.
SELECT count(*) AS blocks, coalesce(sum(items), 0)::bigint AS readings,
       coalesce(extract(epoch FROM clock_timestamp() - min(landed_at)), 0)::float8 AS age_s
FROM landing

-- name: boxes_above
-- Boxes of which more readings than $1 wait to be settled.
SELECT gateway FROM landing GROUP BY gateway HAVING sum(items) > $1
