-- tier: community
-- Hours older than two months as columns: late data of weeks still find rows.
ALTER TABLE readings_hour SET (timescaledb.compress, timescaledb.compress_segmentby = 'series', timescaledb.compress_orderby = 'at');
SELECT add_compression_policy('readings_hour', INTERVAL '60 days');
