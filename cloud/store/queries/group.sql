-- name: create_cursors
-- The rows that lock_cursors locks, before the first block of a stream.
INSERT INTO stream_cursor (gateway, stream, epoch, number, checksum)
SELECT gateway, $2, 0, 0, 0 FROM unnest($1::uuid[]) AS g (gateway) ORDER BY gateway
ON CONFLICT DO NOTHING

-- name: lock_cursors
-- The cursors of boxes, those locked that nobody else has locked: a box that is stuck holds up no other.
SELECT gateway, epoch, number, checksum FROM stream_cursor WHERE gateway = ANY($1) AND stream = $2
ORDER BY gateway FOR UPDATE SKIP LOCKED

-- name: wait_for_cursors
-- The same, with waiting for those that somebody else has locked.
SELECT gateway, epoch, number, checksum FROM stream_cursor WHERE gateway = ANY($1) AND stream = $2
ORDER BY gateway FOR UPDATE

-- name: known_epochs
-- Which of these epochs their boxes have used before.
SELECT gateway, epoch FROM stream_epoch JOIN unnest($1::uuid[], $2::bigint[]) AS asked (gateway, epoch) USING (gateway, epoch)
WHERE stream = $3

-- name: boots
-- What is known of these boots of boxes, for one stream.
SELECT asked.gateway, asked.boot, boot.mono_ns, boot.utc_ns, boot.uncertainty_ns, coalesce(stream_seal.sealed_ns, 0) AS sealed_ns
FROM unnest($1::uuid[], $2::bytea[]) AS asked (gateway, boot)
LEFT JOIN boot ON boot.gateway = asked.gateway AND boot.boot = asked.boot
LEFT JOIN stream_seal ON stream_seal.gateway = asked.gateway AND stream_seal.stream = $3 AND stream_seal.boot = asked.boot

-- name: inventories
-- How boxes counted their series in these inventories, and whose series they are.
SELECT asked.gateway, asked.inventory_id, inventory.series,
       ARRAY(SELECT coalesce(series.device, 0) FROM unnest(inventory.series) WITH ORDINALITY AS counted (id, place)
             LEFT JOIN series ON series.id = counted.id ORDER BY counted.place) AS devices
FROM unnest($1::uuid[], $2::bigint[]) AS asked (gateway, inventory_id)
JOIN inventory ON inventory.gateway = asked.gateway AND inventory.inventory_id = asked.inventory_id

-- name: close_epochs
-- The chains that new epochs end.
UPDATE stream_epoch SET closed_at = now(), last_number = opened.last_number
FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS opened (gateway, epoch, last_number)
WHERE stream_epoch.gateway = opened.gateway AND stream = $4 AND stream_epoch.epoch <> opened.epoch AND closed_at IS NULL

-- name: open_epochs
-- New chains.
INSERT INTO stream_epoch (gateway, stream, epoch) SELECT gateway, $3, epoch FROM unnest($1::uuid[], $2::bigint[]) AS opened (gateway, epoch)

-- name: seal
-- The last blocks taken of boots.
INSERT INTO stream_seal (gateway, stream, boot, sealed_ns)
SELECT gateway, $4, boot, sealed_ns FROM unnest($1::uuid[], $2::bytea[], $3::bigint[]) AS s (gateway, boot, sealed_ns)
ORDER BY gateway, boot
ON CONFLICT (gateway, stream, boot) DO UPDATE SET sealed_ns = greatest(stream_seal.sealed_ns, excluded.sealed_ns)

-- name: move_cursors
-- The streams have come this far, once this transaction commits.
UPDATE stream_cursor SET epoch = moved.epoch, number = moved.number, checksum = moved.checksum, moved_at = now()
FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[]) AS moved (gateway, epoch, number, checksum)
WHERE stream_cursor.gateway = moved.gateway AND stream_cursor.stream = $5
