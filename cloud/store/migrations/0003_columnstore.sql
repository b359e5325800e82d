-- tier: community
-- Readings older than a week as columns: what is read together (a series) lies together, in order of time.
ALTER TABLE readings SET (timescaledb.compress, timescaledb.compress_segmentby = 'series', timescaledb.compress_orderby = 'at');
SELECT add_compression_policy('readings', INTERVAL '7 days');
