-- name: lock_cursor
-- One box's stream, locked until the transaction ends: what serialises two requests of one box.
SELECT epoch, number, checksum FROM stream_cursor WHERE gateway = $1 AND stream = $2 FOR UPDATE

-- name: create_cursor
-- The row that lock_cursor locks, before a stream's first block.
INSERT INTO stream_cursor (gateway, stream, epoch, number, checksum) VALUES ($1, $2, 0, 0, 0) ON CONFLICT DO NOTHING

-- name: move_cursor
-- The stream has come this far, once this transaction commits.
UPDATE stream_cursor SET epoch = $3, number = $4, checksum = $5, moved_at = now() WHERE gateway = $1 AND stream = $2

-- name: cursors
-- Both cursors of a box, for its session.
SELECT stream, epoch, number, checksum FROM stream_cursor WHERE gateway = $1

-- name: epoch_known
-- Whether a box has used this epoch before.
SELECT true FROM stream_epoch WHERE gateway = $1 AND stream = $2 AND epoch = $3

-- name: close_epochs
-- The chains that a new epoch ends.
UPDATE stream_epoch SET closed_at = now(), last_number = $4
WHERE gateway = $1 AND stream = $2 AND epoch <> $3 AND closed_at IS NULL

-- name: open_epoch
-- A new chain.
INSERT INTO stream_epoch (gateway, stream, epoch) VALUES ($1, $2, $3)

-- name: boots
-- What is known of these boots of a box, for one of its streams.
SELECT wanted.boot, boot.mono_ns, boot.utc_ns, boot.uncertainty_ns, coalesce(stream_seal.sealed_ns, 0) AS sealed_ns
FROM unnest($3::bytea[]) AS wanted (boot)
LEFT JOIN boot ON boot.gateway = $1 AND boot.boot = wanted.boot
LEFT JOIN stream_seal ON stream_seal.gateway = $1 AND stream_seal.stream = $2 AND stream_seal.boot = wanted.boot

-- name: seal
-- The last block taken of a boot.
INSERT INTO stream_seal (gateway, stream, boot, sealed_ns) VALUES ($1, $2, $3, $4)
ON CONFLICT (gateway, stream, boot) DO UPDATE SET sealed_ns = greatest(stream_seal.sealed_ns, excluded.sealed_ns)

-- name: set_clock
-- The newest clock record of a boot.
INSERT INTO boot (gateway, boot, mono_ns, utc_ns, uncertainty_ns, source) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (gateway, boot) DO UPDATE
SET mono_ns = excluded.mono_ns, utc_ns = excluded.utc_ns, uncertainty_ns = excluded.uncertainty_ns, source = excluded.source

-- name: put_inventory
-- An inventory as a box sent it; the same content has the same id.
INSERT INTO inventory (gateway, inventory_id, series) VALUES ($1, $2, $3)
ON CONFLICT (gateway, inventory_id) DO UPDATE SET series = excluded.series, received_at = now()

-- name: put_devices
-- The devices of an inventory; those it no longer names stay for their history, inactive. Those that are known are looked
-- for first: each row that meets a conflict uses up an id, and a city's boxes say often what they have.
WITH named AS (
    SELECT * FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[])
        AS n (key, name, kind, profile, bus, building, unit, floor, spot, commands)
), gone AS (
    UPDATE device SET active = false WHERE gateway = $1 AND key NOT IN (SELECT key FROM named) AND active
), known AS (
    UPDATE device
    SET name = named.name, kind = named.kind, profile = named.profile, bus = named.bus, building = named.building,
        unit = named.unit, floor = named.floor, spot = named.spot, commands = string_to_array(named.commands, ' '), active = true
    FROM named WHERE device.gateway = $1 AND device.key = named.key
    RETURNING device.id, device.key
), added AS (
    INSERT INTO device (gateway, estate, key, name, kind, profile, bus, building, unit, floor, spot, commands)
    SELECT $1, $2, key, name, kind, profile, bus, building, unit, floor, spot, string_to_array(commands, ' ')
    FROM named WHERE NOT EXISTS (SELECT FROM device WHERE device.gateway = $1 AND device.key = named.key)
    RETURNING id, key
)
SELECT id, key FROM known UNION ALL SELECT id, key FROM added

