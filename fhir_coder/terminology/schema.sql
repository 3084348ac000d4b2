-- One release of a code system, in a file of its own: written once, then only read.

CREATE TABLE release (
    system  TEXT NOT NULL,              -- URI; of a map, the system of its sources
    version TEXT NOT NULL,              -- as it goes into Coding.version
    title   TEXT NOT NULL,
    kind    TEXT NOT NULL               -- complete | supplement | map
);

CREATE TABLE concept (
    id      INTEGER PRIMARY KEY,
    code    TEXT NOT NULL,
    display TEXT NOT NULL,              -- '' in a supplement: that of the release
    type    TEXT NOT NULL,              -- an EntityType, or '' when it is never an entity of a note
    status  TEXT NOT NULL,              -- active | header | retired; only an active one is a final coding
    chronic INTEGER NOT NULL            -- 1: stays active when listed in the past medical history
);

CREATE TABLE name (
    id      INTEGER PRIMARY KEY,        -- in the order of the concepts
    concept INTEGER NOT NULL,
    text    TEXT NOT NULL,
    kind    TEXT NOT NULL,              -- preferred | synonym | brand | index
    mention INTEGER NOT NULL            -- 1: the loader allows that the dictionary looks for it in notes
);

CREATE TABLE broader (code TEXT NOT NULL, parent TEXT NOT NULL);
CREATE TABLE property (code TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL);

CREATE TABLE map (
    source_system TEXT NOT NULL,
    source_code   TEXT NOT NULL,
    target_system TEXT NOT NULL,
    target_code   TEXT NOT NULL,        -- '' when the map says that there is none
    relationship  TEXT NOT NULL,        -- see Relationship in release.py
    origin        TEXT NOT NULL,        -- who says so
    "group"       INTEGER NOT NULL,     -- of the SNOMED CT extended map, 1 elsewhere
    priority      INTEGER NOT NULL,
    rule          TEXT NOT NULL,        -- '' is always true
    advice        TEXT NOT NULL,
    derived       INTEGER NOT NULL      -- 1: concluded, not stated by the origin
);

-- What a laboratory test or vital sign is measured in (UCUM), the most usual unit first, and plausible values.
CREATE TABLE measure (code TEXT NOT NULL, unit TEXT NOT NULL, low REAL, high REAL);

-- Clinical drugs of RxNorm: "5487/17767", "12.5 mg/5 mg", "oral tablet".
CREATE TABLE drug (
    code        TEXT NOT NULL,
    ingredients TEXT NOT NULL,
    strengths   TEXT NOT NULL,
    form        TEXT NOT NULL,
    brand       TEXT NOT NULL           -- '' when it is generic
);

-- As the loader states them; brought together with their concepts, and dropped, when all are there.
CREATE TABLE stated_name (code TEXT NOT NULL, text TEXT NOT NULL, kind TEXT NOT NULL, mention INTEGER NOT NULL);
