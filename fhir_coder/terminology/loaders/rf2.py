"""The files of a SNOMED CT release: Release Format 2 (RF2), Snapshot or Full.

SNOMED CT Release File Specification (http://snomed.org/rfs): 3.3.2 names of files, 4.2 component files, 5.2
reference sets, 6 identifiers and their check digit (Verhoeff). A Snapshot holds the latest version of every component,
a Full all versions, a Delta only what has changed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from fhir_coder.errors import TerminologyError
from fhir_coder.terminology.source import Source, SourceFile

Row = tuple[SourceFile, int, list[str]]
"""The file, the line and the fields of a version of a component."""

ACTIVE = 2  # the position of `active` in every table


@dataclass(frozen=True, slots=True)
class Table:
    """A file of RF2: how its name starts, what its content is called there, and its columns."""

    start: str
    content: str
    columns: tuple[str, ...]
    uuids: bool = False  # members of reference sets have UUIDs, components have SCTIDs


_VERSION = ("id", "effectiveTime", "active", "moduleId")
_MEMBER = (*_VERSION, "refsetId", "referencedComponentId")

CONCEPT = Table("sct2_concept_", "", (*_VERSION, "definitionStatusId"))
DESCRIPTION = Table(
    "sct2_description_", "", (*_VERSION, "conceptId", "languageCode", "typeId", "term", "caseSignificanceId")
)
RELATIONSHIP = Table(
    "sct2_relationship_",
    "",
    (
        *_VERSION,
        "sourceId",
        "destinationId",
        "relationshipGroup",
        "typeId",
        "characteristicTypeId",
        "modifierId",
    ),
)
LANGUAGE = Table("der2_crefset_", "language", (*_MEMBER, "acceptabilityId"), uuids=True)
ASSOCIATION = Table("der2_crefset_", "association", (*_MEMBER, "targetComponentId"), uuids=True)
EXTENDED_MAP = Table(
    "der2_iisssccrefset_",
    "extendedmap",
    (*_MEMBER, "mapGroup", "mapPriority", "mapRule", "mapAdvice", "mapTarget", "correlationId", "mapCategoryId"),
    uuids=True,
)
MODULE_DEPENDENCY = Table(
    "der2_ssrefset_", "moduledependency", (*_MEMBER, "sourceEffectiveTime", "targetEffectiveTime"), uuids=True
)
_TABLES = (CONCEPT, DESCRIPTION, RELATIONSHIP, LANGUAGE, ASSOCIATION, EXTENDED_MAP, MODULE_DEPENDENCY)
_PARTITIONS = ("00", "01", "02", "03", "10", "11", "12", "13")  # concepts, descriptions, relationships, expressions
_REQUIRED = {
    CONCEPT: "Concept",
    DESCRIPTION: "English Description",
    RELATIONSHIP: "Relationship",
    LANGUAGE: "English Language",
}

# sct2_Concept_Snapshot_US1000124_20260301.txt, der2_cRefset_LanguageSnapshot-en_INT_20260101.txt
_NAME = re.compile(
    r"(?P<start>sct2_[a-z]+_|der2_[a-z]*refset_)(?P<content>[a-z0-9]*?)(?P<view>snapshot|full|delta)"
    r"(?:-(?P<language>[a-z-]+))?_(?P<edition>[a-z]{0,3}\d{0,7})_(?P<date>\d{8})\.txt",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The files of one release, all of one view."""

    full: bool
    tables: Mapping[Table, Sequence[SourceFile]]
    editions: Mapping[str, str]  # the date of the release by country and namespace ("US1000124", "INT")

    def rows(self, table: Table, where: tuple[int, frozenset[str]] | None = None) -> Iterator[Row]:
        """Yield the latest version of every component, active or not.

        `where` is a column and its wanted values; only for columns that never change between versions.
        Raises `TerminologyError` for a wrong number of columns, a wrong date or a wrong state.
        """
        files = self.tables.get(table, ())
        if len(files) < 2 and not self.full:  # the snapshot of one package holds nothing twice
            for file in files:
                yield from _versions(file, table, where)
            return
        # Which version is the latest is known only at the end of the last file, and to hold the rows till then
        # would take gigabytes: hence the second pass.
        latest: dict[int, str] = {}
        for file in files:
            for _, line, fields in _versions(file, table, where):
                key = _key(file, line, fields[0], table)
                if latest.get(key, "") < fields[1]:
                    latest[key] = fields[1]
        for file in files:
            for row in _versions(file, table, where):
                key = _key(*row[:2], row[2][0], table)
                if latest.get(key) == row[2][1]:
                    del latest[key]  # two packages may hold the same version
                    yield row


