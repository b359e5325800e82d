-- tier: apache community
-- Roll-ups as hypertables, so that old ones go with their chunks. A year of days is one chunk.
SELECT create_hypertable('readings_hour', by_range('at', INTERVAL '7 days'), create_default_indexes => false, migrate_data => true);
SELECT create_hypertable('states_hour', by_range('at', INTERVAL '28 days'), create_default_indexes => false, migrate_data => true);
SELECT create_hypertable('readings_day', by_range('at', INTERVAL '364 days'), create_default_indexes => false, migrate_data => true);
SELECT create_hypertable('states_day', by_range('at', INTERVAL '364 days'), create_default_indexes => false, migrate_data => true);
