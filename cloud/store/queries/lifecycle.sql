-- name: time
-- What time it is to the alarms.
SELECT coalesce($1::timestamptz, clock_timestamp())

-- name: lock_active
-- The active alarms of these rules and sources, locked in one order for everybody.
SELECT id, rule, rule_version, source, series, device, gateway, estate, priority, state, holds, stage, value, raised_at, late,
       announced_at, acked_at, acked_by, hold_until, hold_why, held_by, cause, repeats, chattering, warn_at, clears_at, ended_at
FROM alarm
WHERE state <> 'NORM' AND (rule, source) IN (SELECT * FROM unnest($1::text[], $2::text[])) ORDER BY id FOR UPDATE

-- name: lock
-- Alarms by their ids, active or not, locked.
SELECT id, rule, rule_version, source, series, device, gateway, estate, priority, state, holds, stage, value, raised_at, late,
       announced_at, acked_at, acked_by, hold_until, hold_why, held_by, cause, repeats, chattering, warn_at, clears_at, ended_at
FROM alarm WHERE id = ANY($1) ORDER BY id FOR UPDATE

-- name: lock_due
-- Alarms of which a hold, its warning or a held-back end is due, without those that another process has.
SELECT id, rule, rule_version, source, series, device, gateway, estate, priority, state, holds, stage, value, raised_at, late,
       announced_at, acked_at, acked_by, hold_until, hold_why, held_by, cause, repeats, chattering, warn_at, clears_at, ended_at
FROM alarm WHERE due_at <= coalesce($1::timestamptz, clock_timestamp()) ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED

-- name: lock_of_rules
-- Some active alarms of rules that are not among these ($1), or of the rules $2; locked.
SELECT id, rule, rule_version, source, series, device, gateway, estate, priority, state, holds, stage, value, raised_at, late,
       announced_at, acked_at, acked_by, hold_until, hold_why, held_by, cause, repeats, chattering, warn_at, clears_at, ended_at
FROM alarm WHERE state <> 'NORM' AND (rule <> ALL($1::text[]) OR rule = ANY($2::text[])) AND id > $3
ORDER BY id LIMIT $4 FOR UPDATE

-- name: add
-- New alarms; one that is active already is not made twice.
INSERT INTO alarm (id, rule, rule_version, source, series, device, gateway, estate, priority, state, holds, stage, value, raised_at, late,
    hold_until, hold_why, cause, warn_at, repeats, chattering, clears_at, created_at, changed_at, ended_at)
SELECT new.*, coalesce($23::timestamptz, clock_timestamp()), coalesce($23, clock_timestamp()),
    CASE WHEN new.state = 'NORM' THEN coalesce($23, clock_timestamp()) END
FROM unnest($1::uuid[], $2::text[], $3::int[], $4::text[], $5::int[], $6::int[], $7::uuid[], $8::int[], $9::text[], $10::text[],
    $11::boolean[], $12::smallint[], $13::text[], $14::timestamptz[], $15::boolean[], $16::timestamptz[], $17::text[], $18::uuid[],
    $19::timestamptz[], $20::int[], $21::boolean[], $22::timestamptz[]) AS new (id, rule, rule_version, source, series, device, gateway,
    estate, priority, state, holds, stage, value, raised_at, late, hold_until, hold_why, cause, warn_at, repeats, chattering, clears_at)
ON CONFLICT (rule, source) WHERE state <> 'NORM' DO NOTHING RETURNING id

-- name: put
-- Alarms as they stand now.
UPDATE alarm SET rule_version = new.rule_version, priority = new.priority, state = new.state, holds = new.holds, stage = new.stage,
    value = new.value, acked_at = new.acked_at, acked_by = new.acked_by, hold_until = new.hold_until, hold_why = new.hold_why,
    held_by = new.held_by, cause = new.cause, repeats = new.repeats, chattering = new.chattering, warn_at = new.warn_at,
    clears_at = new.clears_at, changed_at = CASE WHEN alarm.state = new.state THEN alarm.changed_at ELSE coalesce($18, clock_timestamp()) END,
    ended_at = CASE WHEN new.state = 'NORM' THEN coalesce(alarm.ended_at, $18, clock_timestamp()) END
FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::boolean[], $6::smallint[], $7::text[], $8::timestamptz[], $9::int[],
    $10::timestamptz[], $11::text[], $12::int[], $13::uuid[], $14::int[], $15::boolean[], $16::timestamptz[], $17::timestamptz[])
    AS new (id, rule_version, priority, state, holds, stage, value, acked_at, acked_by, hold_until, hold_why, held_by, cause, repeats,
    chattering, warn_at, clears_at)
WHERE alarm.id = new.id

-- name: add_transitions
-- Lines of history, in their order.
INSERT INTO alarm_transition (alarm, at, from_state, to_state, event, person, who, why)
SELECT alarm, at, from_state, to_state, event, person, who, why
FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::int[], $7::text[], $8::text[])
    WITH ORDINALITY AS new (alarm, at, from_state, to_state, event, person, who, why, n) ORDER BY n

-- name: announce
-- Those of these that want somebody now; since when they did first is kept.
UPDATE alarm SET announced_at = coalesce(announced_at, $2, clock_timestamp())
WHERE id = ANY($1) AND state IN ('UNACK', 'RTNUN') RETURNING id

-- name: raises
-- How often, and when, these alarms were raised from a time on.
SELECT alarm, at FROM alarm_transition WHERE alarm = ANY($1) AND event IN ('raise', 'again') AND at > $2

-- name: assign
-- Somebody is on it; NULL: nobody is any more.
UPDATE alarm SET assignee = $2 WHERE id = $1 AND assignee IS DISTINCT FROM $2

-- name: label
-- What it was.
UPDATE alarm SET label = $2 WHERE id = $1 AND label IS DISTINCT FROM $2

-- name: add_comment
-- What somebody wrote about it.
INSERT INTO alarm_comment (alarm, at, person, who, text) VALUES ($1, coalesce($5, clock_timestamp()), $2, $3, $4)
