-- name: announce
-- These alarms want somebody: by the policy of the nearest area that has one for their priority. What was under way begins anew.
INSERT INTO escalation (alarm, policy, due_at)
SELECT alarm.id, policy.id, coalesce($2, clock_timestamp()) + (policy.steps -> 0 ->> 'after_s')::float8 * INTERVAL '1 second'
FROM alarm JOIN area AS estate ON estate.id = alarm.estate
JOIN LATERAL (
    SELECT escalation_policy.id, steps FROM escalation_policy JOIN area AS node ON node.id = escalation_policy.area
    WHERE starts_with(estate.path, node.path) AND alarm.priority = ANY(priorities) ORDER BY length(node.path) DESC, escalation_policy.id LIMIT 1
) AS policy ON true
WHERE alarm.id = ANY($1) ORDER BY alarm.id
ON CONFLICT (alarm) DO UPDATE SET policy = excluded.policy, step = 0, round = 0, announced = escalation.announced + 1, due_at = excluded.due_at

-- name: take_due
-- Alarms whose next step is due, locked; the oldest first. FOR UPDATE of the step only: nobody who moves the alarm waits.
SELECT escalation.alarm, escalation.policy, escalation.step, escalation.round, escalation.announced, alarm.estate, alarm.priority,
       alarm.drill IS NOT NULL AS drill,
       alarm.state = 'UNACK' OR (alarm.state = 'RTNUN' AND alarm.priority IN ('critical', 'high')) AS wanted,
       coalesce($2, clock_timestamp()) AS now
FROM escalation JOIN alarm ON alarm.id = escalation.alarm
WHERE escalation.due_at <= coalesce($2, clock_timestamp()) ORDER BY escalation.due_at LIMIT $1 FOR UPDATE OF escalation SKIP LOCKED

-- name: step_on
-- The next step of each of these alarms and when it comes; no time: there is none.
UPDATE escalation SET step = next.step, round = next.round, due_at = next.due_at
FROM unnest($1::uuid[], $2::smallint[], $3::smallint[], $4::timestamptz[]) AS next (alarm, step, round, due_at) WHERE escalation.alarm = next.alarm

-- name: put_messages
-- People and channels that are to be told: a person by the first of their channels that is not stopped. Who has none is left out.
INSERT INTO message (subject, subject_id, step, estate, priority, person, target, channel, place, text, path, drill, created_at, ready_at)
SELECT told.subject, told.subject_id, told.step, told.estate, told.priority, told.person, told.target, way.channel, way.place, told.text,
       told.path, told.drill, coalesce($12, clock_timestamp()), coalesce($12, clock_timestamp()) + told.wait_s * INTERVAL '1 second'
FROM unnest($1::text[], $2::uuid[], $3::text[], $4::int[], $5::text[], $6::int[], $7::int[], $8::jsonb[], $9::text[], $10::boolean[], $11::float8[])
     AS told (subject, subject_id, step, estate, priority, person, target, text, path, drill, wait_s)
LEFT JOIN person ON person.id = told.person
JOIN LATERAL (
    SELECT person_channel.channel, person_channel.place, coalesce(paused_until > clock_timestamp() + INTERVAL '5 seconds', false) AS stopped
    FROM person_channel JOIN channel ON channel.id = person_channel.channel AND channel.active
    WHERE person_channel.person = told.person AND NOT person.disabled
    UNION ALL SELECT channel.id, 0, false FROM channel WHERE channel.id = told.target AND channel.active
    ORDER BY stopped, place LIMIT 1
) AS way ON true
ON CONFLICT ON CONSTRAINT message_once DO NOTHING RETURNING subject_id

-- name: waiting_channels
-- Channels through which something wants to go now.
SELECT channel.id FROM channel
WHERE active AND coalesce(paused_until <= clock_timestamp(), true)
  AND EXISTS (SELECT FROM message WHERE message.channel = channel.id AND message.state = 'queued' AND message.ready_at <= clock_timestamp())
ORDER BY channel.id

-- name: lock_channel
-- A channel for whoever sends through it next; nothing where another process has it, or its service wants to be left alone.
SELECT id, name, kind, config, language, personal, paused_until, pause_why FROM channel
WHERE id = $1 AND active AND coalesce(paused_until <= clock_timestamp(), true) FOR NO KEY UPDATE SKIP LOCKED

-- name: recent_sends
-- What went through a channel of late, and the time now: a request that is under way, or of which nobody knows, counts until its end.
SELECT ended_at, clock_timestamp() AS now FROM send
WHERE channel = $1 AND taken_at > clock_timestamp() - INTERVAL '5 minutes' AND outcome <> 'not sent'

