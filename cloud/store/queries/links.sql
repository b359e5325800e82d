-- name: may_acknowledge
-- Which of these people may acknowledge at these estates, by these roles.
SELECT DISTINCT asked.person, asked.estate FROM unnest($1::int[], $2::int[]) AS asked (person, estate)
JOIN area AS estate ON estate.id = asked.estate
JOIN person ON person.id = asked.person AND NOT person.disabled
JOIN person_grant ON person_grant.person = asked.person AND person_grant.role = ANY($3)
JOIN area AS node ON node.id = person_grant.area AND starts_with(estate.path, node.path)

-- name: put
-- Links of a message that is about to be sent; those that expired a day ago are forgotten.
WITH old AS (DELETE FROM answer_link WHERE expires_at < clock_timestamp() - INTERVAL '1 day')
INSERT INTO answer_link (token_hash, alarm, person, expires_at)
SELECT hash, alarm, person, clock_timestamp() + $4 FROM unnest($1::bytea[], $2::uuid[], $3::int[]) AS link (hash, alarm, person)

-- name: find
-- A link, for looking or (locked, so that it is used once) for using: whose it is, and whether it still holds.
SELECT answer_link.alarm, answer_link.person, person.name, person.language, person.disabled, alarm.estate, answer_link.used_at,
       answer_link.expires_at <= clock_timestamp() AS expired
FROM answer_link JOIN person ON person.id = answer_link.person JOIN alarm ON alarm.id = answer_link.alarm
WHERE token_hash = $1

-- name: lock
-- Nobody else uses this link meanwhile.
SELECT FROM answer_link WHERE token_hash = $1 FOR UPDATE

-- name: use
-- The link is spent.
UPDATE answer_link SET used_at = clock_timestamp() WHERE token_hash = $1

-- name: count_failures
-- Links that were none, from one address in the last quarter of an hour.
SELECT count(*) FROM link_failure WHERE address = $1 AND at > clock_timestamp() - INTERVAL '15 minutes'

-- name: put_failure
-- One more; old ones are forgotten.
WITH old AS (DELETE FROM link_failure WHERE at < clock_timestamp() - INTERVAL '1 day')
INSERT INTO link_failure (address) VALUES ($1)
