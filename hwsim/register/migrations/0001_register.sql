-- Written in SQLite's dialect; postgres.go puts it into PostgreSQL's, where the
-- tables that say so are partitioned by hash. Nobody is named here: tags are
-- keyed hashes, what is known of people is sealed.

CREATE TABLE individual_file (             -- partitioned by file
	file    TEXT    NOT NULL PRIMARY KEY,
	until   INTEGER NOT NULL,              -- last civil day on which it may be kept (Reg. (EU) 2017/2226 Art. 34)
	sealed  BLOB    NOT NULL
) STRICT;
CREATE INDEX individual_file_until ON individual_file (until);

CREATE TABLE document (                    -- partitioned by tag
	tag  BLOB NOT NULL,                    -- of issuer and number
	file TEXT NOT NULL,
	PRIMARY KEY (tag, file)
) STRICT, WITHOUT ROWID;

CREATE TABLE person (                      -- partitioned by tag
	tag  BLOB NOT NULL,                    -- of name, birth date and nationality
	file TEXT NOT NULL,
	PRIMARY KEY (tag, file)
) STRICT, WITHOUT ROWID;

CREATE TABLE list_entry (
	entry    TEXT    NOT NULL PRIMARY KEY,
	list     TEXT    NOT NULL,
	answer   TEXT    NOT NULL,             -- HIT_ACTION, HIT_INQUIRY
	discreet INTEGER NOT NULL,             -- 1: for officers alone
	sealed   BLOB    NOT NULL
) STRICT;

CREATE TABLE list_tag (                    -- partitioned by tag
	tag      BLOB    NOT NULL,             -- of list and document, person or sound
	entry    TEXT    NOT NULL,
	answer   TEXT    NOT NULL,
	discreet INTEGER NOT NULL,
	PRIMARY KEY (tag, entry)
) STRICT, WITHOUT ROWID;

CREATE TABLE permission (                  -- partitioned by tag
	tag    BLOB    NOT NULL,               -- of visa or etias, sticker and document
	status TEXT    NOT NULL,
	until  INTEGER NOT NULL,               -- civil day
	days   INTEGER NOT NULL,
	PRIMARY KEY (tag)
) STRICT, WITHOUT ROWID;

CREATE TABLE record (
	seq    INTEGER PRIMARY KEY AUTOINCREMENT,
	id     TEXT    NOT NULL,
	caller TEXT    NOT NULL,
	key    TEXT    NOT NULL,
	hash   BLOB,                           -- of the body; NULL once the key is no longer kept
	kind   TEXT    NOT NULL,
	file   TEXT    NOT NULL,               -- empty: none
	day     INTEGER NOT NULL,              -- civil day at the crossing point
	crossed INTEGER NOT NULL,              -- Unix ns: records come late and out of order
	at      INTEGER NOT NULL,              -- Unix ns, when it came
	sealed BLOB    NOT NULL,
	UNIQUE (caller, key)
) STRICT;
CREATE INDEX record_file ON record (file, crossed);
CREATE INDEX record_day ON record (day);

CREATE TABLE audit (
	seq       INTEGER PRIMARY KEY AUTOINCREMENT,
	at        INTEGER NOT NULL,
	caller    TEXT    NOT NULL,
	role      TEXT    NOT NULL,
	operation TEXT    NOT NULL,
	article   TEXT    NOT NULL,
	purpose   TEXT    NOT NULL,
	crossing  TEXT    NOT NULL,
	list      TEXT    NOT NULL,
	sealed    BLOB    NOT NULL,            -- whom it was about
	alert     INTEGER NOT NULL             -- discreet entries that it met: always written, so that every row costs the same
) STRICT;
CREATE INDEX audit_alert ON audit (alert, seq);

CREATE TABLE erasure (
	seq    INTEGER PRIMARY KEY AUTOINCREMENT,
	at     INTEGER NOT NULL,
	what   TEXT    NOT NULL,
	rule   TEXT    NOT NULL,
	count  INTEGER NOT NULL,
	names  TEXT    NOT NULL,                -- digest of what was erased
	digest TEXT    NOT NULL
) STRICT;
