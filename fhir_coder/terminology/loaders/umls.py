"""UMLS Metathesaurus: the names in MRCONSO.RRF as synonyms of the codes that share their concept (CUI).

Format: UMLS Reference Manual, chapter 3.3.4, https://www.ncbi.nlm.nih.gov/books/NBK9685/ (Rich Release Format). The
file is in the order of the CUIs, so that one concept at a time is in memory.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
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
_RELEASE = re.compile(r"\b(20\d\d(?:AA|AB|AC))\b")
_MOST = 50_000  # rows of one concept; the largest real one has under two thousand
_LONGEST_MENTION = 6  # words


class _Row(NamedTuple):
    """What is used of a row."""

    cui: str
    sab: str
    code: str
    text: str


def recognises(source: Source) -> bool:
    """Tell whether MRCONSO.RRF is there."""
    return len(source.find("MRCONSO.RRF")) == 1


def load(source: Source, options: Options) -> Import:
    """Return a supplement per code system, and the cross-references between codes of one concept, marked as derived.

    Raises `TerminologyError` when the release is not named, or the concepts are not in order.
    """
    (file,) = source.find("MRCONSO.RRF")
    version = options.version or _version(source)
    if not version:
        raise file.error("neither release.dat nor a folder names the release: give --version (such as 2026AA)")
    names = {uri: name for name, uri in CODE_SYSTEMS.items()} | {HPO: "hpo"}
    releases = [
        Release(system=system, version=version, title=f"UMLS synonyms for {names[system]}", kind="supplement")
        for system in _SYSTEMS.values()
    ]
    releases.append(Release(system=_UMLS, version=version, title="UMLS cross-references", kind="map"))
    skipped: Counter[str] = Counter()
    return Import(releases=tuple(releases), facts=_facts(file, f"umls {version}", skipped), skipped=skipped)


def _version(source: Source) -> str | None:
    for file in source.find("release.dat"):
        named = _RELEASE.search(file.head().decode("latin-1"))
        if named:
            return named.group(1)
    named = _RELEASE.search(" ".join([source.path.name, *(file.name for file in source.find("MRCONSO.RRF"))]))
    return named.group(1) if named else None


def _facts(file: SourceFile, origin: str, skipped: Counter[str]) -> Iterator[tuple[int, Fact]]:
    for concept in _concepts(file, skipped):
        codes = dict.fromkeys((_SYSTEMS[row.sab], row.code) for row in concept if row.sab in _SYSTEMS)
        if not codes:
            continue
        texts = dict.fromkeys(row.text for row in concept)
        for system, code in codes:
            for text in texts:
                yield _INDEX[system], Name(code, text, "synonym", _is_mention(text))
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
                raise file.error(
                    f"{len(fields) - 1} columns (each ends with a |) instead of {_COLUMNS}; is the file cut off?",
                    number,
                )
            continue
        cui = fields[0]
        if cui != last:
            if cui < last:
                raise file.error(
                    f"{cui} comes after {last}: the file has to be in the order of the CUIs", number, "CUI"
                )
            if concept:
                yield concept
            concept, last = [], cui
        if fields[1] != "ENG":
            skipped["names in other languages"] += 1
        elif fields[16] != "N":
            skipped["suppressed or obsolete names"] += 1
        elif len(concept) == _MOST:
            raise file.error(f"{cui} has more than {_MOST:,} names; is this the right file?", number)
        else:
            concept.append(_Row(cui, fields[11], fields[13], fields[14]))
    if concept:
        yield concept


def _is_mention(text: str) -> bool:
    return len(text.split()) <= _LONGEST_MENTION and not any(mark in text for mark in ",:()[]/")