-- name: clock
-- The database's time.
SELECT clock_timestamp()

-- name: next_messages
-- What goes next through a channel: all that waits for it, the worst first. A send that may have arrived goes again for itself;
-- to a personal channel go the messages of one person. $3: a full message's worth.
WITH first AS (
    SELECT person, batch FROM message WHERE channel = $1 AND state = 'queued' AND ready_at <= clock_timestamp()
    ORDER BY array_position(ARRAY['critical', 'high', 'medium', 'low'], priority), created_at, id LIMIT 1
)
SELECT message.id, message.subject, message.subject_id, message.estate, message.priority, message.person, message.batch, message.repeat,
       message.text, message.path, message.drill, message.created_at
FROM message, first
WHERE message.channel = $1 AND message.state = 'queued' AND message.batch IS NOT DISTINCT FROM first.batch
  AND (NOT $2::boolean OR message.person IS NOT DISTINCT FROM first.person)
ORDER BY array_position(ARRAY['critical', 'high', 'medium', 'low'], message.priority), message.created_at, message.id
LIMIT $3 FOR UPDATE OF message SKIP LOCKED

-- name: alarms
-- Alarms as messages say them.
SELECT * FROM alarm_now WHERE id = ANY($1)

-- name: wanting
-- Which of these alarms still want somebody.
SELECT id FROM alarm WHERE id = ANY($1) AND (state = 'UNACK' OR (state = 'RTNUN' AND priority IN ('critical', 'high')))

-- name: bound_gate
-- The locks behind a gate are waited for and held for a second at most, also where this process is stopped in between.
SELECT set_config('lock_timeout', '1s', true), set_config('idle_in_transaction_session_timeout', '2s', true)

-- name: hold_wanting
-- Which of these alarms nobody has acknowledged, held as they are until this transaction ends: who acknowledges one waits that
-- long. One that has only returned meanwhile is said all the same: else messages about many would never leave.
SELECT id FROM alarm WHERE id = ANY($1) AND state IN ('UNACK', 'RTNUN') ORDER BY id FOR SHARE

-- name: hold_send
-- A send that nobody has given up for lost.
SELECT id FROM send WHERE id = $1 AND ended_at IS NULL AND until > clock_timestamp() FOR NO KEY UPDATE

-- name: drop_messages
-- Nobody needs these any more.
UPDATE message SET state = 'not wanted', ended_at = clock_timestamp() WHERE id = ANY($1)

-- name: open_send
-- A request that is about to be made, which takes a token of its channel.
INSERT INTO send (id, channel, until, lines, repeat, outcome)
VALUES ($1, $2, clock_timestamp() + $3::float8 * INTERVAL '1 second', $4, $5, 'sending')

-- name: join_send
-- The messages that are in a request.
WITH tried AS (INSERT INTO message_try (message, send, channel) SELECT message, $2, $3 FROM unnest($1::bigint[]) AS message)
UPDATE message SET state = 'sending', send = $2, tries = tries + 1 WHERE id = ANY($1)

-- name: end_send
-- What became of a request; nothing where it had been given up for lost.
UPDATE send SET ended_at = clock_timestamp(), outcome = $2, code = $3, reason = $4, again = $5 WHERE id = $1 AND ended_at IS NULL RETURNING channel

-- name: accept
-- The service has these.
UPDATE message SET state = 'accepted', ended_at = clock_timestamp() WHERE send = $1 AND state = 'sending'

-- name: release
-- Nothing was sent: what still wants somebody waits again, the rest is not wanted.
UPDATE message SET state = CASE WHEN subject_id = ANY($2) THEN 'queued' ELSE 'not wanted' END, tries = tries - 1,
    ended_at = CASE WHEN subject_id = ANY($2) THEN NULL ELSE clock_timestamp() END,
    ready_at = clock_timestamp() + $3::float8 * INTERVAL '1 second'
WHERE send = $1 AND state = 'sending'

-- name: pause
-- A channel's service wants to be left alone for so long.
UPDATE channel SET paused_until = greatest(paused_until, clock_timestamp() + $2::float8 * INTERVAL '1 second'), pause_why = $3 WHERE id = $1

-- name: lose_sends
-- Requests whose process died: nobody knows whether they arrived.
UPDATE send SET outcome = 'lost', ended_at = clock_timestamp(), code = 'lost', reason = 'the process that sent it ended before the answer'
WHERE id IN (SELECT id FROM send WHERE ended_at IS NULL AND until < clock_timestamp() FOR UPDATE SKIP LOCKED) RETURNING id

