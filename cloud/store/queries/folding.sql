-- name: causes
-- What says why these sources are silent: by position the alarm of their box, else of their bus, if one stands.
SELECT DISTINCT ON (asked.n) (asked.n - 1)::int AS position, cause.id AS cause, cause.rule
FROM unnest($1::uuid[], $2::int[]) WITH ORDINALITY AS asked (gateway, device, n)
LEFT JOIN device ON device.id = asked.device
JOIN alarm AS cause ON cause.gateway = asked.gateway AND cause.state <> 'NORM' AND cause.holds
    AND (cause.rule = ANY($3) AND cause.source = 'gateway:' || asked.gateway
         OR cause.rule = ANY($4) AND cause.source = 'bus:' || asked.gateway || '/' || device.bus)
ORDER BY asked.n, cause.rule = ANY($3) DESC, cause.created_at

-- name: doubted
-- Which of these silences may have their cause elsewhere, and until when to wait whether that is so: those of a box that missed a beat,
-- and young ones of a bus of which several devices went off line lately.
WITH asked AS (
    SELECT n, since, gateway.id AS gateway, gateway.seen_at, gateway.beat_s * INTERVAL '1 second' AS beat, device.bus
    FROM unnest($1::uuid[], $2::int[], $7::timestamptz[]) WITH ORDINALITY AS asked (gateway, device, since, n)
    JOIN gateway ON gateway.id = asked.gateway AND gateway.revoked_at IS NULL
    LEFT JOIN device ON device.id = asked.device
), present AS (
    SELECT coalesce($3::timestamptz, clock_timestamp()) AS at
), falling AS (
    SELECT device.gateway, device.bus, count(*) AS lost
    FROM (SELECT DISTINCT gateway, bus FROM asked WHERE bus IS NOT NULL) AS bus
    JOIN device USING (gateway, bus)
    JOIN series ON series.device = device.id AND series.point = 'link'
    JOIN latest_state AS link ON link.series = series.id
    CROSS JOIN present
    WHERE device.active AND link.state = 'offline' AND link.at > present.at - $4::interval GROUP BY device.gateway, device.bus
)
SELECT (n - 1)::int AS position, is_box, CASE WHEN is_box THEN known_at ELSE present.at + $5::interval END AS known_at
FROM asked CROSS JOIN present LEFT JOIN falling USING (gateway, bus)
CROSS JOIN LATERAL (SELECT seen_at + 3.25 * beat + INTERVAL '2 seconds' AS known_at) AS box
CROSS JOIN LATERAL (SELECT present.at >= seen_at + 1.25 * beat AND present.at < known_at AS is_box) AS doubt
WHERE is_box OR falling.lost >= $6 AND since > present.at - $8::interval

-- name: unfolded
-- Silences that nobody has taken yet, and those that were about to come back, with the alarm of their box or bus that stands; so
-- the bus beneath its box. Locked; what somebody is moving at this moment is left for the next time.
WITH cause AS (
    SELECT alarm.id, alarm.rule, alarm.gateway, alarm.created_at, CASE WHEN alarm.rule = ANY($2) THEN substr(alarm.source, 42) END AS bus
    FROM alarm WHERE alarm.rule = ANY($1 || $2) AND alarm.state <> 'NORM' AND alarm.holds AND alarm.gateway IS NOT NULL
), silence AS (
    SELECT alarm.id, alarm.state, (
        SELECT cause.id FROM cause WHERE cause.gateway = alarm.gateway AND cause.id <> alarm.id
            AND (cause.bus IS NULL OR cause.bus = (SELECT device.bus FROM device WHERE device.id = alarm.device))
        ORDER BY cause.bus IS NOT NULL, cause.created_at LIMIT 1) AS cause
    FROM alarm
    WHERE alarm.gateway IN (SELECT gateway FROM cause) AND alarm.rule = ANY($2 || $3) AND alarm.holds
      AND (alarm.state = 'UNACK' OR alarm.state = 'DSUPR' AND alarm.hold_until IS NOT NULL)
)
SELECT alarm.id, alarm.state, silence.cause, (SELECT cause.rule FROM cause WHERE cause.id = silence.cause) AS rule
FROM silence JOIN alarm USING (id)
WHERE silence.cause IS NOT NULL AND alarm.state = silence.state ORDER BY alarm.id LIMIT $4 FOR UPDATE OF alarm SKIP LOCKED

-- name: put_beneath
-- What was about to come back is beneath a cause again.
UPDATE alarm SET cause = new.cause, hold_why = new.why, hold_until = NULL
FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS new (alarm, cause, why) WHERE alarm.id = new.alarm

-- name: let_go
-- What was beneath an alarm that is over comes back by itself at a time, unless it is over until then.
UPDATE alarm SET hold_until = coalesce($1::timestamptz, clock_timestamp()) + $2::interval
WHERE id IN (
    SELECT beneath.id FROM alarm AS beneath JOIN alarm AS over ON over.id = beneath.cause
    WHERE beneath.state = 'DSUPR' AND beneath.cause IS NOT NULL AND beneath.hold_until IS NULL AND (over.state = 'NORM' OR NOT over.holds)
    ORDER BY beneath.id LIMIT $3 FOR UPDATE OF beneath SKIP LOCKED)
RETURNING id
