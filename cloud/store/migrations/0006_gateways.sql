-- What boxes say of themselves, boxes that replace others, two boxes under one identity, what people have seen.

ALTER TABLE gateway
    ADD beat_s       real NOT NULL DEFAULT 20,  -- how often it beats, as it said when its session opened
    ADD session_at   timestamptz,               -- when the newest session was opened that was heard in a beat
    ADD shared_at    timestamptz,               -- when two boxes were last heard under this identity
    ADD replaced_by  uuid REFERENCES gateway,
    SET (fillfactor = 50);                      -- each beat rewrites the row, in its own page: none of its indexes changes

CREATE TABLE gateway_report (              -- the newest report of each box (contract/session.py, GatewayReport)
    gateway  uuid PRIMARY KEY REFERENCES gateway,
    at       timestamptz NOT NULL,
    report   jsonb NOT NULL
) WITH (fillfactor = 50);

ALTER TABLE claim ADD replaces uuid REFERENCES gateway;

-- Silent after three beats of its own, and shared for as long as somebody should still look.
CREATE OR REPLACE VIEW gateway_now AS
SELECT id, estate, public_key, hostname, version, site_digest, enrolled_at, seen_at, revoked_at, down_connection, urgent_backlog,
       bulk_backlog, seen_at IS NULL OR seen_at < now() - 3.25 * beat_s * INTERVAL '1 second' AS silent, beat_s, session_at,
       shared_at, coalesce(shared_at > now() - INTERVAL '15 minutes', false) AS shared
FROM gateway WHERE revoked_at IS NULL;

ALTER TABLE loss ADD seen_at timestamptz, ADD seen_by int REFERENCES person;

CREATE TABLE pulse (                       -- written now and then only to see that the database keeps what it is told
    one  boolean PRIMARY KEY CHECK (one),
    at   timestamptz NOT NULL
);
