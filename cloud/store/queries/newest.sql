-- name: newest
-- The newest readings of boxes.
SELECT gateway, array_send(series) AS series, array_send(at) AS at, array_send(value) AS value, array_send(quality) AS quality
FROM latest_readings WHERE gateway = ANY($1)

-- name: drop_newest
-- Before they are written anew by COPY; whoever holds the boxes' cursors is alone in doing so.
DELETE FROM latest_readings WHERE gateway = ANY($1)
