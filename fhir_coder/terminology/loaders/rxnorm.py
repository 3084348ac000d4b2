"""RxNorm, the full release or the Current Prescribable Content, from the files of the NLM in RRF.

Layouts: https://www.nlm.nih.gov/research/umls/rxnorm/docs/techdoc.html, section 12; attributes and term types:
appendices 4 and 5 there. Which term type is what: `mappings/terminology/rxnorm_ttys.csv`.

Only what RxNorm says itself (SAB=RXNORM) is taken. A clinical drug that is suppressed (E: prescribed in quantified
forms only) or obsolete is retired. Brands are concepts of their own that are the trade name of their ingredients.
RXNCUICHANGES.RRF is not read: it tells what moved in the last month, which the archive tells, too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache

from fhir_coder.errors import TableError, TerminologyError
from fhir_coder.model import RXNORM, EntityType
from fhir_coder.tables import read_table
from fhir_coder.terminology.clinical_drugs import ORIGIN, ClinicalDrugs
from fhir_coder.terminology.release import Concept, Fact, Import, MapRow, Name, Options, Property, Release
from fhir_coder.terminology.rrf import SUPPRESSED, rows, rxcui
from fhir_coder.terminology.source import Source, SourceFile
from fhir_coder.terminology.strength import normal_strength

NAME = "rxnorm"
TITLE = "RxNorm: RXNCONSO, RXNREL, RXNSAT (RRF)"

_NEEDED = ("RXNCONSO.RRF", "RXNREL.RRF", "RXNSAT.RRF")
_CONSO, _SAT, _SAB, _ARCHIVE, _CUI = 18, 13, 25, 16, 5  # columns
# As in RxNorm_full_01062025.zip, RxNorm_full_prescribe_01062025.zip and Readme_Full_01062025.txt.
_DATED = re.compile(r"(?i)(?:rxnorm|readme)_(?:[a-z_]*_)?(\d{8})(?!\d)")
_SVER = re.compile(r"\d\d[A-Z]{2}_(\d{6})[A-Z]")  # as in "20AA_250106F"
_LONGEST_MENTION = 6  # words
_PROPERTIES = frozenset(
    "RXN_STRENGTH RXN_AVAILABLE_STRENGTH RXN_HUMAN_DRUG RXN_VET_DRUG RXN_QUANTITY RXN_QUALITATIVE_DISTINCTION "
    "RXN_BN_CARDINALITY RXN_OBSOLETED RXTERM_FORM".split()
)


def recognises(source: Source) -> bool:
    """Tell whether there is a file of RxNorm among the files."""
    return bool(source.find(*_NEEDED))


def load(source: Source, options: Options) -> Import:
    """Return the release with its facts. Raises `TerminologyError` when a file is missing or the version unknown."""
    files = _files(source)
    version = options.version or _version(source, files)
    part = "" if "prescribe" not in f"{source.path.name}/{files[_NEEDED[0]].name}".lower() else " prescribable content,"
    skipped: Counter[str] = Counter()
    release = Release(system=RXNORM, version=version, title=f"RxNorm,{part} {version}")
    return Import(releases=(release,), facts=((0, fact) for fact in _facts(files, skipped)), skipped=skipped)


def _files(source: Source) -> dict[str, SourceFile]:
    """Return the files of the folder that is imported, by name in capitals.

    The zip of the full release holds the prescribable content, too, in a folder of its own: that is left out.
    """
    names = [file for file in source.find(_NEEDED[0]) if "prescribe/" not in _folder(file)] or source.find(_NEEDED[0])
    if not names:
        raise TerminologyError(f"{source.path.name}: {_NEEDED[0]} is missing: import the whole folder rrf, or the zip")
    if len(names) > 1:
        raise names[1].error(f"here is a second release beside {names[0].name}: import one of them")
    if "rxnorm_weekly" in f"{source.path.name}/{names[0].name}".lower():
        raise names[0].error("this is a weekly update, which holds only what changed: import the monthly full release")
    files = {file.base_name.upper(): file for file in source.files if _folder(file) == _folder(names[0])}
    for name in _NEEDED:
        if name not in files:
            raise names[0].error(f"{name} is missing beside it: import the whole folder rrf, or the zip")
    return files


def _folder(file: SourceFile) -> str:
    return file.name.replace("\\", "/").lower().removesuffix(file.base_name.lower())


def _version(source: Source, files: Mapping[str, SourceFile]) -> str:
    """Return the date of the release as HL7 wants it for RxNorm: as in the name of the download, "01062025".

    https://hl7.org/fhir/R4/rxnorm.html. It stands in RXNSAB.RRF, or else in the name of the zip or the readme.
    """
    if sab := files.get("RXNSAB.RRF"):
        for number, fields in rows(sab, _SAB, 3):
            match = _SVER.fullmatch(fields[6])
            try:
                return datetime.strptime(match.group(1) if match else "", "%y%m%d").strftime("%m%d%Y")
            except ValueError:
                raise sab.error(f"{fields[6]!r} is no version such as 20AA_250106F", number, "SVER") from None
    for name in (source.path.resolve().name, *(file.name for file in source.files)):
        if match := _DATED.search(name):
            try:
                datetime.strptime(match.group(1), "%m%d%Y")
            except ValueError:
                continue
            return match.group(1)
    raise files[_NEEDED[0]].error("the date of the release stands nowhere: give it with --version, as in 01062025")


def _facts(files: Mapping[str, SourceFile], skipped: Counter[str]) -> Iterator[Fact]:
    conso = files["RXNCONSO.RRF"]
    lines, ttys, retired = _concepts(conso, skipped)
    drugs = ClinicalDrugs(ttys, retired)
    yield from _names(conso, lines, drugs, skipped)
    yield from drugs.read(files["RXNREL.RRF"], skipped)
    yield from _attributes(files["RXNSAT.RRF"], drugs, skipped)
    yield from drugs.facts(skipped)
    yield from _history(files, ttys, skipped)


def _concepts(file: SourceFile, skipped: Counter[str]) -> tuple[dict[int, int], dict[int, str], frozenset[int]]:
    """Return of every code the line that names it, its term type, and whether it is retired.

    RXNCONSO is read once for this, and again for the names: which of several atoms of a code is the one in use, and
    of which kind the concept is that a synonym names, is known only at the end.
    """
    table = term_types()
    lines: dict[int, int] = {}
    ttys: dict[int, str] = {}
    retired: set[int] = set()
    for number, fields in rows(file, _CONSO, 11, skipped):
        tty, suppress = fields[12], fields[16]
        if suppress != "N" and suppress not in SUPPRESSED:
            raise file.error(f"{suppress!r} is none of N, O, Y, E", number, "SUPPRESS")
        if tty not in table:
            skipped[f"names of the term type {tty}, which is unknown"] += 1
        elif table[tty]["role"] == "concept":
            code = rxcui(file, fields[0], number, "RXCUI")
            if code not in lines or (code in retired and suppress == "N"):
                lines[code] = number
                ttys[code] = table[tty]["tty"]  # one string for all
                (retired.discard if suppress == "N" else retired.add)(code)
    if not lines:
        raise file.error("there are no names of the source RXNORM; is this a file of RxNorm?")
    return lines, ttys, frozenset(retired)


def _names(file: SourceFile, lines: dict[int, int], drugs: ClinicalDrugs, skipped: Counter[str]) -> Iterator[Fact]:
    table = term_types()
    for number, fields in rows(file, _CONSO, 11):
        code, tty, text, suppress = fields[0], fields[12], fields[14].strip(), fields[16]
        if not text:
            raise file.error("the name is empty", number, "STR")
        if tty not in table:
            continue
        id_ = rxcui(file, code, number, "RXCUI")
        is_retired = id_ in drugs.retired
        kind = table[drugs.ttys[id_]] if id_ in drugs.ttys else None
        if kind is None:
            skipped["synonyms of codes that have no name of their own"] += 1
        elif lines[id_] == number:
            yield Concept(str(id_), text, kind["type"], "retired" if is_retired else "active")
            mention = kind["mention"] == "yes" and not is_retired and is_spoken(text)
            yield Name(str(id_), text, "preferred", mention)
            yield Property(str(id_), "TTY", tty)
            if tty in ("DF", "DFG"):
                drugs.names[id_] = text.lower()
            elif tty == "SCDC":  # "atorvastatin 10 MG"
                drugs.strengths[id_] = normal_strength(" ".join(text.split()[-2:]))
        elif suppress != "N":
            skipped["synonyms that are suppressed or obsolete"] += 1
        else:
            mention = kind["mention"] == table[tty]["mention"] == "yes" and not is_retired and is_spoken(text)
            yield Name(str(id_), text, "synonym", mention)


def _attributes(file: SourceFile, drugs: ClinicalDrugs, skipped: Counter[str]) -> Iterator[Fact]:
    for number, fields in rows(file, _SAT, 9, skipped):
        name = fields[8]
        if name not in _PROPERTIES or fields[11] in SUPPRESSED:
            skipped["attributes that are not kept (NDC, ORIG_CODE, ...)"] += 1
            continue
        code = rxcui(file, fields[0], number, "RXCUI")
        if code in drugs.ttys:
            yield Property(str(code), name, fields[10])
            if name == "RXN_STRENGTH" and (strength := normal_strength(fields[10])):
                drugs.strengths[code] = strength


def _history(files: Mapping[str, SourceFile], ttys: Mapping[int, str], skipped: Counter[str]) -> Iterator[Fact]:
    """Yield the codes that are no longer there and what they were merged into, where the files tell."""
    table = term_types()
    replaced: dict[int, int] = {}  # 0: by several
    archived: set[int] = set()
    if archive := files.get("RXNATOMARCHIVE.RRF"):
        for number, fields in rows(archive, _ARCHIVE, 13):
            tty = fields[14]
            if tty not in table or table[tty]["role"] != "concept" or not fields[12]:
                continue
            code = rxcui(archive, fields[12], number, "RXCUI")
            if code in ttys:
                continue
            if code not in archived:
                archived.add(code)
                yield Concept(str(code), fields[2], table[tty]["type"], "retired")
                yield Name(str(code), fields[2], "preferred", False)
                yield Property(str(code), "TTY", tty)
            if fields[15] and fields[15] != fields[12]:
                new = rxcui(archive, fields[15], number, "MERGED_TO_RXCUI")
                replaced[code] = new if replaced.get(code, new) == new else 0
    if cui := files.get("RXNCUI.RRF"):
        for number, line in cui.lines():
            fields = line.split("|")
            if len(fields) != _CUI + 1:
                if line.strip():
                    raise cui.error(f"{len(fields) - 1} columns instead of {_CUI}; is the file cut off?", number)
                continue
            code, new = rxcui(cui, fields[0], number, "CUI1"), rxcui(cui, fields[4], number, "CUI2")
            if code not in ttys and code != new:  # a code that became itself was retired without a successor
                replaced.setdefault(code, new if fields[3] == "1" else 0)
    for code, new in replaced.items():
        if new:
            yield MapRow(RXNORM, str(code), RXNORM, str(new), "replaced-by", ORIGIN)
        else:
            skipped["retired codes that became several"] += 1


@cache
def term_types() -> Mapping[str, Mapping[str, str]]:
    """Return the rows of `mappings/terminology/rxnorm_ttys.csv` by term type.

    Raises `TableError` when a role, a type or a mention is none.
    """
    name = "terminology/rxnorm_ttys.csv"
    table = {row["tty"]: row for row in read_table(name, ("tty", "name", "role", "type", "mention"))}
    for tty, row in table.items():
        known = row["role"] in ("concept", "synonym") and row["mention"] in ("yes", "no")
        if not known or row["type"] not in ("", *EntityType):
            raise TableError(f"mappings/{name}: {tty}: the role, type or mention is unknown")
    return table


def is_spoken(text: str) -> bool:
    """Tell whether a name is one that a clinician would write: short, and not inverted or qualified."""
    return not any(mark in text for mark in ",([{") and len(text.split()) <= _LONGEST_MENTION
