-- name: notify
-- Something changed in these topics.
SELECT pg_notify($1, $2)

-- name: check
-- What a listener compares to find that it missed something: the newest step of any alarm, and how many boxes are silent.
SELECT (SELECT coalesce(max(id), 0) FROM alarm_transition) AS transition, (SELECT count(*) FROM gateway_now WHERE silent) AS silent
