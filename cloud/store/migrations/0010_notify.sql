-- Who is told of what: channels, on-call schedules, escalation policies, messages and what became of each, links to answer by.

CREATE TABLE channel (                     -- one way to people; how its service is spoken to: cloud/notify/channels
    id            int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text NOT NULL UNIQUE,
    kind          text NOT NULL,
    area          int NOT NULL REFERENCES area,
    config        jsonb NOT NULL,          -- secrets stand in it as references only: to a file, to the environment
    language      text NOT NULL DEFAULT 'zh',  -- of what goes to nobody in particular
    personal      boolean NOT NULL,        -- reaches one person alone, so a link to answer in their name may go through it
    active        boolean NOT NULL DEFAULT true,
    paused_until  timestamptz,             -- its service wants nothing before
    pause_why     text NOT NULL DEFAULT ''
);

CREATE TABLE person_contact (              -- what a channel needs to reach or mention a person
    person  int PRIMARY KEY REFERENCES person,
    email   text NOT NULL DEFAULT '',
    mobile  text NOT NULL DEFAULT ''
);

CREATE TABLE person_channel (              -- by which channels a person is reached, the first that takes it
    person   int NOT NULL REFERENCES person,
    place    smallint NOT NULL,
    channel  int NOT NULL REFERENCES channel,
    PRIMARY KEY (person, place)
);

CREATE TABLE oncall_schedule (             -- who is on duty when: cloud/notify/oncall.py, Schedule
    id    int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name  text NOT NULL UNIQUE,
    body  jsonb NOT NULL
);

CREATE TABLE escalation_policy (           -- who is told of an area's alarms of some priorities, step by step
    id            int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text NOT NULL UNIQUE,
    area          int NOT NULL REFERENCES area,
    priorities    text[] NOT NULL,
    steps         jsonb NOT NULL,          -- cloud/notify/policy.py, Step
    repeat_every_s  int NOT NULL DEFAULT 0,
    repeat_times  int NOT NULL DEFAULT 0
);

CREATE TABLE escalation (                  -- how far people were told of an alarm, and when the next step comes
    alarm     uuid PRIMARY KEY REFERENCES alarm,
    policy    int REFERENCES escalation_policy ON DELETE SET NULL,  -- NULL: it is no more; an import begins anew by another
    step      smallint NOT NULL DEFAULT 0,
    round     smallint NOT NULL DEFAULT 0,
    announced int NOT NULL DEFAULT 1,      -- how often the alarm came to want somebody
    due_at    timestamptz                  -- NULL: somebody has it, or all were told
) WITH (fillfactor = 70);
CREATE INDEX escalation_due ON escalation (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE send (                        -- one request to a channel: what it said, and what became of it
    id        uuid PRIMARY KEY,
    channel   int NOT NULL REFERENCES channel,
    taken_at  timestamptz NOT NULL DEFAULT clock_timestamp(),  -- a token of the channel's bucket is taken from here on
    until     timestamptz NOT NULL,        -- who sends it is dead if it has no end by then
    ended_at  timestamptz,
    outcome   text NOT NULL DEFAULT 'sending'
              CHECK (outcome IN ('sending', 'accepted', 'refused', 'uncertain', 'not sent', 'lost')),
    again     boolean NOT NULL DEFAULT true,  -- refused: the same may be taken later
    lines     int NOT NULL,
    repeat    boolean NOT NULL DEFAULT false,
    code      text NOT NULL DEFAULT '',
    reason    text NOT NULL DEFAULT ''
);
CREATE INDEX send_recent ON send (channel, taken_at);
CREATE INDEX send_open ON send (until) WHERE ended_at IS NULL;

CREATE TABLE message (                     -- one person, or one channel, is to be told one thing
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject     text NOT NULL CHECK (subject IN ('alarm', 'incident', 'mobilisation')),
    subject_id  uuid NOT NULL,
    step        text NOT NULL,             -- why this person, now; for alarms 'announced.round.step'
    estate      int NOT NULL REFERENCES area,
    priority    text NOT NULL CHECK (priority IN ('critical', 'high', 'medium', 'low')),
    person      int REFERENCES person,     -- NULL: whoever reads the channel
    target      int REFERENCES channel,    -- the channel that was meant, where no person was
    channel     int NOT NULL REFERENCES channel,  -- through which it goes now
    place       smallint NOT NULL DEFAULT 0,  -- the channel's in the person's order
    state       text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sending', 'accepted', 'refused', 'not wanted')),
    repeat      boolean NOT NULL DEFAULT false,  -- it may have arrived before
    tries       smallint NOT NULL DEFAULT 0,
    all_tried   boolean NOT NULL DEFAULT false,  -- no channel of the person's took it so far
    send        uuid REFERENCES send,      -- the newest; several messages have one where a storm was merged
    batch       uuid,                      -- a send that may have arrived: these go again together, under its id
    text        jsonb,                     -- for what is no alarm: {zh, en}
    path        text NOT NULL DEFAULT '',
    drill       boolean NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    ready_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at    timestamptz,
    CONSTRAINT message_once UNIQUE NULLS NOT DISTINCT (subject_id, step, person, target)
) WITH (fillfactor = 70);
CREATE INDEX message_queued ON message (channel, ready_at) WHERE state = 'queued';
CREATE INDEX message_send ON message (send) WHERE state = 'sending';

CREATE TABLE message_try (                 -- in which requests a message was, whatever became of them
    message  bigint NOT NULL REFERENCES message,
    send     uuid NOT NULL REFERENCES send,
    channel  int NOT NULL REFERENCES channel,
    PRIMARY KEY (message, send)
);

CREATE TABLE answer_link (                 -- acknowledges one alarm in one person's name, once
    token_hash  bytea PRIMARY KEY,
    alarm       uuid NOT NULL,             -- no reference: to make a link must not wait for whoever moves the alarm
    person      int NOT NULL REFERENCES person,
    made_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz
);
CREATE INDEX ON answer_link (expires_at);

CREATE TABLE link_failure (address text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE INDEX ON link_failure (at);
