-- name: find_areas
-- Nodes of the area tree by their names; a name may stand at several places.
SELECT name, array_agg(id ORDER BY id) AS ids FROM area WHERE name = ANY($1) GROUP BY name

-- name: find_people
-- People by their logins.
SELECT login, id FROM person WHERE login = ANY($1)

-- name: lock
-- One import at a time.
SELECT pg_advisory_xact_lock($1)

-- name: put_channels
-- Channels by their names; those that are not named any more carry nothing from now on.
WITH gone AS (UPDATE channel SET active = false WHERE NOT name = ANY($1))
INSERT INTO channel (name, kind, area, config, language, personal)
SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::jsonb[], $5::text[], $6::boolean[])
ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, area = excluded.area, config = excluded.config, language = excluded.language,
    personal = excluded.personal, active = true, paused_until = NULL, pause_why = ''
RETURNING id, name

-- name: put_contacts
-- How people are reached, in place of what stood there.
WITH gone AS (DELETE FROM person_contact WHERE NOT person = ANY($1))
INSERT INTO person_contact (person, email, mobile) SELECT * FROM unnest($1::int[], $2::text[], $3::text[])
ON CONFLICT (person) DO UPDATE SET email = excluded.email, mobile = excluded.mobile

-- name: clear_person_channels
-- Nobody has a channel, until put_person_channels.
DELETE FROM person_channel

-- name: put_person_channels
-- By which channels people are reached, in their order.
INSERT INTO person_channel (person, place, channel) SELECT * FROM unnest($1::int[], $2::smallint[], $3::int[])

-- name: put_schedules
-- On-call schedules by their names, in place of those that stood there.
WITH gone AS (DELETE FROM oncall_schedule WHERE NOT name = ANY($1))
INSERT INTO oncall_schedule (name, body) SELECT * FROM unnest($1::text[], $2::jsonb[])
ON CONFLICT (name) DO UPDATE SET body = excluded.body

-- name: put_policies
-- Escalation policies by their names, in place of those that stood there. See orphans.
WITH gone AS (DELETE FROM escalation_policy WHERE NOT name = ANY($1))
INSERT INTO escalation_policy (name, area, priorities, steps, repeat_every_s, repeat_times)
SELECT name, area, string_to_array(priorities, ' '), steps::jsonb, every_s, times
FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::int[], $6::int[]) AS p (name, area, priorities, steps, every_s, times)
ON CONFLICT (name) DO UPDATE SET area = excluded.area, priorities = excluded.priorities, steps = excluded.steps,
    repeat_every_s = excluded.repeat_every_s, repeat_times = excluded.repeat_times

-- name: orphans
-- Alarms of which somebody was still to be told, by a policy that is no more.
SELECT alarm FROM escalation WHERE policy IS NULL AND due_at IS NOT NULL

-- name: reroute
-- What waits for a channel that is no more goes by the person's first that is; there may be none, see strand.
UPDATE message SET channel = way.channel, place = way.place
FROM message AS waiting JOIN channel AS gone ON gone.id = waiting.channel AND NOT gone.active, LATERAL (
    SELECT person_channel.channel, person_channel.place FROM person_channel JOIN channel ON channel.id = person_channel.channel AND channel.active
    WHERE person_channel.person = waiting.person ORDER BY person_channel.place LIMIT 1
) AS way
WHERE waiting.id = message.id AND message.state = 'queued'

-- name: strand
-- What waits for a channel that is no more, and has no other, is refused.
UPDATE message SET state = 'refused', ended_at = clock_timestamp()
FROM channel WHERE channel.id = message.channel AND NOT channel.active AND message.state = 'queued'

-- name: channels
-- The channels that carry something.
SELECT id, name, kind, config, language, personal, paused_until, pause_why FROM channel WHERE active ORDER BY name

-- name: schedules
-- All on-call schedules.
SELECT name, body FROM oncall_schedule ORDER BY name

-- name: policies
-- Escalation policies, of these ids or all.
SELECT escalation_policy.id, escalation_policy.name, area.name AS area, priorities, steps, repeat_every_s, repeat_times
FROM escalation_policy JOIN area ON area.id = escalation_policy.area
WHERE $1::int[] IS NULL OR escalation_policy.id = ANY($1) ORDER BY escalation_policy.name

-- name: reached
-- How people are reached, as a person may see it: whether there is an address, not which.
SELECT person.login, person.name, person.id, array_agg(channel.name ORDER BY person_channel.place) AS channels
FROM person_channel JOIN person ON person.id = person_channel.person JOIN channel ON channel.id = person_channel.channel AND channel.active
GROUP BY person.id ORDER BY person.login

-- name: holders
-- Who has these roles for these estates; of a level, where one is named, by a grant at a node of that level.
SELECT wanted.role, wanted.level, wanted.estate, person.id AS person
FROM unnest($1::text[], $2::text[], $3::int[]) AS wanted (role, level, estate)
JOIN area AS estate ON estate.id = wanted.estate
JOIN person_grant ON person_grant.role = wanted.role
JOIN area AS node ON node.id = person_grant.area AND starts_with(estate.path, node.path) AND (wanted.level = '' OR node.level = wanted.level)
JOIN person ON person.id = person_grant.person AND NOT person.disabled
ORDER BY person.id

-- name: contacts
-- What a channel needs to reach or mention these people.
SELECT person.id, person.name, coalesce(person.language, '') AS language, coalesce(email, '') AS email, coalesce(mobile, '') AS mobile
FROM person LEFT JOIN person_contact ON person_contact.person = person.id WHERE person.id = ANY($1)