def pick(source: Source) -> Files:
    """Return the files to read: the Snapshot where there is one, else the Full.

    Raises `TerminologyError` when a file is missing, or there is nothing but a Delta.
    """
    found: defaultdict[tuple[str, Table], list[SourceFile]] = defaultdict(list)
    dates: dict[tuple[str, str], str] = {}
    editions: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for file in source.files:
        match = _NAME.fullmatch(file.base_name)
        table = _table(match) if match else None
        if match is None or table is None:
            continue
        view = match["view"].lower()
        found[view, table].append(file)
        edition, day = match["edition"].upper(), match["date"]
        if (other := dates.setdefault((view, edition), day)) != day:
            raise file.error(f"there are files of two releases ({other} and {day}): import one of them")
        if table is CONCEPT:
            editions[view][edition] = day
    for view in ("snapshot", "full"):
        if (view, CONCEPT) in found:
            tables = {table: found[view, table] for table in _TABLES if (view, table) in found}
            for table, word in _REQUIRED.items():
                if table not in tables:
                    raise tables[CONCEPT][0].error(
                        f"the {word} file beside it is missing: import the whole folder or zip of the release"
                    )
            return Files(full=view == "full", tables=tables, editions=editions[view])
    if any(view == "delta" for view, _ in found):
        raise TerminologyError(
            f"{source.path}: a Delta holds only what has changed: import the Snapshot or the Full of the release"
        )
    raise TerminologyError(
        f"{source.path}: there is no Concept file (sct2_Concept_...): import the whole folder or zip of the release"
    )


def sctid_fault(text: str, partitions: Sequence[str] = ("00", "10")) -> str | None:
    """Return why a text is not an identifier, or `None` when it is one; unless told otherwise, of a concept."""
    if not (text.isascii() and text.isdigit() and 6 <= len(text) <= 18 and text[0] != "0"):  # RFS 6.3
        return f"{text!r} is not an SCTID (6 to 18 digits)"
    state = 0
    for step, digit in zip(_STEPS, reversed(text), strict=False):
        state = step[state][digit]
    if state:
        return f"the check digit of {text} is wrong"
    if text[-3:-1] not in partitions:
        return f"{text} identifies no concept"
    return None


def _table(match: re.Match[str]) -> Table | None:
    if (match["language"] or "en").lower().partition("-")[0] != "en":
        return None
    start, content = match["start"].lower(), match["content"].lower()
    return next((table for table in _TABLES if start == table.start and table.content in content), None)


def _versions(file: SourceFile, table: Table, where: tuple[int, frozenset[str]] | None) -> Iterator[Row]:
    if file.size == 0:
        raise file.error("the file is empty; fetch the release again")
    dates: dict[str, str] = {}  # also keeps one text per date, however many rows have it
    column, wanted = where or (0, None)
    line, fields = 1, [""]
    for line, fields in file.rows("\t", len(table.columns), header=table.columns):
        day = dates.get(fields[1])
        if day is None:
            day = dates[fields[1]] = _day(file, line, fields[1])
        if fields[ACTIVE] not in ("0", "1"):
            raise file.error(f"{fields[ACTIVE]!r} is neither 0 nor 1", line, "active")
        if wanted is None or fields[column] in wanted:
            fields[1] = day
            yield file, line, fields
    # A file that is cut off within its last column has the right number of columns.
    if line > 1 and table is not MODULE_DEPENDENCY and (fault := sctid_fault(fields[-1], _PARTITIONS)):
        raise file.error(f"{fault}; is the file cut off?", line, table.columns[-1])


def _day(file: SourceFile, line: int, text: str) -> str:
    try:
        if len(text) == 8 and text.isdigit():  # YYYYMMDD
            date.fromisoformat(text)
            return text
    except ValueError:
        pass
    raise file.error(f"{text!r} is not a date (YYYYMMDD)", line, "effectiveTime")


def _key(file: SourceFile, line: int, text: str, table: Table) -> int:
    try:
        return int(text.replace("-", ""), 16) if table.uuids else int(text)
    except ValueError as error:
        raise file.error(f"{text!r} is not {'a UUID' if table.uuids else 'an SCTID'}", line, "id") from error


def _steps() -> tuple[list[dict[str, int]], ...]:
    """Return, by place from the right, the next state by state and digit.

    The states are the elements of the dihedral group D5: 0-4 rotate, 5-9 reflect.
    """

    def times(a: int, b: int) -> int:
        if a < 5:  # a rotation
            return (a + b) % 5 + (5 if b >= 5 else 0)
        return (a - b) % 5 + (0 if b >= 5 else 5)

    permutation = list(range(10))
    steps = []
    for _ in range(18):
        steps.append([{str(digit): times(state, permutation[digit]) for digit in range(10)} for state in range(10)])
        permutation = [permutation[place] for place in (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)]
    return tuple(steps)


_STEPS = _steps()
