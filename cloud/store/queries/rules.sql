-- name: newest
-- Every rule's newest version, those that are switched off (no body) as well, with the last body that it had.
SELECT DISTINCT ON (name) name, version, origin, body, person, who, why, at,
       coalesce(body, (SELECT before.body FROM rule AS before WHERE before.name = rule.name AND before.body IS NOT NULL
                       ORDER BY version DESC LIMIT 1)) AS last_body
FROM rule ORDER BY name, version DESC

-- name: versions
-- All versions of a rule, the newest first.
SELECT name, version, origin, body, person, who, why, at, body AS last_body FROM rule WHERE name = $1 ORDER BY version DESC

-- name: count
-- How many versions there are of all rules together: as they are only ever added to, whether anything has changed.
SELECT count(*) FROM rule

-- name: lock
-- Nobody else makes versions until this transaction ends; whoever reads is not held up.
LOCK TABLE rule IN SHARE ROW EXCLUSIVE MODE

-- name: put
-- A new version.
INSERT INTO rule (name, version, origin, body, person, who, why)
SELECT $1, coalesce(max(version), 0) + 1, $2, $3, $4, $5, $6 FROM rule WHERE name = $1 RETURNING version

-- name: sync_pack
-- New versions for the shipped rules ($1, $2) whose bodies differ from the newest, and for those that are no longer shipped,
-- but for rules whose newest version is a person's.
WITH newest AS (
    SELECT DISTINCT ON (name) name, version, origin, body FROM rule ORDER BY name, version DESC
), shipped AS (
    SELECT * FROM unnest($1::text[], $2::jsonb[]) AS s (name, body)
)
INSERT INTO rule (name, version, origin, body, who, why)
SELECT name, coalesce(newest.version, 0) + 1, 'pack', shipped.body, $3,
       CASE WHEN shipped.name IS NULL THEN 'no longer shipped' ELSE '' END
FROM shipped FULL JOIN newest USING (name)
WHERE coalesce(newest.origin, 'pack') = 'pack' AND shipped.body IS DISTINCT FROM newest.body
ORDER BY name
RETURNING name
