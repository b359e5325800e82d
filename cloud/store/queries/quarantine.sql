-- name: list_blocks
-- Blocks that were set aside, of these estates ($1; NULL: of all) and this box ($2; NULL: of all), newest first.
SELECT quarantine.id, gateway, gateway.hostname, area.name AS estate, stream, epoch, number, octet_length(block) AS bytes, reason, at,
       replayed_at
FROM quarantine JOIN gateway ON gateway.id = quarantine.gateway JOIN area ON area.id = gateway.estate
WHERE ($1::int[] IS NULL OR gateway.estate = ANY($1)) AND ($2::uuid IS NULL OR gateway = $2) AND ($4 OR replayed_at IS NULL)
ORDER BY quarantine.id DESC LIMIT $3

-- name: count_blocks
-- How many of those there are.
SELECT count(*) FROM quarantine JOIN gateway ON gateway.id = quarantine.gateway
WHERE ($1::int[] IS NULL OR gateway.estate = ANY($1)) AND ($2::uuid IS NULL OR gateway = $2) AND ($3 OR replayed_at IS NULL)

-- name: get_block
-- One of them, whole.
SELECT quarantine.id, gateway, gateway.hostname, area.name AS estate, gateway.estate AS estate_id, stream, epoch, number,
       octet_length(block) AS bytes, reason, at, replayed_at, block
FROM quarantine JOIN gateway ON gateway.id = quarantine.gateway JOIN area ON area.id = gateway.estate
WHERE quarantine.id = $1 AND ($2::int[] IS NULL OR gateway.estate = ANY($2))

-- name: drop_block
-- What nobody will need any more.
DELETE FROM quarantine USING gateway WHERE quarantine.id = $1 AND gateway.id = quarantine.gateway AND ($2::int[] IS NULL OR gateway.estate = ANY($2))
RETURNING gateway.id AS gateway, gateway.estate AS estate_id, stream, epoch, number, octet_length(block) AS bytes, reason
