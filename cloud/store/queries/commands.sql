-- name: put
-- A command that waits for its box.
INSERT INTO command (id, gateway, device, point, args, not_after, status, person, who)
VALUES ($1, $2, $3, $4, $5, $6, 'queued', $7, $8)

-- name: take_waiting
-- What a box has to be told on its newest connection ($3): queued, and at first ($2) also what was sent on the one before.
-- The box does each once.
UPDATE command SET status = 'sent', sent_at = coalesce(sent_at, clock_timestamp())
FROM device JOIN gateway ON gateway.id = device.gateway
WHERE command.gateway = $1 AND (command.status = 'queued' OR $2 AND command.status = 'sent') AND command.not_after > now()
  AND device.id = command.device AND gateway.down_connection = $3
RETURNING command.id, device.key AS device, command.point, command.args, command.not_after

-- name: expire
-- No answer before the not-after: the box would refuse it now.
UPDATE command SET status = 'expired', reason = 'no answer before its time was up', answered_at = clock_timestamp()
WHERE status IN ('queued', 'sent') AND not_after < now() - INTERVAL '5 seconds' RETURNING device, gateway

-- name: hold_down
-- The box's newest connection, whichever process has it: the only one that is given its commands.
UPDATE gateway SET down_connection = $2 WHERE id = $1

-- name: holds_down
-- Whether this connection is still the newest of its box.
SELECT down_connection = $2 FROM gateway WHERE id = $1

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
