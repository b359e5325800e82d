-- name: next
-- When the next of what alarms wait for comes due: a condition's delay, an alarm's hold, a window's end.
SELECT least((SELECT min(due_at) FROM condition WHERE due_at IS NOT NULL), (SELECT min(due_at) FROM alarm WHERE due_at IS NOT NULL),
             (SELECT min(until_at) FROM maintenance WHERE ended_at IS NULL))
