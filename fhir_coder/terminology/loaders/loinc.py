"""LOINC: Loinc.csv of Regenstrief, alone or in the publisher's zip or folder with its companions.

Columns: https://loinc.org/kb/users-guide/loinc-database-structure/ (Users' Guide, Annex A); check digits: Annex C,
https://loinc.org/kb/users-guide/calculating-mod-10-check-digits/
    LoincTable/Loinc.csv                          the terms
    LoincTable/MapTo.csv                          what replaces deprecated terms
    AccessoryFiles/ConsumerName/ConsumerName.csv  names for lay people, not unique
    AccessoryFiles/PanelsAndForms/PanelsAndForms.csv   members of panels
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from fhir_coder.errors import TerminologyError
from fhir_coder.model import LOINC
from fhir_coder.terminology.loaders.loinc_codes import TypeOf, number_of, types
from fhir_coder.terminology.release import (
    Concept,
    Fact,
    Import,
    MapRow,
    Measure,
    Name,
    Options,
    Property,
    Release,
    Status,
)
from fhir_coder.terminology.source import Source, SourceFile

NAME = "loinc"
TITLE = "LOINC: Loinc.csv, with MapTo, ConsumerName and PanelsAndForms (the LOINC zip, folder or the one file)"

# What `$lookup` gives of a term. RELATEDNAMES2 are words for the parts of the name, not names of the term; the licence
# wants the notice of third parties to be kept.
_PROPERTIES = (
    *("COMPONENT", "PROPERTY", "TIME_ASPCT", "SYSTEM", "SCALE_TYP", "METHOD_TYP", "CLASS", "STATUS", "ORDER_OBS"),
    *("RELATEDNAMES2", "EXTERNAL_COPYRIGHT_NOTICE"),
)
_WANTED = (
    *("LOINC_NUM", "LONG_COMMON_NAME", "SHORTNAME", "DisplayName", "CONSUMER_NAME", "CLASSTYPE", "COMMON_TEST_RANK"),
    *("EXAMPLE_UCUM_UNITS", "VersionLastChanged", *_PROPERTIES),
)
# A discouraged term is valid, but not for new mappings: no final coding may use it.
_STATUS: dict[str, Status] = {"ACTIVE": "active", "TRIAL": "active", "DISCOURAGED": "retired", "DEPRECATED": "retired"}
_LONGEST_MENTION = 4  # words
_VERSION = re.compile(r"(?:^|/)loinc[_ -]?v?(\d+\.\d+)", re.I)


def recognises(source: Source) -> bool:
    """Tell whether there is a Loinc.csv, or the only file begins like one."""
    if source.find("Loinc.csv", "LoincTableCore.csv"):
        return True
    if len(source.files) != 1 or not source.find("*.csv"):
        return False
    columns = source.files[0].head().removeprefix(b"\xef\xbb\xbf").split(b"\n")[0].replace(b'"', b"").split(b",")
    return columns[:2] == [b"LOINC_NUM", b"COMPONENT"] and b"VersionLastChanged" in columns and b"STATUS" in columns


def load(source: Source, options: Options) -> Import:
    """Return the release.

    Where neither --version nor the name of the zip or folder states the version, Loinc.csv is read twice: the version
    is the largest one in it, and is wanted before the first fact.
    Raises `TerminologyError` when Loinc.csv is missing, or the version is not known.
    """
    table = _table(source)
    version = options.version or _version_of_name(source, table) or _latest_change(table)
    skipped: Counter[str] = Counter()
    return Import(
        releases=(Release(system=LOINC, version=version, title=f"LOINC {version}"),),
        facts=((0, fact) for fact in _Terms(skipped).facts(source, table)),
        skipped=skipped,
    )


def _table(source: Source) -> SourceFile:
    """Return the whole table: the folder PanelsAndForms holds an excerpt of the same name."""
    tables = source.find("Loinc.csv")
    if not tables and len(source.files) == 1:
        return source.files[0]
    tables = [file for file in tables if "/AccessoryFiles/" not in f"/{file.name}".replace("\\", "/")]
    if len(tables) != 1:
        found = ", ".join(file.name for file in tables) or "none"
        raise TerminologyError(f"{source.path.name}: one Loinc.csv is wanted, found: {found}; import one LOINC zip")
    return tables[0]


def _version_of_name(source: Source, table: SourceFile) -> str:
    """Return what the zip or folder is called after: Loinc_2.81.zip, Loinc_2.81/LoincTable/Loinc.csv."""
    places = "/".join((*source.path.resolve().parts[-3:], table.name.replace("\\", "/")))
    found = _VERSION.findall(places)
    return found[-1] if found else ""


def _latest_change(table: SourceFile) -> str:
    """Return the largest VersionLastChanged; 2.9 is smaller than 2.77, and 1.0j among the oldest."""
    latest = (0, 0)
    for _, row in table.records(_WANTED):
        major, _, minor = row["VersionLastChanged"].partition(".")
        if major.isdecimal() and minor.isdecimal() and len(major + minor) < 9:
            latest = max(latest, (int(major), int(minor)))
    if latest == (0, 0):
        raise table.error("no version is stated; give --version, such as 2.81", None, "VersionLastChanged")
    return f"{latest[0]}.{latest[1]}"


class _Terms:
    """The facts of one release, and what has to be remembered between its files."""

    def __init__(self, skipped: Counter[str]) -> None:
        self._skipped = skipped
        self._known: set[int] = set()
        self._retired: set[int] = set()
        self._ranks: dict[int, int] = {}  # of the terms whose names may be looked for in notes: a few thousand
        self._spoken: dict[str, tuple[int, Name]] = {}  # who has the best rank of those that share a name

    def facts(self, source: Source, table: SourceFile) -> Iterator[Fact]:
        """Yield the facts of all files."""
        type_of = types()
        for line, row in table.records(_WANTED):
            yield from self._term(table, line, row, type_of)
        if not self._known:
            raise table.error("there is no term in it; is the file cut off?")
        for pattern, facts in (
            ("ConsumerName.csv", self._consumer_names),
            ("MapTo.csv", self._replacements),
            ("PanelsAndForms.csv", self._members),
        ):
            files = source.find(pattern, *(["map_to.csv"] if pattern == "MapTo.csv" else []))
            if files:
                yield from facts(files[0])
            else:
                self._skipped[f"{pattern} is not there: import the whole LOINC zip to have what it says"] += 1
        yield from (name for _, name in self._spoken.values())

    def _term(self, table: SourceFile, line: int, row: dict[str, str], type_of: TypeOf) -> Iterator[Fact]:
        code = row["LOINC_NUM"]
        number = number_of(table, line, "LOINC_NUM", code)
        if number in self._known:
            raise table.error(f"the code {code} comes twice", line, "LOINC_NUM")
        self._known.add(number)
        status = _STATUS.get(row["STATUS"])
        if status is None:
            raise table.error(f"{row['STATUS']!r} is not one of {', '.join(_STATUS)}", line, "STATUS")
        class_type, rank = row["CLASSTYPE"], row["COMMON_TEST_RANK"] or "0"
        if class_type not in ("1", "2", "3", "4"):
            raise table.error(f"{class_type!r} is not 1, 2, 3 or 4", line, "CLASSTYPE")
        if not rank.isdecimal() or len(rank) > 9:
            raise table.error(f"{rank!r} is not a number", line, "COMMON_TEST_RANK")
        type_, category = type_of(code, row["CLASS"], class_type, row["SCALE_TYP"])
        display = row["LONG_COMMON_NAME"] or row["SHORTNAME"] or row["COMPONENT"]
        if not display:
            raise table.error(f"{code} has no name", line, "LONG_COMMON_NAME")
        if status == "retired":
            self._retired.add(number)
        elif type_ and row["STATUS"] == "ACTIVE" and int(rank):
            self._ranks[number] = int(rank)
        yield Concept(code, display, type_, status)
        yield from self._names(number, row, display)
        for name in _PROPERTIES:
            if row[name]:
                yield Property(code, name, row[name])
        if int(rank):
            yield Property(code, "COMMON_TEST_RANK", rank)
        if category:
            yield Property(code, "category", category)
        unit = row["EXAMPLE_UCUM_UNITS"].partition(";")[0].strip()
        if type_ and unit:
            yield Measure(code, unit, None, None)

    def _names(self, number: int, row: dict[str, str], display: str) -> Iterator[Fact]:
        code = row["LOINC_NUM"]
        yield from self._contest(number, Name(code, display, "preferred", False))
        others = {row["DisplayName"], row["CONSUMER_NAME"]} - {display, ""}
        for text in sorted(others):
            yield from self._contest(number, Name(code, text, "synonym", False))
        short = row["SHORTNAME"]
        if short and short != display and short not in others:
            yield Name(code, short, "synonym", False)

    def _contest(self, number: int, name: Name) -> Iterator[Fact]:
        """Yield a name, unless it could be looked for in notes: then keep it, and yield who loses it by rank."""
        rank = self._ranks.get(number)
        if rank is None or len(name.text.split()) > _LONGEST_MENTION or not set(name.text).isdisjoint(",;:/()[]"):
            yield name
            return
        key = name.text.lower()
        holder = self._spoken.get(key)
        if holder is None or (rank < holder[0] and holder[1].code != name.code):
            self._spoken[key] = (rank, name._replace(mention=True))
            if holder:
                yield holder[1]._replace(mention=False)
        elif holder[1].code != name.code:
            yield name

    def _consumer_names(self, file: SourceFile) -> Iterator[Fact]:
        for line, row in file.records(("LoincNumber", "ConsumerName")):
            number = number_of(file, line, "LoincNumber", row["LoincNumber"])
            if number not in self._known:
                self._skipped["consumer names of terms that are not in Loinc.csv"] += 1
            elif row["ConsumerName"]:
                yield from self._contest(number, Name(row["LoincNumber"], row["ConsumerName"], "synonym", False))

    def _replacements(self, file: SourceFile) -> Iterator[Fact]:
        for line, row in file.records(("LOINC", "MAP_TO", "COMMENT")):
            source, target = row["LOINC"], row["MAP_TO"]
            number_of(file, line, "MAP_TO", target)
            if number_of(file, line, "LOINC", source) in self._retired:
                yield MapRow(LOINC, source, LOINC, target, "replaced-by", "loinc", advice=row["COMMENT"])
            else:
                self._skipped["replacements of terms that are not retired"] += 1

    def _members(self, file: SourceFile) -> Iterator[Fact]:
        seen: set[int] = set()  # a form may ask the same twice
        for line, row in file.records(("ParentLoinc", "Loinc")):
            panel = number_of(file, line, "ParentLoinc", row["ParentLoinc"])
            member = number_of(file, line, "Loinc", row["Loinc"])
            pair = panel << 32 | member
            if panel not in self._known:
                self._skipped["members of panels that are not in Loinc.csv"] += 1
            elif panel != member and pair not in seen:  # the panel itself heads its rows
                seen.add(pair)
                yield Property(row["ParentLoinc"], "member", row["Loinc"])