-- name: put_series
-- The series of an inventory, by device and point; those that are known use up no id.
WITH named AS (
    SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::real[]) AS n (device, point, lane, stale_after_s)
), known AS (
    UPDATE series SET lane = named.lane, stale_after_s = named.stale_after_s
    FROM named WHERE series.device = named.device AND series.point = named.point
    RETURNING series.id, series.device, series.point
), added AS (
    INSERT INTO series (device, point, lane, stale_after_s)
    SELECT device, point, lane, stale_after_s FROM named
    WHERE NOT EXISTS (SELECT FROM series WHERE series.device = named.device AND series.point = named.point)
    RETURNING id, device, point
)
SELECT id, device, point FROM known UNION ALL SELECT id, device, point FROM added

-- name: forget_gone
-- Rules remember nothing of devices that a box names no more.
DELETE FROM condition WHERE gateway = $1 AND source IN (
    SELECT 'series:' || series.id FROM device JOIN series ON series.device = device.id WHERE device.gateway = $1 AND NOT active
) OR gateway = $1 AND source LIKE 'device:%' AND EXISTS (
    SELECT FROM device WHERE device.gateway = $1 AND NOT active AND condition.source LIKE 'device:' || device.id || '/%'
)

-- name: end_gone
-- Nobody could ever clear their alarms, so these end.
WITH was AS (
    SELECT alarm.id, alarm.state, alarm.device FROM alarm JOIN device ON device.id = alarm.device
    WHERE device.gateway = $1 AND NOT device.active AND alarm.state <> 'NORM' ORDER BY alarm.id FOR UPDATE OF alarm
), moved AS (
    UPDATE alarm SET state = 'NORM', holds = false, changed_at = clock_timestamp(), ended_at = clock_timestamp(),
        hold_until = NULL, warn_at = NULL, clears_at = NULL FROM was WHERE alarm.id = was.id
), kept AS (
    INSERT INTO alarm_transition (alarm, at, from_state, to_state, event, who, why)
    SELECT id, clock_timestamp(), state, 'NORM', 'device removed', 'system', 'the gateway names this device no more' FROM was
)
SELECT DISTINCT device FROM was

-- name: sources
-- What state records and events refer to: the series and devices of a box, by the names it gives them.
SELECT device.id AS device, device.key, device.kind, device.estate, series.id AS series, series.point
FROM device LEFT JOIN series ON series.device = device.id
WHERE device.gateway = $1

-- name: put_states
-- States as they changed.
INSERT INTO states (series, at, value, quality) SELECT * FROM unnest($1::int[], $2::timestamptz[], $3::text[], $4::smallint[])

-- name: put_events
-- Events as they happened.
INSERT INTO events (device, at, point, fields)
SELECT device, at, point, fields::jsonb
FROM unnest($1::int[], $2::timestamptz[], $3::text[], $4::text[]) AS e (device, at, point, fields)

-- name: put_latest
-- The newest state of each series; an older one, arriving late, changes nothing.
INSERT INTO latest_state (series, at, state, quality)
SELECT series, at, state, quality
FROM unnest($1::int[], $2::timestamptz[], $3::text[], $4::smallint[]) AS l (series, at, state, quality)
ORDER BY series
ON CONFLICT (series) DO UPDATE SET at = excluded.at, state = excluded.state, quality = excluded.quality
WHERE latest_state.at <= excluded.at

-- name: latest_at
-- The high-water mark of each of these series.
SELECT series, at FROM latest_state WHERE series = ANY($1)

-- name: put_loss
-- What a box says it had to give up; it may say so twice.
INSERT INTO loss (gateway, stream, epoch, first, last, items, reason, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING

-- name: quarantine
-- A block that cannot be taken as it is.
INSERT INTO quarantine (gateway, stream, epoch, number, block, reason, left_out) VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: lock_set_aside
-- A block that was set aside, so that only one person has it stored, and whether its box has said since what it has.
SELECT gateway, gateway.estate, stream, block, at, left_out, replayed_at IS NOT NULL AS replayed,
       EXISTS (SELECT FROM inventory WHERE inventory.gateway = quarantine.gateway AND received_at > quarantine.at) AS newer_inventory
FROM quarantine JOIN gateway ON gateway.id = quarantine.gateway WHERE quarantine.id = $1 FOR UPDATE OF quarantine

-- name: mark_replayed
-- The block is stored now.
UPDATE quarantine SET replayed_at = now() WHERE id = $1
