-- name: of_sources
-- What sources are about: a series, a device's event, a box, one of its buses, or a place; ids of areas from the root down.
WITH asked AS (
    SELECT source, split_part(source, ':', 1) AS form, split_part(source, ':', 2) AS rest FROM unnest($1::text[]) AS source
), found AS (
    SELECT asked.source, device.kind, series.point, device.estate, device.gateway, device.id AS device, series.id AS series
    FROM asked JOIN series ON series.id = rest::int JOIN device ON device.id = series.device WHERE form = 'series'
    UNION ALL
    SELECT asked.source, device.kind, split_part(rest, '/', 2), device.estate, device.gateway, device.id, NULL
    FROM asked JOIN device ON device.id = split_part(rest, '/', 1)::int WHERE form = 'device'
    UNION ALL
    SELECT asked.source, form, '', gateway.estate, gateway.id, NULL, NULL
    FROM asked JOIN gateway ON gateway.id = left(rest, 36)::uuid WHERE form IN ('gateway', 'bus')
    UNION ALL
    SELECT asked.source, form, '', split_part(rest, '/', 1)::int, NULL, NULL, NULL
    FROM asked WHERE form = 'place'
)
SELECT found.*, area.path, area.timezone AS zone FROM found JOIN area ON area.id = found.estate

-- name: of_series
-- What series are of, and where: what rules are chosen by.
SELECT series.id AS series, series.point, device.id AS device, device.kind, area.path
FROM series JOIN device ON device.id = series.device JOIN area ON area.id = device.estate WHERE series.id = ANY($1)

-- name: estates
-- Where estates lie, and their time zones.
SELECT id, path, timezone AS zone FROM area WHERE id = ANY($1)