-- name: advance
-- What was refused, or may not have arrived, goes on by the person's next channel that has not refused it for good; after the last
-- by the first again, later. Where there is none it is refused. Returns the alarms whose message found no new way.
WITH going AS (
    SELECT message.id, message.person, message.target, message.place, message.tries, send.outcome, send.id AS send
    FROM message JOIN send ON send.id = message.send WHERE message.send = ANY($1) AND message.state = 'sending'
), next AS (
    SELECT going.id, way.channel, way.place, way.channel IS NOT NULL AND way.place > going.place AS is_new,
           going.outcome IN ('uncertain', 'lost') AS may_have_arrived, going.send,
           CASE WHEN way.place > going.place THEN 0 ELSE least(60, power(2, least(going.tries, 6) - 1)) END AS wait_s
    FROM going LEFT JOIN LATERAL (
        SELECT ways.channel, ways.place FROM (
            SELECT person_channel.channel, person_channel.place FROM person_channel WHERE person_channel.person = going.person
            UNION ALL SELECT going.target, 0::smallint WHERE going.target IS NOT NULL
        ) AS ways JOIN channel ON channel.id = ways.channel AND channel.active
        WHERE NOT EXISTS (
            SELECT FROM message_try JOIN send AS tried ON tried.id = message_try.send
            WHERE message_try.message = going.id AND message_try.channel = ways.channel AND tried.outcome = 'refused' AND NOT tried.again
        )
        ORDER BY ways.place <= going.place, coalesce(channel.paused_until > clock_timestamp() + INTERVAL '5 seconds', false), ways.place LIMIT 1
    ) AS way ON true
)
UPDATE message SET channel = coalesce(next.channel, message.channel), place = coalesce(next.place, message.place),
    state = CASE WHEN next.channel IS NULL THEN 'refused' ELSE 'queued' END,
    ended_at = CASE WHEN next.channel IS NULL THEN clock_timestamp() END,
    ready_at = clock_timestamp() + next.wait_s * INTERVAL '1 second',
    all_tried = message.all_tried OR NOT next.is_new,
    repeat = message.repeat OR next.may_have_arrived,
    batch = CASE WHEN next.may_have_arrived THEN coalesce(message.batch, next.send) ELSE message.batch END
FROM next WHERE message.id = next.id
RETURNING message.subject, message.subject_id, message.step, next.is_new

-- name: divert
-- What waits for a channel that is stopped goes by another channel of the person that is not.
UPDATE message SET channel = way.channel, place = way.place
FROM message AS waiting, LATERAL (
    SELECT person_channel.channel, person_channel.place FROM person_channel JOIN channel ON channel.id = person_channel.channel AND channel.active
    WHERE person_channel.person = waiting.person AND person_channel.channel <> $1
      AND coalesce(channel.paused_until <= clock_timestamp(), true) ORDER BY person_channel.place LIMIT 1
) AS way
WHERE waiting.id = message.id AND message.channel = $1 AND message.state = 'queued'

-- name: hasten
-- The next step of alarms whose present one reached nobody comes now.
UPDATE escalation SET due_at = clock_timestamp() FROM unnest($1::uuid[], $2::text[]) AS failed (alarm, step)
WHERE escalation.alarm = failed.alarm AND escalation.due_at > clock_timestamp() AND escalation.announced || '.' || escalation.round || '.' || (escalation.step - 1) = failed.step
  AND NOT EXISTS (
      SELECT FROM message WHERE message.subject_id = failed.alarm AND message.step = failed.step
        AND (message.state IN ('accepted', 'sending') OR (message.state = 'queued' AND NOT message.all_tried))
  )

-- name: give_up
-- What found nobody for a day is not news any more.
UPDATE message SET state = 'refused', ended_at = clock_timestamp() WHERE state = 'queued' AND created_at < clock_timestamp() - INTERVAL '1 day'

-- name: of_subject
-- Whom an alarm or incident was brought to, how, and what became of it: every try.
SELECT message.id, message.step, coalesce(person.name, '') AS person, channel.name AS channel, message.state, message.repeat, send.taken_at, send.ended_at,
       send.outcome, send.code, send.reason, send.lines
FROM message LEFT JOIN message_try ON message_try.message = message.id LEFT JOIN send ON send.id = message_try.send
JOIN channel ON channel.id = coalesce(message_try.channel, message.channel) LEFT JOIN person ON person.id = message.person
WHERE message.subject_id = $1 ORDER BY message.created_at, message.id, send.taken_at
