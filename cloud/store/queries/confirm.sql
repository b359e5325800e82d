-- name: places
-- Where devices are.
SELECT id, building, unit FROM device WHERE id = ANY($1)

-- name: name_members
-- An alarm of a place names the devices that agree, in the order in which they did.
UPDATE alarm SET value = said.names
FROM (
    SELECT condition.rule, condition.source,
           left(string_agg(coalesce(nullif(device.name, ''), device.key), '、' ORDER BY (part.body ->> 'since_us')::bigint, device.id), 500) AS names
    FROM condition CROSS JOIN LATERAL jsonb_each(condition.memory -> 'parts') AS part (member, body)
    JOIN device ON device.id = part.member::int
    WHERE (condition.rule, condition.source) IN (SELECT * FROM unnest($1::text[], $2::text[]))
    GROUP BY condition.rule, condition.source
) AS said
WHERE alarm.rule = said.rule AND alarm.source = said.source AND alarm.state <> 'NORM' AND alarm.holds AND alarm.value <> said.names
