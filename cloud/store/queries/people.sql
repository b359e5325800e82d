-- name: by_login
-- The person who wants to log in.
SELECT id, login, name, password_hash, language, disabled FROM person WHERE login = $1

-- name: put
-- A new person; nothing where the login is taken.
INSERT INTO person (login, name, password_hash, language) VALUES ($1, $2, $3, $4) ON CONFLICT (login) DO NOTHING RETURNING id

-- name: set_password
-- A new password, which ends all sessions of the person and forgets where they logged in.
WITH changed AS (UPDATE person SET password_hash = $2 WHERE login = $1 RETURNING id),
     ended AS (DELETE FROM person_session USING changed WHERE person_session.person = changed.id),
     forgotten AS (DELETE FROM known_browser USING changed WHERE known_browser.person = changed.id)
SELECT id FROM changed

-- name: set_disabled
-- Whether a person may log in; a disabled one has no session left and is known in no browser.
WITH changed AS (UPDATE person SET disabled = $2 WHERE login = $1 RETURNING id),
     ended AS (DELETE FROM person_session USING changed WHERE $2 AND person_session.person = changed.id),
     forgotten AS (DELETE FROM known_browser USING changed WHERE $2 AND known_browser.person = changed.id)
SELECT id FROM changed

-- name: list_people
-- Everybody, with their roles and where they hold them, and when they were last here.
SELECT person.login, person.name, person.disabled,
       coalesce(array_agg(person_grant.role || ' ' || area.name ORDER BY area.name, person_grant.role)
                FILTER (WHERE area.id IS NOT NULL), '{}') AS roles,
       (SELECT max(opened_at) FROM person_session WHERE person_session.person = person.id AND expires_at > now()) AS logged_in_at
FROM person LEFT JOIN person_grant ON person_grant.person = person.id LEFT JOIN area ON area.id = person_grant.area
GROUP BY person.id ORDER BY person.login

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
SELECT person.id, person.login, person.name, person.language, person_session.expires_at,
       coalesce(array_agg(DISTINCT person_grant.role || ' ' || estate.id) FILTER (WHERE estate.id IS NOT NULL), '{}') AS rights
FROM person_session JOIN person ON person.id = person_session.person
LEFT JOIN person_grant ON person_grant.person = person.id
LEFT JOIN area AS node ON node.id = person_grant.area
LEFT JOIN area AS estate ON estate.level = 'estate' AND starts_with(estate.path, node.path)
WHERE token_hash = $1 AND expires_at > now() AND NOT person.disabled
GROUP BY person.id, person_session.expires_at

-- name: close_session
-- Logged out.
DELETE FROM person_session WHERE token_hash = $1

-- name: lock_logins
-- Tries are counted one after the other, at whichever process they come in.
SELECT pg_advisory_xact_lock($1)

-- name: put_login_failure
-- A try that counts as a failure until it has succeeded; old ones are forgotten.
WITH old AS (DELETE FROM login_failure WHERE at < now() - INTERVAL '1 day')
INSERT INTO login_failure (login_hash, source, known) VALUES ($1, $2, $3)

-- name: count_login_failures
-- Wrong passwords in the last quarter of an hour: of this login from this source, from this source, of this login from strangers.
SELECT count(*) FILTER (WHERE login_hash = $1 AND source = $2) AS here, count(*) FILTER (WHERE source = $2) AS source,
       count(*) FILTER (WHERE login_hash = $1 AND NOT known) AS strangers
FROM login_failure WHERE at > now() - INTERVAL '15 minutes'

-- name: forget_login_failures
-- The right password was given at a source, or a new one was set (no source).
DELETE FROM login_failure WHERE login_hash = $1 AND source = coalesce($2, source)

-- name: known_browser
-- Whether anybody logged in with this browser before, and whether this person did.
SELECT count(*) > 0 AS known, coalesce(bool_or(person = $2), false) AS person FROM known_browser WHERE token_hash = $1

-- name: know_browser
-- A person logged in with this browser; those unused for as long as a browser keeps a cookie are forgotten.
WITH old AS (DELETE FROM known_browser WHERE seen_at < now() - INTERVAL '400 days' AND token_hash <> $1)
INSERT INTO known_browser (token_hash, person) VALUES ($1, $2)
ON CONFLICT (token_hash, person) DO UPDATE SET seen_at = now()

-- name: set_language
-- The language a person chose.
UPDATE person SET language = $2 WHERE id = $1

-- name: put_area
-- A node of the area tree; nothing where there is one of that name. It waits for another process that is just making it.
INSERT INTO area (parent, level, name, timezone, path)
VALUES ($1, $2, $3, $4, coalesce((SELECT path FROM area WHERE id = $1), '/') || 'new-' || gen_random_uuid() || '/')
ON CONFLICT (parent, name) DO NOTHING RETURNING id

-- name: find_area
-- A node of the area tree by its name.
SELECT id FROM area WHERE parent IS NOT DISTINCT FROM $1 AND name = $2

-- name: areas_named
-- Nodes by what a person who administers calls them.
SELECT id, level, name FROM area WHERE name = $1 OR id::text = $1 ORDER BY id LIMIT 10

-- name: area_names
-- What areas are called.
SELECT id, name FROM area WHERE id = ANY($1) ORDER BY name, id LIMIT 1000

-- name: settle_path
-- The path of a new node, now that its id is known.
UPDATE area SET path = coalesce((SELECT parent.path FROM area AS parent WHERE parent.id = area.parent), '/') || id || '/' WHERE id = $1

-- name: audit
-- One line of the audit log.
INSERT INTO audit (person, who, action, object, detail, address) VALUES ($1, $2, $3, $4, $5, $6)

-- name: audit_all
-- Many lines of the audit log.
INSERT INTO audit (person, who, action, object, detail, address)
SELECT $1, $2, action, object, detail, $6 FROM unnest($3::text[], $4::text[], $5::jsonb[]) AS deed (action, object, detail)

-- name: list_audit
-- The newest lines of the audit log.
SELECT id, at, who, action, object, detail, address FROM audit ORDER BY id DESC LIMIT $1
