-- name: put
-- A command that waits for its box.
INSERT INTO command (id, gateway, device, point, args, not_after, status, person, who)
VALUES ($1, $2, $3, $4, $5, $6, 'queued', $7, $8)

-- name: orderable
-- What can be ordered of these devices.
SELECT id, gateway, commands FROM device_now WHERE id = ANY($1) AND estate_id = ANY($2)

-- name: put_all
-- Commands that wait for their boxes.
INSERT INTO command (id, gateway, device, point, args, not_after, status, person, who)
SELECT id, gateway, device, point, args, clock_timestamp() + $6, 'queued', $7, $8
FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[], $5::jsonb[]) AS new (id, gateway, device, point, args)

-- name: take_waiting
-- What boxes have to be told on their newest connections: queued, and at first also what was sent on the one before.
-- A box does each once.
UPDATE command SET status = 'sent', sent_at = coalesce(sent_at, clock_timestamp())
FROM unnest($1::uuid[], $2::uuid[], $3::boolean[]) AS asked (gateway, down, is_first)
JOIN gateway ON gateway.id = asked.gateway AND gateway.down_connection = asked.down
JOIN device ON device.gateway = gateway.id
WHERE command.gateway = asked.gateway AND command.status IN ('queued', 'sent') AND (command.status = 'queued' OR asked.is_first)
  AND command.not_after > now() AND device.id = command.device
RETURNING asked.down, command.id, device.key AS device, command.point, command.args, command.not_after

-- name: expire
-- No answer before the not-after: the box would refuse it now.
UPDATE command SET status = 'expired', reason = 'no answer before its time was up', answered_at = clock_timestamp()
WHERE status IN ('queued', 'sent') AND not_after < now() - INTERVAL '5 seconds' RETURNING device, gateway

-- name: open_downs
-- The boxes' newest connections, whichever process has them: the only ones that are given their commands.
WITH locked AS (SELECT id FROM gateway WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE)
UPDATE gateway SET down_connection = opened.down
FROM unnest($1::uuid[], $2::uuid[]) AS opened (gateway, down) JOIN locked ON locked.id = opened.gateway
WHERE gateway.id = opened.gateway

-- name: standing_downs
-- Which connections go on: those that are still their box's newest, and whose session holds.
SELECT asked.down FROM unnest($1::uuid[], $2::bytea[]) AS asked (down, session)
JOIN gateway_session ON gateway_session.token_hash = asked.session AND gateway_session.expires_at > now()
JOIN gateway ON gateway.id = gateway_session.gateway AND gateway.revoked_at IS NULL AND gateway.down_connection = asked.down

-- name: answer
-- A box's answers, also when they come after we gave up waiting. Each command is answered once, by the first.
UPDATE command SET status = answers.status, reason = answers.reason, answered_at = clock_timestamp()
FROM (SELECT DISTINCT ON (id) * FROM unnest($2::uuid[], $3::text[], $4::text[]) WITH ORDINALITY AS a (id, status, reason, n) ORDER BY id, n) AS answers
WHERE command.id = answers.id AND command.gateway = $1 AND command.status IN ('queued', 'sent', 'expired') RETURNING device

-- name: list_recent
-- The last commands of a device.
SELECT id, device, point, args, status, reason, who, at, sent_at, answered_at, not_after
FROM command WHERE device = $1 ORDER BY at DESC LIMIT $2

-- name: get
-- One command of a device a person may see, by the same columns.
SELECT command.id, device, point, args, status, reason, who, at, sent_at, answered_at, not_after
FROM command JOIN device ON device.id = command.device WHERE command.id = $1 AND device.estate = ANY($2)
