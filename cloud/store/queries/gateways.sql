-- name: put_claim
-- A one-time right to enrol a box in an estate.
INSERT INTO claim (code_hash, estate, created_by, expires_at) VALUES ($1, $2, $3, now() + $4)

-- name: lock_claim
-- A claim and what became of it.
SELECT claim.estate, expires_at < now() AS expired, used_at IS NOT NULL AS used, gateway.id AS gateway, gateway.public_key
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

-- name: gateway_key
-- The public key of a box that may open sessions.
SELECT public_key FROM gateway WHERE id = $1 AND revoked_at IS NULL

-- name: put_nonce
-- A nonce to sign, and away with those that nobody signed; the oldest go where a box has $3 already.
WITH old AS (DELETE FROM gateway_nonce WHERE expires_at < now()), beyond AS (
    DELETE FROM gateway_nonce WHERE nonce IN (
        SELECT nonce FROM gateway_nonce WHERE gateway = $2 AND expires_at >= now() ORDER BY expires_at DESC OFFSET $3 - 1))
INSERT INTO gateway_nonce (nonce, gateway, expires_at)
SELECT $1, id, now() + INTERVAL '1 minute' FROM gateway WHERE id = $2 AND revoked_at IS NULL
RETURNING true

-- name: take_nonce
-- The nonce, once.
DELETE FROM gateway_nonce WHERE nonce = $1 AND gateway = $2 AND expires_at > now() RETURNING true

-- name: open_session
-- A box's session, and away with its expired ones.
WITH old AS (DELETE FROM gateway_session WHERE gateway = $2 AND expires_at < now())
INSERT INTO gateway_session (token_hash, gateway, expires_at) VALUES ($1, $2, now() + $3)

-- name: session_gateway
-- Whose token this is. A revoked box has no session.
SELECT gateway.id, gateway.estate FROM gateway_session JOIN gateway ON gateway.id = gateway_session.gateway
WHERE token_hash = $1 AND expires_at > now() AND revoked_at IS NULL

-- name: beat
-- The box lives, and this much it still keeps; whether it was silent before.
UPDATE gateway SET seen_at = now(), urgent_backlog = $2, bulk_backlog = $3
FROM (SELECT id, silent FROM gateway_now WHERE id = $1) AS before
WHERE gateway.id = before.id RETURNING before.silent

-- name: silent
-- The boxes of these estates that say nothing, and how many devices are behind each.
SELECT gateway.id, area.name AS estate, gateway.hostname, gateway.seen_at,
       (SELECT count(*) FROM device WHERE device.gateway = gateway.id AND active) AS devices
FROM gateway_now AS gateway JOIN area ON area.id = gateway.estate
WHERE gateway.silent AND gateway.estate = ANY($1) ORDER BY area.name, gateway.hostname

-- name: seen
-- The box was here, with this version.
UPDATE gateway SET seen_at = now(), version = coalesce($2, version), site_digest = coalesce($3, site_digest) WHERE id = $1

-- name: revoke
-- One row ends a box's sessions and its right to open new ones.
UPDATE gateway SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL RETURNING estate

-- name: retire_devices
-- Nobody speaks for the devices of a revoked box any more.
UPDATE device SET active = false WHERE gateway = $1 AND active RETURNING id

-- name: end_alarms
-- The active alarms of a box's devices end, since nobody could ever clear them; $2 is who ended them, $3 why.
WITH was AS (
    SELECT alarm.id, alarm.state, alarm.device FROM alarm JOIN device ON device.id = alarm.device
    WHERE device.gateway = $1 AND alarm.state <> 'NORM' ORDER BY alarm.id FOR UPDATE OF alarm
), moved AS (
    UPDATE alarm SET state = 'NORM', changed_at = clock_timestamp() FROM was WHERE alarm.id = was.id
), kept AS (
    INSERT INTO alarm_transition (alarm, at, from_state, to_state, event, who, why)
    SELECT id, clock_timestamp(), state, 'NORM', 'revoked', $2, $3 FROM was
)
SELECT DISTINCT device FROM was

-- name: list_gateways
-- The boxes a person may see, with how far their streams are and what they gave up.
SELECT gateway.id, area.name AS estate, gateway.hostname, gateway.version, gateway.enrolled_at, gateway.seen_at, gateway.revoked_at,
       clock.uncertainty_ns, clock.source AS clock_source, gateway.silent, gateway.urgent_backlog, gateway.bulk_backlog,
       (SELECT count(*) FROM device WHERE device.gateway = gateway.id AND active) AS devices,
       (SELECT max(moved_at) FROM stream_cursor WHERE stream_cursor.gateway = gateway.id AND number > 0) AS data_at,
       (SELECT coalesce(sum(items), 0)::bigint FROM loss WHERE loss.gateway = gateway.id) AS lost_items,
       (SELECT count(*) FROM quarantine WHERE quarantine.gateway = gateway.id AND replayed_at IS NULL) AS quarantined,
       EXISTS (SELECT FROM gateway_session WHERE gateway_session.gateway = gateway.id AND expires_at > now()) AS in_session
FROM gateway_now AS gateway JOIN area ON area.id = gateway.estate
LEFT JOIN LATERAL (
    SELECT uncertainty_ns, source FROM boot WHERE boot.gateway = gateway.id AND utc_ns IS NOT NULL
    ORDER BY first_seen_at DESC LIMIT 1
) AS clock ON true
WHERE gateway.estate = ANY($1)
ORDER BY area.name, gateway.hostname, gateway.id
