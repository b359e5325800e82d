-- name: beat
-- The database keeps what it is told, once this commits.
INSERT INTO pulse (one, at) VALUES (true, now()) ON CONFLICT (one) DO UPDATE SET at = excluded.at

-- name: work
-- How far behind the cloud's own work is. Readings wait to become rows, orders to be given up on; boxes live and have
-- something to deliver, and anything of any box was stored so long ago.
SELECT coalesce((SELECT extract(epoch FROM now() - min(landed_at)) FROM landing), 0)::float8 AS landed_s,
       coalesce((SELECT extract(epoch FROM now() - min(not_after)) FROM command WHERE status IN ('queued', 'sent')), 0)::float8
           AS overdue_s,
       (SELECT count(*) FROM gateway_now WHERE NOT silent AND urgent_backlog + bulk_backlog > 0) AS waiting_boxes,
       coalesce((SELECT extract(epoch FROM now() - max(moved_at)) FROM stream_cursor WHERE number > 0), 0)::float8 AS stored_s
