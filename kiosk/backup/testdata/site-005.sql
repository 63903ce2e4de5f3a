PRAGMA user_version = 5;
CREATE TABLE applicant (                  -- registered passkeys that no roster has yet
	officer TEXT    NOT NULL,
	name    TEXT    NOT NULL,
	role    TEXT    NOT NULL,
	passkey BLOB    NOT NULL,
	at      INTEGER NOT NULL
, identity TEXT NOT NULL DEFAULT '') STRICT;
CREATE TABLE code (                       -- enrolment codes that wait
	digest BLOB    PRIMARY KEY,           -- SHA-256 of the code
	lane   TEXT    NOT NULL,
	until  INTEGER NOT NULL,
	by     TEXT    NOT NULL
) STRICT;
CREATE TABLE confirmed (                  -- what the directory said last of an officer
	officer TEXT    PRIMARY KEY,
	person  TEXT    NOT NULL,             -- officer.Identity as JSON
	roles   TEXT    NOT NULL,             -- JSON
	at      INTEGER NOT NULL              -- Unix s
) STRICT;
CREATE TABLE content (                    -- of releases, in pieces
	sha256 TEXT    NOT NULL,              -- of the whole
	n      INTEGER NOT NULL,
	b      BLOB    NOT NULL,
	PRIMARY KEY (sha256, n)
) STRICT;
CREATE TABLE crossing (
	lane     TEXT    NOT NULL,
	uuid     TEXT    NOT NULL,
	at       INTEGER NOT NULL,            -- Unix ms, when it ended
	took     INTEGER NOT NULL,            -- ms
	class    TEXT    NOT NULL,
	outcome  TEXT    NOT NULL,
	reason   TEXT    NOT NULL,
	timeline BLOB    NOT NULL,
	PRIMARY KEY (lane, uuid)
) STRICT;
CREATE TABLE head (                       -- signed heads of lanes' journals
	lane    TEXT    NOT NULL,
	journal TEXT    NOT NULL,
	size    INTEGER NOT NULL,
	at      INTEGER NOT NULL,
	note    BLOB    NOT NULL,
	PRIMARY KEY (lane, journal, size)
) STRICT;
CREATE TABLE head_key (                   -- of a lane's audit: the first one holds
	lane TEXT    PRIMARY KEY,
	key  TEXT    NOT NULL,
	at   INTEGER NOT NULL                 -- Unix s
) STRICT;
CREATE TABLE invitation (
	digest  BLOB    PRIMARY KEY,          -- SHA-256 of the code
	officer TEXT    NOT NULL,
	name    TEXT    NOT NULL,
	role    TEXT    NOT NULL,
	until   INTEGER NOT NULL,
	by      TEXT    NOT NULL
) STRICT;
CREATE TABLE lane (
	id       TEXT    PRIMARY KEY,
	user     TEXT    NOT NULL,            -- public NATS key of the computer in use
	enrolled INTEGER NOT NULL             -- Unix s
) STRICT;
CREATE TABLE position (                   -- how much of a lane's journal is here
	lane    TEXT    NOT NULL,
	journal TEXT    NOT NULL,             -- a replaced computer begins another one
	seq     INTEGER NOT NULL,
	chain   BLOB    NOT NULL,
	broken  INTEGER,                      -- first entry that did not follow
	PRIMARY KEY (lane, journal)
) STRICT;
CREATE TABLE progress (                   -- how much of the stream was dealt with
	what   TEXT    PRIMARY KEY,           -- store: taken in here; country: handed on
	stream INTEGER NOT NULL,              -- Unix ns when it was made: a site that lost its disk has another one
	seq    INTEGER NOT NULL
) STRICT;
CREATE TABLE release (
	digest   TEXT    PRIMARY KEY,         -- SHA-256 of body
	kind     TEXT    NOT NULL,
	number   INTEGER NOT NULL,
	sha256   TEXT    NOT NULL,            -- of its content
	body     BLOB    NOT NULL,            -- rollout.Release as it is signed
	at       INTEGER NOT NULL,            -- Unix s
	proposal BLOB,                        -- the word that proposed it; NULL for a draft
	proposer TEXT,
	why      TEXT,
	UNIQUE (kind, number)
) STRICT;
CREATE TABLE revoked (
	user TEXT    PRIMARY KEY,             -- of a computer that was replaced or shut out
	lane TEXT    NOT NULL,
	at   INTEGER NOT NULL
) STRICT;
CREATE TABLE rollout (
	plan       TEXT    PRIMARY KEY,       -- SHA-256 of body
	release    TEXT    NOT NULL,
	body       BLOB    NOT NULL,          -- rollout.Plan as it is signed
	activation BLOB    NOT NULL,
	at         INTEGER NOT NULL,          -- Unix s
	state      BLOB    NOT NULL           -- rollout.State: written before any lane hears of it
) STRICT;
CREATE TABLE roster (
	version INTEGER PRIMARY KEY,
	body    BLOB    NOT NULL,             -- officer.Signed as JSON
	at      INTEGER NOT NULL
) STRICT;
CREATE TABLE word (                       -- what officers said, with its proof
	id       INTEGER PRIMARY KEY,
	at       INTEGER NOT NULL,            -- Unix ms, when it was carried
	officer  TEXT    NOT NULL,
	lane     TEXT    NOT NULL,
	kind     TEXT    NOT NULL,
	value    TEXT    NOT NULL,
	txn      TEXT    NOT NULL,
	reason   TEXT    NOT NULL,
	answer   TEXT    NOT NULL,            -- the lane's
	envelope BLOB    NOT NULL
) STRICT;
CREATE INDEX crossing_at ON crossing(at);
CREATE INDEX word_at ON word(at);
INSERT INTO invitation VALUES (X'719706411163FC2BC0B832F4EE6C8A0B11EEFF71185D64C87157EB410925976E', 'anna', 'Anna Amt', 'guard', 1795921970, 'test');
INSERT INTO word VALUES (1, 1, 'anna', 'E1', 'decide', 'release', 'x', 'face', 'ok', X'00');
