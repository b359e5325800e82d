-- tier: apache community
-- The three time series as hypertables. Chunks of a day for readings keep a chunk's index in memory on a small server.
SELECT create_hypertable('readings', by_range('at', INTERVAL '1 day'), create_default_indexes => false, migrate_data => true);
SELECT create_hypertable('states', by_range('at', INTERVAL '7 days'), create_default_indexes => false, migrate_data => true);
SELECT create_hypertable('events', by_range('at', INTERVAL '7 days'), create_default_indexes => false, migrate_data => true);
