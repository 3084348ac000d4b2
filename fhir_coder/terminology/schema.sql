-- The concept store. One file holds every release of every code system.

CREATE TABLE release (
    id      INTEGER PRIMARY KEY,
    system  TEXT NOT NULL,              -- URI
    version TEXT NOT NULL,              -- as it goes into Coding.version
    title   TEXT NOT NULL,
    source  TEXT NOT NULL,              -- the package or table it was read from
    sha256  TEXT NOT NULL,              -- of that source
    UNIQUE (system, version)
);

CREATE TABLE concept (
    id       INTEGER PRIMARY KEY,
    release  INTEGER NOT NULL REFERENCES release (id),
    code     TEXT NOT NULL,
    display  TEXT NOT NULL,
    type     TEXT NOT NULL,             -- an EntityType, or '' when it is never an entity of a note
    codable  INTEGER NOT NULL,          -- 0: a header, or retired: never a final coding
    chronic  INTEGER NOT NULL,          -- 1: stays active when listed in the past medical history
    parent   TEXT NOT NULL,             -- code of the parent, or ''
    UNIQUE (release, code)
);

CREATE TABLE name (
    concept  INTEGER NOT NULL REFERENCES concept (id),
    text     TEXT NOT NULL,
    key      TEXT NOT NULL,             -- normalise(text)
    bag      TEXT NOT NULL,             -- bag(key)
    kind     TEXT NOT NULL,             -- preferred | synonym | brand
    mention  INTEGER NOT NULL           -- 1: the dictionary looks for it in notes
);

CREATE TABLE map (
    source_system TEXT NOT NULL,
    source_code   TEXT NOT NULL,
    target_system TEXT NOT NULL,
    target_code   TEXT NOT NULL,
    origin        TEXT NOT NULL,        -- who says so: starter | hpo; '(inverse)' marks a derived direction
    PRIMARY KEY (source_system, source_code, target_system, target_code)
) WITHOUT ROWID;

-- What a laboratory test or vital sign is measured in, the most usual unit first.
CREATE TABLE measure (
    code TEXT NOT NULL,                 -- LOINC
    unit TEXT NOT NULL,                 -- UCUM
    low  REAL,                          -- plausible values
    high REAL
);

CREATE TABLE ingredient (
    code       TEXT NOT NULL,           -- RxNorm combination
    ingredient TEXT NOT NULL            -- RxNorm ingredient
);

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
