"""What the ingest counts, of both streams."""

from prometheus_client import Counter, Histogram

BLOCKS = Counter("anju_ingest_blocks", "Blocks by stream and what became of them", ["stream", "outcome"])
SECONDS = Histogram("anju_ingest_seconds", "Time of a transaction, its commit included", ["stream"])
READINGS = Counter("anju_ingest_readings", "Readings that landed")
