/**
 * The schema, as the steps that lead to it: step n takes a file from `user_version` n to n + 1. A step that was
 * released never changes; what comes later is a new step.
 *
 * Messages lie in the order of their arrival, whatever their queue: with WITHOUT ROWID they would be clustered by queue,
 * and a commit for a thousand queues would write a thousand pages (measured: a quarter of the rate), and bodies above
 * 1 KB would each take a page of their own. `slot` is a short stand-in for the key. The counters have a row of their own,
 * apart from the session's status, because every append rewrites them.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE connections (
    id        TEXT NOT NULL PRIMARY KEY,
    key       TEXT NOT NULL UNIQUE,
    broker    TEXT NOT NULL,
    client_id TEXT NOT NULL,
    revision  INTEGER NOT NULL,
    record    TEXT NOT NULL,  -- JSON, all members
    UNIQUE (broker, client_id)
  ) WITHOUT ROWID;

  CREATE TABLE sessions (
    key        TEXT NOT NULL PRIMARY KEY,
    generation INTEGER NOT NULL,
    status     TEXT NOT NULL  -- JSON
  ) WITHOUT ROWID;

  CREATE TABLE queues (
    slot          INTEGER PRIMARY KEY,
    key           TEXT NOT NULL UNIQUE,
    last_sequence INTEGER NOT NULL,  -- never falls, so that a position is never given twice
    depth         INTEGER NOT NULL,
    bytes         INTEGER NOT NULL,  -- sum of length(body)
    dropped       INTEGER NOT NULL,
    max_age       INTEGER NOT NULL,  -- ms, as the latest append said; for readers, who do not know it
    due_at        INTEGER NOT NULL   -- ms since the epoch: nothing expires before
  );

  CREATE TABLE messages (
    slot       INTEGER NOT NULL,
    sequence   INTEGER NOT NULL,
    stored_at  INTEGER NOT NULL,  -- ms since the epoch, by this store's clock
    expires_at INTEGER,           -- ms since the epoch: Message Expiry Interval [MQTT-3.3.2-5]
    body       BLOB NOT NULL,     -- message-codec.ts
    PRIMARY KEY (slot, sequence)
  );
  CREATE INDEX messages_expiry ON messages (slot, expires_at) WHERE expires_at IS NOT NULL;

  -- Packet identifiers of inbound QoS 2 messages between PUBREC and PUBREL.
  CREATE TABLE inbound_identifiers (
    slot       INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    packet_id  INTEGER NOT NULL,
    PRIMARY KEY (slot, generation, packet_id)
  ) WITHOUT ROWID;

  -- Outbound QoS 2 exchanges; \`position\` tells the order in which they began.
  CREATE TABLE exchanges (
    position   INTEGER PRIMARY KEY,
    key        TEXT NOT NULL,
    packet_id  INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    stage      TEXT NOT NULL CHECK (stage IN ('publish', 'release')),
    packet     BLOB NOT NULL,
    UNIQUE (key, packet_id)
  );
  `,
  `
  ALTER TABLE exchanges ADD COLUMN publication TEXT;  -- whose exchange it is, if its outcome is kept
  ALTER TABLE exchanges ADD COLUMN item INTEGER;

  CREATE TABLE publications (
    key             TEXT NOT NULL,
    id              TEXT NOT NULL,
    idempotency_key TEXT,
    fingerprint     TEXT NOT NULL,
    batch           INTEGER NOT NULL,
    queued          INTEGER NOT NULL,
    accepted_at     INTEGER NOT NULL,  -- ms since the epoch, by this store's clock
    expires_at      INTEGER NOT NULL,
    retention       INTEGER NOT NULL,  -- ms
    unended         INTEGER NOT NULL,  -- items that are open or exchanged
    PRIMARY KEY (key, id)
  ) WITHOUT ROWID;
  CREATE UNIQUE INDEX publications_idempotency ON publications (key, idempotency_key) WHERE idempotency_key IS NOT NULL;
  CREATE INDEX publications_expiry ON publications (expires_at);

  CREATE TABLE publication_items (
    key         TEXT NOT NULL,
    publication TEXT NOT NULL,
    item        INTEGER NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('open', 'exchanged', 'lost', 'done')),
    outcome     TEXT,  -- JSON
    PRIMARY KEY (key, publication, item)
  ) WITHOUT ROWID;

  -- Messages of queued publications that have not ended; \`position\` tells their order.
  CREATE TABLE outbox (
    position    INTEGER PRIMARY KEY,
    key         TEXT NOT NULL,
    publication TEXT NOT NULL,
    item        INTEGER NOT NULL,
    body        BLOB NOT NULL,  -- message-codec.ts
    UNIQUE (key, publication, item)
  );
  CREATE INDEX outbox_order ON outbox (key, position);

  -- What each outbox holds; a row of its own, so that a limit is not a count.
  CREATE TABLE outboxes (
    key      TEXT NOT NULL PRIMARY KEY,
    messages INTEGER NOT NULL,
    bytes    INTEGER NOT NULL
  ) WITHOUT ROWID;
  `,
  `
  ALTER TABLE exchanges ADD COLUMN reason_code INTEGER NOT NULL DEFAULT 0;  -- of PUBREC

  ALTER TABLE publications ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;  -- publication-size.ts
  CREATE INDEX publications_expiry_of_key ON publications (key, expires_at);

  -- What is kept for each key; a row of its own, so that a limit is not a count.
  CREATE TABLE kept_publications (
    key          TEXT NOT NULL PRIMARY KEY,
    publications INTEGER NOT NULL,
    bytes        INTEGER NOT NULL
  ) WITHOUT ROWID;
  INSERT INTO kept_publications SELECT key, count(*), 0 FROM publications GROUP BY key;
  `,
];
