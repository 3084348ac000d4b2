"""HCPCS Level II: the Alpha-Numeric HCPCS file of CMS, from the quarterly zip or out of it.

https://www.cms.gov/medicare/coding-billing/healthcare-common-procedure-system/quarterly-update
The layout is described and read in `fhir_coder.terminology.loaders.hcpcs_records`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date

from fhir_coder.errors import TableError, TerminologyError
from fhir_coder.model import HCPCS, EntityType
from fhir_coder.tables import read_table
from fhir_coder.terminology.loaders.hcpcs_records import DATES, FIRST, MORE, Line, is_first, lines
from fhir_coder.terminology.release import Concept, Fact, Import, MapRow, Name, Options, Property, Release
from fhir_coder.terminology.source import Source, SourceFile

NAME = "hcpcs"
TITLE = "HCPCS Level II: Alpha-Numeric HCPCS file of CMS (HCPC…ANWEB, fixed-width text or xlsx)"

_LONGEST_MENTION = 4  # words; the longer descriptions are never written out in notes
_FILE_NAME = re.compile(r"HCPC(\d{4}|\d{2})(?:_([A-Z]{3,9}))?_.*ANWEB", re.I)
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_VERSION = re.compile(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?")


def recognises(source: Source) -> bool:
    """Tell whether one of the files is called as CMS calls it, or the only file has records of its layout."""
    if _named(source):
        return True
    if len(source.files) != 1 or not source.find("*.txt"):
        return False
    return any(is_first(line) for line in source.files[0].head(1 << 14).decode("cp1252", "replace").split("\n"))


def load(source: Source, options: Options) -> Import:
    """Return the release.

    Raises `TerminologyError` when there is no such file, or the version is not known.
    """
    skipped: Counter[str] = Counter()
    file = _choose(source, skipped)
    version = options.version or _stated_version(file)
    start = _first_day(file, version)
    return Import(
        releases=(Release(system=HCPCS, version=version, title=f"HCPCS Level II {version} (CMS)"),),
        facts=((0, fact) for fact in _facts(file, start, skipped)),
        skipped=skipped,
    )


def _named(source: Source) -> list[SourceFile]:
    return source.find("HCPC*ANWEB*.txt", "HCPC*ANWEB*.xlsx", "HCPC*ANWEB*.xls")


def _choose(source: Source, skipped: Counter[str]) -> SourceFile:
    named = _named(source)
    files = named or source.files
    readable = [file for file in files if file.base_name.lower().endswith((".txt", ".xlsx"))]
    if not readable:
        raise TerminologyError(f"{source.path.name}: there is no HCPC…ANWEB.txt or .xlsx; import the zip of CMS")
    if len({_stated_version(file) for file in readable}) > 1 or (not named and len(readable) > 1):
        found = ", ".join(sorted(file.base_name for file in readable))
        raise TerminologyError(f"{source.path.name}: which file is the release? Import one of {found}")
    # The text before the spreadsheet, which is made from it; of several the last by name, a correction (v2, v3).
    chosen = max(readable, key=lambda file: (file.base_name.lower().endswith(".txt"), file.name))
    if len(files) > 1:
        skipped["files that hold the same release once more"] += len(files) - 1
    if len(source.files) > len(files):
        skipped["files that are not the list of codes (changes, notes)"] += len(source.files) - len(files)
    return chosen


def _stated_version(file: SourceFile) -> str:
    """Return "2020" for HCPC2020_ANWEB.txt, "2026-04" for HCPC2026_APR_ANWEB.xlsx, "" for other names."""
    match = _FILE_NAME.match(file.base_name)
    if match is None:
        return ""
    year = match[1] if len(match[1]) == 4 else f"20{match[1]}"
    month = (match[2] or "")[:3].upper()
    return f"{year}-{_MONTHS.index(month) + 1:02}" if month in _MONTHS else year


def _first_day(file: SourceFile, version: str) -> str:
    """Return the day as of which codes are terminated or not."""
    match = _VERSION.fullmatch(version)
    try:
        day = date(int(match[1]), int(match[2] or 1), int(match[3] or 1)) if match else None
    except ValueError:
        day = None
    if day is None:
        stated = f"the version {version!r} is not of the form 2026-04" if version else "the name states no version"
        raise file.error(f"{stated}; give --version, such as 2026-04")
    return f"{day:%Y%m%d}"


def _facts(file: SourceFile, start: str, skipped: Counter[str]) -> Iterator[Fact]:
    type_of = types()
    seen: set[str] = set()
    first: Line | None = None
    texts: list[str] = []
    for line in lines(file):
        if line.kind in FIRST:
            if first is not None:
                yield from _concept(file, first, " ".join(texts), start, type_of, skipped)
            if line.code in seen:
                raise file.error(f"the code {line.code} comes twice", line.number, "HCPC")
            seen.add(line.code)
            first, texts = line, [line.long]
        elif first is None or (line.code, line.kind) != (first.code, MORE[FIRST.index(first.kind)]):
            raise file.error(f"{line.code}: the first line of the description is missing", line.number)
        elif line.long:
            texts.append(line.long)
    if first is not None:
        yield from _concept(file, first, " ".join(texts), start, type_of, skipped)


def _concept(
    file: SourceFile,
    line: Line,
    text: str,
    start: str,
    type_of: Callable[[str], str],
    skipped: Counter[str],
) -> Iterator[Fact]:
    code = line.code
    if left_out := _left_out(file, line):
        skipped[left_out] += 1
        return
    if not text:
        raise file.error(f"{code} has no long description", line.number, "LONG DESCRIPTION")
    for name in DATES:
        _check_date(file, line, name)
    retired = line.values.get("TERM_DT", start) < start
    concept_type = type_of(code)
    spoken = not retired and len(text.split()) <= _LONGEST_MENTION and not set(text) & set(",;:()/")
    yield Concept(code, text, concept_type, "retired" if retired else "active")
    yield Name(code, text, "preferred", spoken and bool(concept_type))
    if line.short and line.short.lower() != text.lower():
        yield Name(code, line.short, "synonym", False)
    for name, value in line.values.items():
        yield Property(code, name, value)
    for target in filter(None, line.xrefs):
        if not is_level_2(target):
            skipped["cross-references to codes of the AMA or ADA"] += 1
        elif retired:
            yield MapRow(HCPCS, code, HCPCS, target, "replaced-by", "cms")
        else:  # "not valid for Medicare": the code itself still stands
            yield Property(code, "XREF", target)


def _left_out(file: SourceFile, line: Line) -> str:
    """Return why a record is left out, or "". Level I and the D codes may not be used without a licence."""
    if line.kind == "7" and len(line.code) == 2:
        return "modifiers"
    if is_level_2(line.code) and line.kind == "3":
        return ""
    if len(line.code) == 5 and line.code[:1] == "D":
        return "dental codes (copyright of the ADA)"
    if len(line.code) == 5 and line.code[:4].isdigit() and line.code.isalnum():
        return "CPT codes (copyright of the AMA)"
    raise file.error(f"{line.code!r} is not a code of HCPCS", line.number, "HCPC")


def is_level_2(code: str) -> bool:
    return len(code) == 5 and code.isascii() and code[1:].isdigit() and "A" <= code[0] <= "Z" and code[0] != "D"


def _check_date(file: SourceFile, line: Line, name: str) -> None:
    value = line.values.get(name, "19000101")
    try:
        if len(value) != 8 or not value.isdecimal():
            raise ValueError
        date(int(value[:4]), int(value[4:6]), int(value[6:]))
    except ValueError:
        raise file.error(f"{value!r} is not a date (YYYYMMDD)", line.number, name) from None


def types() -> Callable[[str], str]:
    """Return what gives the type of a code by `mappings/terminology/hcpcs_types.csv`: ranges that do not overlap."""
    name = "terminology/hcpcs_types.csv"
    rows = read_table(name, ("first", "last", "type", "note"))
    before = ""
    for number, row in enumerate(rows, 2):
        if not before < row["first"] <= row["last"] or row["type"] not in ("", *EntityType):
            raise TableError(f"mappings/{name}:{number}: the range is not after the one before, or the type is none")
        before = row["last"]
    firsts = [row["first"] for row in rows]

    def type_of(code: str) -> str:
        at = bisect_right(firsts, code) - 1
        return rows[at]["type"] if at >= 0 and code <= rows[at]["last"] else ""

    return type_of
