"""UMLS Metathesaurus: the names in MRCONSO.RRF as synonyms of the codes that share their concept (CUI).

Format: UMLS Reference Manual, chapter 3 (Rich Release Format), table 1, https://www.ncbi.nlm.nih.gov/books/NBK9685/.
The file is in the order of the CUIs, so that one concept at a time is in memory.

The licence (section 12, https://www.nlm.nih.gov/research/umls/knowledge_sources/metathesaurus/release/license_agreement.html)
keeps the names of sources of the restriction levels (SRL) 2 and 3, such as CPT and MedDRA, from being used to code the
records of patients: they are left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from itertools import combinations
from types import MappingProxyType
from typing import NamedTuple

from fhir_coder.model import CODE_SYSTEMS, HCPCS, HPO, ICD10CM, LOINC, RXNORM, SNOMED
from fhir_coder.terminology.release import Fact, Import, MapRow, Name, Options, Release
from fhir_coder.terminology.source import Source, SourceFile

NAME = "umls"
TITLE = "UMLS: MRCONSO.RRF as synonyms and cross-references of codes"

_SYSTEMS: Mapping[str, str] = MappingProxyType(
    {"SNOMEDCT_US": SNOMED, "ICD10CM": ICD10CM, "RXNORM": RXNORM, "LNC": LOINC, "HCPCS": HCPCS, "HPO": HPO}
)
_INDEX = {system: index for index, system in enumerate(_SYSTEMS.values())}
_MAPS = len(_SYSTEMS)  # the index of the release that holds the cross-references
_UMLS = "http://www.nlm.nih.gov/research/umls"
_COLUMNS = 18
_RELEASE = re.compile(r"(?<![0-9A-Za-z])(20\d\d(?:AA|AB|AC))(?![0-9A-Za-z])")
# release.dat names the version of MetamorphoSys, too.
_STATED = re.compile(r"^umls\.release\.name[ \t]*=[ \t]*(\S+)", re.MULTILINE)
_MOST = 10_000  # rows of one concept; the largest real one has under two thousand
_LONGEST_MENTION = 6  # words
_SHORTEST_MENTION = 4  # letters; the abbreviations of all sources together name too many things
_RESTRICTED = ("2", "3")  # SRL


class _Row(NamedTuple):
    """What is used of a row."""

    sab: str
    code: str
    text: str


def recognises(source: Source) -> bool:
    """Tell whether MRCONSO.RRF is there."""
    return bool(source.find("MRCONSO.RRF"))


def load(source: Source, options: Options) -> Import:
    """Return a supplement per code system, and the cross-references between codes of one concept, marked as derived.

    Raises `TerminologyError` when MRCONSO.RRF is missing, the release is not named, or the concepts are not in order.
    """
    file = source.only("MRCONSO.RRF")
    version = options.version or _version(source, file)
    names = {uri: name for name, uri in CODE_SYSTEMS.items()} | {HPO: "hpo"}
    releases = [
        Release(system=system, version=version, title=f"UMLS synonyms for {names[system]}", kind="supplement")
        for system in _SYSTEMS.values()
    ]
    releases.append(Release(system=_UMLS, version=version, title="UMLS cross-references", kind="map"))
    skipped: Counter[str] = Counter()
    return Import(releases=tuple(releases), facts=_facts(file, f"umls {version}", skipped), skipped=skipped)


def _version(source: Source, file: SourceFile) -> str:
    """Return the release that release.dat names, or else the zip or a folder ("umls-2026AA-mrconso.zip")."""
    for stated in source.find("release.dat"):
        if named := _STATED.search(stated.head().decode("latin-1")):
            return named.group(1)
    found = _RELEASE.findall("/".join((*source.path.resolve().parts[-3:], file.name)))
    if not found:
        raise file.error("neither release.dat nor a folder names the release: give --version (such as 2026AA)")
    return str(found[-1])


def _facts(file: SourceFile, origin: str, skipped: Counter[str]) -> Iterator[tuple[int, Fact]]:
    for concept in _concepts(file, skipped):
        codes = sorted(
            dict.fromkeys((_SYSTEMS[row.sab], row.code) for row in concept if row.sab in _SYSTEMS),
            key=lambda each: _INDEX[each[0]],
        )
        if not codes:
            continue
        bare = {code for _, code in codes}
        texts = {text: _is_mention(text, bare) for text in dict.fromkeys(row.text for row in concept)}
        for system, code in codes:
            for text, mention in texts.items():
                yield _INDEX[system], Name(code, text, "synonym", mention)
        for (system, code), (other_system, other_code) in combinations(codes, 2):
            if system != other_system:
                row = MapRow(system, code, other_system, other_code, "equivalent", origin, derived=True)
                yield _MAPS, row


def _concepts(file: SourceFile, skipped: Counter[str]) -> Iterator[list[_Row]]:
    """Yield the English rows in force of one concept after the other."""
    concept: list[_Row] = []
    last = ""
    for number, line in file.lines():
        fields = line.split("|")
        if len(fields) != _COLUMNS + 1:
            if line.strip():
                found = len(fields) - 1
                message = f"{found} columns (each ends with a |) instead of {_COLUMNS}; is the file cut off?"
                raise file.error(message, number)
            continue
        cui = fields[0]
        if cui != last:
            _check_cui(file, number, cui, last)
            if concept:
                yield concept
            concept, last = [], cui
        sab, code, text, suppress = fields[11], fields[13], fields[14].strip(), fields[16]
        if suppress not in ("N", "O", "Y", "E"):
            raise file.error(f"{suppress!r} is none of N, O, Y, E", number, "SUPPRESS")
        if not text:
            raise file.error("the name is empty", number, "STR")
        if fields[1] != "ENG":
            skipped["names in other languages"] += 1
        elif suppress != "N":
            skipped["suppressed or obsolete names"] += 1
        elif fields[15] in _RESTRICTED:
            skipped["names that may not be used to code records of patients (SRL 2 and 3)"] += 1
        elif sab in _SYSTEMS and not code:
            raise file.error("the code is empty", number, "CODE")
        elif len(concept) == _MOST:
            raise file.error(f"{cui} has more than {_MOST:,} names; is this the right file?", number)
        else:
            concept.append(_Row(sab, code, text))
    if concept:
        yield concept
    if not last:
        raise file.error("the file is empty")


def _check_cui(file: SourceFile, number: int, cui: str, last: str) -> None:
    if len(cui) != 8 or cui[0] != "C" or not (cui[1:].isascii() and cui[1:].isdecimal()):
        raise file.error(f"{cui[:20]!r} is no CUI; is this MRCONSO.RRF of the UMLS?", number, "CUI")
    if cui < last:
        raise file.error(f"{cui} comes after {last}: the file has to be in the order of the CUIs", number, "CUI")


def _is_mention(text: str, codes: Collection[str]) -> bool:
    return (
        len(text) >= _SHORTEST_MENTION
        and text.count(" ") < _LONGEST_MENTION
        and not any(mark in text for mark in ",:()[]{}/")
        and text not in codes
        and text.lower() != text.upper()  # numbers only
    )
