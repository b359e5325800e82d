-- name: put_claim
-- A one-time right to enrol a box in an estate, perhaps in place of another.
INSERT INTO claim (code_hash, estate, created_by, expires_at, replaces) VALUES ($1, $2, $3, now() + $4, $5)

-- name: lock_claim
-- A claim and what became of it.
SELECT claim.estate, expires_at < now() AS expired, used_at IS NOT NULL AS used, claim.replaces, gateway.id AS gateway,
       gateway.public_key
FROM claim LEFT JOIN gateway ON gateway.id = claim.gateway AND gateway.revoked_at IS NULL
WHERE code_hash = $1 FOR UPDATE OF claim

-- name: use_claim
-- The claim is spent.
UPDATE claim SET used_at = now(), gateway = $2 WHERE code_hash = $1

-- name: count_enrol_failures
-- Wrong claims from one address in the last quarter of an hour.
SELECT count(*) FROM enrol_failure WHERE address = $1 AND at > now() - INTERVAL '15 minutes'

-- name: put_enrol_failure
-- One more wrong claim.
WITH old AS (DELETE FROM enrol_failure WHERE at < now() - INTERVAL '1 day')
INSERT INTO enrol_failure (address) VALUES ($1)

-- name: put_gateway
-- A new box.
INSERT INTO gateway (estate, public_key, hostname, version, seen_at) VALUES ($1, $2, $3, $4, now()) RETURNING id

-- name: put_nonce
-- A nonce to sign, and away with those that nobody signed; the oldest go where a box has $3 already.
WITH old AS (DELETE FROM gateway_nonce WHERE expires_at < now()), beyond AS (
    DELETE FROM gateway_nonce WHERE nonce IN (
        SELECT nonce FROM gateway_nonce WHERE gateway = $2 AND expires_at >= now() ORDER BY expires_at DESC OFFSET $3 - 1))
INSERT INTO gateway_nonce (nonce, gateway, expires_at)
SELECT $1, id, now() + INTERVAL '1 minute' FROM gateway WHERE id = $2 AND revoked_at IS NULL
RETURNING true

-- name: take_nonce
-- The nonce, once, and the public key of its box, if that may open sessions.
DELETE FROM gateway_nonce USING gateway
WHERE nonce = $1 AND gateway_nonce.gateway = $2 AND expires_at > now() AND gateway.id = $2 AND revoked_at IS NULL
RETURNING gateway.public_key

-- name: open_session
-- A box's session, and away with its expired ones.
WITH old AS (DELETE FROM gateway_session WHERE gateway = $2 AND expires_at < now())
INSERT INTO gateway_session (token_hash, gateway, expires_at) VALUES ($1, $2, now() + $3)

-- name: session_gateways
-- Whose tokens these are. A revoked box has no session.
SELECT token_hash, gateway.id, gateway.estate, gateway_session.opened_at AS session_at
FROM gateway_session JOIN gateway ON gateway.id = gateway_session.gateway
WHERE token_hash = ANY($1) AND expires_at > now() AND revoked_at IS NULL

-- name: seen
-- The box was here, with this version, and beats so often.
UPDATE gateway SET seen_at = now(), version = coalesce($2, version), site_digest = coalesce($3, site_digest),
    beat_s = coalesce($4, beat_s)
WHERE id = $1

-- name: active
-- Those of these boxes that are not revoked.
SELECT id FROM gateway WHERE id = ANY($1) AND revoked_at IS NULL

-- name: create_cursors
-- The rows that lock_cursors locks, also of a box that has sent nothing yet.
INSERT INTO stream_cursor (gateway, stream, epoch, number, checksum)
SELECT id, stream, 0, 0, 0 FROM gateway, unnest(ARRAY['urgent', 'bulk']) AS s (stream) WHERE id = $1
ON CONFLICT DO NOTHING

-- name: lock_cursors
-- Waits for what is being stored of a box; in the order in which urgent blocks take them.
SELECT stream FROM stream_cursor WHERE gateway = $1 ORDER BY stream DESC FOR UPDATE

-- name: revoke
-- One row ends a box's sessions and its right to open new ones.
UPDATE gateway SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL RETURNING estate

-- name: replace
-- The same, since another box has taken its place.
UPDATE gateway SET revoked_at = now(), replaced_by = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING estate

-- name: pass_devices_on
-- A box's devices with all their history are its successor's from now on.
UPDATE device SET gateway = $2 WHERE gateway = $1 RETURNING id

-- name: pass_latest_on
-- So are the newest readings of those.
UPDATE latest_readings SET gateway = $2 WHERE gateway = $1

-- name: pass_alarms_on
-- So are their alarms; those about the box itself stay its own.
UPDATE alarm SET gateway = $2 WHERE gateway = $1 AND device IS NOT NULL

-- name: pass_conditions_on
-- So is what rules remember of their points.
UPDATE condition SET gateway = $2 WHERE gateway = $1 AND source LIKE ANY(ARRAY['series:%', 'device:%'])

-- name: estate
-- The estate of a box that is not revoked, and whether it has reported devices.
SELECT estate, EXISTS (SELECT FROM device WHERE device.gateway = gateway.id) AS has_devices
FROM gateway WHERE id = $1 AND revoked_at IS NULL

-- name: retire_devices
-- Nobody speaks for the devices of a revoked box any more.
UPDATE device SET active = false WHERE gateway = $1 AND active RETURNING id

-- name: end_conditions
-- Rules remember nothing of a box that is gone.
DELETE FROM condition WHERE gateway = $1

-- name: end_alarms
-- The active alarms of a box's devices end, since nobody could ever clear them; $2 is who ended them, $3 why.
WITH was AS (
    SELECT id, state, device FROM alarm WHERE gateway = $1 AND state <> 'NORM' ORDER BY id FOR UPDATE
), moved AS (
    UPDATE alarm SET state = 'NORM', holds = false, changed_at = clock_timestamp(), ended_at = clock_timestamp(),
        hold_until = NULL, warn_at = NULL, clears_at = NULL FROM was WHERE alarm.id = was.id
), kept AS (
    INSERT INTO alarm_transition (alarm, at, from_state, to_state, event, who, why)
    SELECT id, clock_timestamp(), state, 'NORM', 'revoked', $2, $3 FROM was
)
SELECT DISTINCT device FROM was WHERE device IS NOT NULL
