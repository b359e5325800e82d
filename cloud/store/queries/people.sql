-- name: by_login
-- The person who wants to log in.
SELECT id, login, name, password_hash, language, disabled FROM person WHERE login = $1

-- name: put
-- A new person.
INSERT INTO person (login, name, password_hash, language) VALUES ($1, $2, $3, $4) RETURNING id

-- name: set_password
-- A new password, which ends all sessions of the person.
WITH changed AS (UPDATE person SET password_hash = $2 WHERE login = $1 RETURNING id),
     ended AS (DELETE FROM person_session USING changed WHERE person_session.person = changed.id)
SELECT id FROM changed

-- name: rehash
-- The same password under today's cost.
UPDATE person SET password_hash = $2 WHERE id = $1

-- name: grant
-- A role at a node of the area tree.
INSERT INTO person_grant (person, role, area) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING

-- name: count
-- Whether anybody can log in at all.
SELECT count(*) FROM person

-- name: open_session
-- A session, and away with expired ones.
WITH old AS (DELETE FROM person_session WHERE expires_at < now())
INSERT INTO person_session (token_hash, person, expires_at) VALUES ($1, $2, now() + $3)

-- name: session
-- Who a token is, and what they may do where: one row a role and estate.
SELECT person.id, person.login, person.name, person.language,
       coalesce(array_agg(DISTINCT person_grant.role || ' ' || estate.id) FILTER (WHERE estate.id IS NOT NULL), '{}') AS rights
FROM person_session JOIN person ON person.id = person_session.person
LEFT JOIN person_grant ON person_grant.person = person.id
LEFT JOIN area AS node ON node.id = person_grant.area
LEFT JOIN area AS estate ON estate.level = 'estate' AND starts_with(estate.path, node.path)
WHERE token_hash = $1 AND expires_at > now() AND NOT person.disabled
GROUP BY person.id

-- name: close_session
-- Logged out.
DELETE FROM person_session WHERE token_hash = $1

-- name: put_login_failure
-- One more wrong password; old ones are forgotten.
WITH old AS (DELETE FROM login_failure WHERE at < now() - INTERVAL '1 day')
INSERT INTO login_failure (login, address) VALUES ($1, $2)

-- name: count_login_failures
-- Wrong passwords in the last quarter of an hour: for this login, and from this address.
SELECT count(*) FILTER (WHERE login = $1) AS login, count(*) FILTER (WHERE address = $2) AS address
FROM login_failure WHERE at > now() - INTERVAL '15 minutes'

-- name: forget_login_failures
-- The right password.
DELETE FROM login_failure WHERE login = $1 AND address = $2

-- name: set_language
-- The language a person chose.
UPDATE person SET language = $2 WHERE id = $1

-- name: put_area
-- A node of the area tree, or the one that is there.
WITH parent AS (SELECT id, path FROM area WHERE id = $1), made AS (
    INSERT INTO area (parent, level, name, timezone, path)
    VALUES ($1, $2, $3, $4, coalesce((SELECT path FROM parent), '/') || 'new-' || gen_random_uuid() || '/')
    ON CONFLICT (parent, name) DO NOTHING RETURNING id, path)
SELECT id, true AS is_new FROM made UNION ALL SELECT id, false FROM area WHERE parent IS NOT DISTINCT FROM $1 AND name = $3

-- name: settle_path
-- The path of a new node, now that its id is known.
UPDATE area SET path = coalesce((SELECT parent.path FROM area AS parent WHERE parent.id = area.parent), '/') || id || '/' WHERE id = $1

-- name: audit
-- One line of the audit log.
INSERT INTO audit (person, who, action, object, detail, address) VALUES ($1, $2, $3, $4, $5, $6)

-- name: list_audit
-- The newest lines of the audit log.
SELECT id, at, who, action, object, detail, address FROM audit ORDER BY id DESC LIMIT $1
