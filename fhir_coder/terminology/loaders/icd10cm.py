"""ICD-10-CM as CDC/NCHS and CMS ship it: the order file, the tabular list and the Alphabetic Index, or any of them.

Files: https://www.cms.gov/medicare/coding-billing/icd-10-codes ("Code Descriptions in Tabular Order", "Code Tables,
Tabular and Index") and https://www.cdc.gov/nchs/icd/icd-10-cm/files.html. Where both are there, the order file says
which codes there are, how they are called and which of them are billable, and the tabular list adds inclusion terms and
notes. The index alone is a supplement.

A release is in force from 1 October before its fiscal year ("2026": from 2025-10-01), and that year is its version. An
update within the year is called by its date, and so is its version ("April 2026": "2026-04-01").
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import NamedTuple

from fhir_coder.errors import TerminologyError
from fhir_coder.model import ICD10CM
from fhir_coder.terminology.loaders import icd10cm_index, icd10cm_order, icd10cm_tabular
from fhir_coder.terminology.release import Fact, Import, Options, Release, ReleaseKind
from fhir_coder.terminology.source import Source, SourceFile

NAME = "icd10cm"
TITLE = "ICD-10-CM: order file, tabular list (XML), Alphabetic Index (XML)"

_WRONG = {
    "pcs": "this is ICD-10-PCS (procedures), not ICD-10-CM (diagnoses)",
    "who": "this is the ICD-10 of the WHO or of another country, whose codes differ; ICD-10-CM comes from CDC and CMS",
    "codes": "this list has no categories; import the order file of the same release (icd10cm_order_YYYY.txt)",
}
_PATTERNS = (  # the first that fits the name of a file in lower case
    ("*addenda*", ""),
    ("icd10pcs*.txt", "pcs"),
    ("icd10pcs*.xml", "pcs"),
    ("icd10*syst*.txt", "who"),
    ("icd10c*order*.txt", "order"),
    ("icd10c*codes*.txt", "codes"),
    ("icd10c*tabular*.xml", "tabular"),
    ("icd10c*index*.xml", "index"),  # and eindex
    ("icd10c*neoplasm*.xml", "index"),
    ("icd10c*drug*.xml", "index"),
)
_MARKS = (  # what stands in the head of an XML file
    (b"<ICD10CM.tabular", "tabular"),
    (b"<ICD10CM.index", "index"),
    (b"<ICD10PCS.", "pcs"),
)
_MONTHS = "January February March April May June July August September October November December".split()
_MONTH = re.compile(rf"(?<![a-z])({'|'.join(_MONTHS)})(?![a-z])(?:[-_ ]+(3[01]|[12]\d|0?[1-9])(?!\d))?", re.I)
_YEAR = re.compile(r"(?<!\d)(20\d\d)(?!\d)")
_STATED_YEAR = re.compile(rb"<version>\s*(20\d\d)\s*</version>")


class _Version(NamedTuple):
    year: int  # of the date where there is one, else the fiscal year
    month: int = 0
    day: int = 0

    @property
    def fiscal_year(self) -> int:
        return self.year + (self.month >= 10)

    def __str__(self) -> str:
        return f"{self.year}-{self.month:02}-{self.day:02}" if self.month else str(self.year)


def recognises(source: Source) -> bool:
    """Tell whether the source is of ICD-10-CM, or of an edition that is mistaken for it (`load` then says so)."""
    return any(_sort(source).values())


def load(source: Source, options: Options) -> Import:
    """Return the release, or the supplement when there is only the index.

    Raises `TerminologyError` when the files are of another edition, of several releases, or do not state their version.
    """
    files = _sort(source)
    orders, tabulars, indexes = files["order"], files["tabular"], files["index"]
    if not (orders or tabulars or indexes):
        for kind, message in _WRONG.items():
            for file in files[kind]:
                raise file.error(message)
        raise TerminologyError(f"{source.path}: there is no order file, tabular list or index of ICD-10-CM")
    for several in (orders, tabulars):
        if len(several) > 1:
            raise several[1].error(f"{several[0].name} is there, too; import one release at a time")
    chosen = [*orders, *tabulars, *indexes]
    version = options.version or _version(source, chosen)
    skipped: Counter[str] = Counter()
    extent: ReleaseKind = "complete" if orders or tabulars else "supplement"
    return Import(
        releases=(Release(system=ICD10CM, version=version, title=_title(version, extent), kind=extent),),
        facts=((0, fact) for fact in _facts(orders, tabulars, indexes, skipped)),
        skipped=skipped,
    )


def _sort(source: Source) -> dict[str, list[SourceFile]]:
    """Return the files by what they are."""
    files: dict[str, list[SourceFile]] = {kind: [] for kind in ("order", "tabular", "index", *_WRONG)}
    for file in source.files:
        kind = _kind(file, alone=len(source.files) == 1)
        if kind:
            files[kind].append(file)
    return files


def _kind(file: SourceFile, *, alone: bool) -> str:
    name = file.base_name.lower()
    for pattern, kind in _PATTERNS:
        if fnmatch(name, pattern):
            return kind
    if not alone and "icd" not in name:  # not every file of a folder is opened
        return ""
    if name.endswith((".xml", ".txt")):
        head = file.head()
        for mark, kind in _MARKS:
            if mark in head:
                return kind
        if b"<ClaML" in head and b"ICD-10" in head:
            return "who"
        first = head.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].decode("latin-1")
        if icd10cm_order.is_order_line(first):
            return "pcs" if first[6].isdigit() else "order"
    return ""


def _version(source: Source, files: list[SourceFile]) -> str:
    """Return the version that all files state."""
    found: _Version | None = None
    for file in files:
        version = _stated(source, file)
        if found is not None and version != found:
            message = f"is of release {version}, but {files[0].name} of {found}; import one release at a time"
            raise file.error(message)
        found = version
    return str(found)


def _stated(source: Source, file: SourceFile) -> _Version:
    """Return the version of the file's name, or of its folder or zip where its name is without a month, or its own."""
    inside = _STATED_YEAR.search(file.head()) if file.base_name.lower().endswith(".xml") else None
    versions = [_dated(text) for text in (file.base_name, f"{source.path.name} {file.name}")]
    version = next((version for version in versions if version and version.month), versions[0])
    # The folder's date is of the file only when it is of the year that the file states.
    if version != versions[0] and versions[0] and version and version.fiscal_year != versions[0].year:
        version = versions[0]
    if version is None and inside:
        return _Version(int(inside[1]))
    if version is None:
        raise file.error("neither its name nor its head says of which release it is; give --version, such as 2026")
    if inside and int(inside[1]) != version.fiscal_year:
        message = f"the name says release {version}, but <version> is {inside[1].decode()}; give --version"
        raise file.error(message)
    return version


def _dated(text: str) -> _Version | None:
    """Return the version that a name states: month, day and year, or the year alone."""
    year = _YEAR.search(text)
    if year is None:
        return None
    month = _MONTH.search(text)
    if month is None:
        return _Version(int(year[1]))
    return _Version(int(year[1]), _MONTHS.index(month[1].capitalize()) + 1, int(month[2] or 1))


def _title(version: str, kind: ReleaseKind) -> str:
    year, _, rest = version.partition("-")
    month = rest.partition("-")[0]
    named = f"{_MONTHS[int(month) - 1]} {year}" if month.isdigit() and 1 <= int(month) <= 12 else version
    return f"ICD-10-CM{' index' if kind == 'supplement' else ''}, {named} (CDC/NCHS)"


def _facts(
    orders: list[SourceFile], tabulars: list[SourceFile], indexes: list[SourceFile], skipped: Counter[str]
) -> Iterator[Fact]:
    codes: dict[str, int] = {}  # all codes of the release (100,000), which the later files are checked against
    for file in orders:
        yield from icd10cm_order.read(file, codes)
    for file in tabulars:
        yield from icd10cm_tabular.read(file, codes, skipped)
    for file in indexes:
        yield from icd10cm_index.read(file, codes or None, skipped)
