-- name: notify
-- Something changed in these topics.
SELECT pg_notify($1, $2)

-- name: newest_transition
-- The newest step of any alarm: what a listener compares to find that it missed one.
SELECT coalesce(max(id), 0) FROM alarm_transition
