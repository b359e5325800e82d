-- tier: community
-- Hours older than two months as columns: late data of weeks still find rows.
ALTER TABLE readings_hour SET (timescaledb.compress, timescaledb.compress_segmentby = 'series', timescaledb.compress_orderby = 'at');
SELECT add_compression_policy('readings_hour', INTERVAL '60 days');

-- So do states, which are repeated for years and mostly the same.
ALTER TABLE states SET (timescaledb.compress, timescaledb.compress_segmentby = 'series', timescaledb.compress_orderby = 'at');
SELECT add_compression_policy('states', INTERVAL '30 days');
