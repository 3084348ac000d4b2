"""OMOP standardized vocabularies, as Athena ships them: one download for all code systems.

Tables: OMOP Common Data Model 5.4, https://ohdsi.github.io/CommonDataModel/cdm54.html (CONCEPT, CONCEPT_SYNONYM,
CONCEPT_RELATIONSHIP, VOCABULARY). The files are named .csv, separated by tabs, and not quoted.

A concept is retired that has an invalid_reason, and so is one whose valid_end_date is not the last one (2099-12-31):
HCPCS codes that ended stay "valid" in OMOP. Left out are what may not be emitted (see `omop_tables.is_of`) and the
strengths of drugs (DRUG_STRENGTH): for doses and dose forms import RxNorm itself.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date
from types import MappingProxyType

import numpy as np

from fhir_coder.terminology.loaders.omop_tables import SYSTEMS, is_of, kind_of, names_of, version_of
from fhir_coder.terminology.release import (
    Broader,
    Concept,
    Fact,
    Import,
    MapRow,
    Options,
    Relationship,
    Release,
    Status,
)
from fhir_coder.terminology.source import Source, SourceFile

NAME = "omop"
TITLE = "OMOP vocabularies from Athena: CONCEPT, CONCEPT_SYNONYM, CONCEPT_RELATIONSHIP, VOCABULARY"

_CONCEPT = (
    *("concept_id", "concept_name", "domain_id", "vocabulary_id", "concept_class_id", "standard_concept"),
    *("concept_code", "valid_start_date", "valid_end_date", "invalid_reason"),
)
_SYNONYM = ("concept_id", "concept_synonym_name", "language_concept_id")
_RELATIONSHIP = (
    *("concept_id_1", "concept_id_2", "relationship_id", "valid_start_date", "valid_end_date", "invalid_reason"),
)
_COMPANIONS = ("CONCEPT_SYNONYM.csv", "CONCEPT_RELATIONSHIP.csv", "VOCABULARY.csv")
_ENGLISH = "4180186"
_FOREVER = "20991231"
# The second concept to the first. "Maps to" leads to the standard concept, which may be wider; the historical
# associations mean what mappings/terminology/snomed_associations.csv says of them.
_RELATIONSHIPS: Mapping[str, Relationship] = MappingProxyType(
    {
        "Maps to": "relatedto",
        "Concept replaced by": "replaced-by",
        "Concept same_as to": "replaced-by",
        "Concept poss_eq to": "inexact",
        "Concept was_a to": "inexact",
        "Concept alt_to to": "inexact",
        "RxNorm has ing": "has-ingredient",
        "Tradename of": "tradename-of",
    }
)


class _Codes:
    """Which concept_id is which code. In arrays: Athena has millions of them."""

    def __init__(self) -> None:
        self._ids = array("q")
        self._starts = array("q")
        self._texts = bytearray()  # the vocabulary as one byte, `mention` as another, then the code and a 0

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, id_: int, vocabulary: int, mention: bool, code: str) -> None:
        self._ids.append(id_)
        self._starts.append(len(self._texts))
        self._texts += bytes((vocabulary, mention)) + code.encode("ascii") + b"\0"

    def close(self) -> None:
        """Sort, after which codes are found."""
        order = np.argsort(np.array(self._ids, dtype=np.int64), kind="stable")
        self._ids = array("q", [self._ids[at] for at in order])
        self._starts = array("q", [self._starts[at] for at in order])

    def find(self, id_: int) -> tuple[int, bool, str] | None:
        """Return vocabulary, whether its names may be looked for in notes, and code."""
        at = bisect_left(self._ids, id_)
        if at == len(self._ids) or self._ids[at] != id_:
            return None
        start = self._starts[at]
        code = self._texts[start + 2 : self._texts.index(0, start + 2)].decode("ascii")
        return self._texts[start], bool(self._texts[start + 1]), code


def recognises(source: Source) -> bool:
    """Tell whether CONCEPT.csv is there, separated by tabs."""
    return any(b"concept_id\tconcept_name\t" in file.head().lower() for file in source.find("CONCEPT.csv"))


def load(source: Source, options: Options) -> Import:
    """Return a release per vocabulary.

    Raises `TerminologyError` when a file is missing, or none of our vocabularies is there.
    """
    concepts = source.only("CONCEPT.csv")
    for name in _COMPANIONS:
        if not source.find(name):
            raise concepts.error(f"{name} is missing beside it: import the whole download of Athena")
    synonyms, relationships, vocabulary = (source.only(name) for name in _COMPANIONS)
    versions = _versions(vocabulary, options)
    releases = tuple(
        Release(system=SYSTEMS[name], version=version, title=f"{name}, from OMOP/Athena")
        for name, version in versions.items()
    )
    skipped: Counter[str] = Counter()

    def facts() -> Iterator[tuple[int, Fact]]:
        codes = _Codes()
        yield from _concepts(concepts, versions, codes, skipped)
        codes.close()
        yield from _synonyms(synonyms, list(versions), codes, skipped)
        yield from _relationships(relationships, list(versions), codes, skipped)

    return Import(releases=releases, facts=facts(), skipped=skipped)


def _versions(file: SourceFile, options: Options) -> dict[str, str]:
    """Return the versions of our vocabularies. The file also names some that are not in the download, without one."""
    found = {
        row["vocabulary_id"]: options.version or version_of(row["vocabulary_id"], row["vocabulary_version"].strip())
        for _, row in file.records(("vocabulary_id", "vocabulary_version"), delimiter="\t", quoted=False)
        if row["vocabulary_id"] in SYSTEMS and (options.version or row["vocabulary_version"].strip())
    }
    if not found:
        raise file.error(f"there is none of the vocabularies {', '.join(SYSTEMS)} with a version: give --version")
    return found


def _concepts(
    file: SourceFile, versions: Mapping[str, str], codes: _Codes, skipped: Counter[str]
) -> Iterator[tuple[int, Fact]]:
    kind_of_concept = kind_of()
    indexes = {vocabulary: index for index, vocabulary in enumerate(versions)}
    for line, fields in file.rows("\t", len(_CONCEPT), header=_CONCEPT):
        id_, name, _, vocabulary, class_, _, code, _, end, reason = fields
        index = indexes.get(vocabulary)
        if index is None and vocabulary in SYSTEMS:
            raise file.error(f"VOCABULARY.csv does not state the version of {vocabulary}: give --version", line)
        if index is None:
            skipped["concepts of other vocabularies"] += 1
            continue
        if reason not in ("", "D", "U"):
            raise file.error(f"{reason[:20]!r} is none of D, U and empty", line, "invalid_reason")
        if not name.strip():
            raise file.error("the name is missing", line, "concept_name")
        if not is_of(vocabulary, code):
            skipped[f"concepts of {vocabulary} that are no codes of it: groups, parts, other extensions"] += 1
            continue
        kind = kind_of_concept(vocabulary, class_, code)
        retired = (end != _FOREVER and _date(file, end, line) != _FOREVER) or bool(reason)
        status: Status = "retired" if retired else kind.status
        mention = kind.mention and not retired
        codes.add(_number(file, id_, line, "concept_id"), index, mention, code)
        yield index, Concept(code, name, kind.type, status)
        for fact in names_of(vocabulary, code, name, preferred=True, mention=mention):
            yield index, fact
    if not codes:
        raise file.error("there is no code of these vocabularies in it; is the file cut off?")


def _synonyms(
    file: SourceFile, vocabularies: list[str], codes: _Codes, skipped: Counter[str]
) -> Iterator[tuple[int, Fact]]:
    for line, (id_, text, language) in file.rows("\t", len(_SYNONYM), header=_SYNONYM):
        found = codes.find(_number(file, id_, line, "concept_id"))
        if found is None:
            continue
        if language != _ENGLISH:
            skipped["names in other languages"] += 1
        elif not text.strip():
            skipped["names that are empty"] += 1
        else:
            index, mention, code = found
            for fact in names_of(vocabularies[index], code, text, preferred=False, mention=mention):
                yield index, fact


def _relationships(
    file: SourceFile, vocabularies: list[str], codes: _Codes, skipped: Counter[str]
) -> Iterator[tuple[int, Fact]]:
    systems = [SYSTEMS[name] for name in vocabularies]
    for line, (first, second, kind, _, _, reason) in file.rows("\t", len(_RELATIONSHIP), header=_RELATIONSHIP):
        relationship = _RELATIONSHIPS.get(kind)
        if (relationship is None and kind != "Is a") or reason:
            skipped["relationships that are not used, or no longer valid"] += 1
            continue
        source = codes.find(_number(file, first, line, "concept_id_1"))
        target = codes.find(_number(file, second, line, "concept_id_2"))
        if source is None or target is None or first == second:
            continue
        index, _, code = source
        other, _, other_code = target
        if relationship is not None:
            yield index, MapRow(systems[index], code, systems[other], other_code, relationship, "omop")
        elif index == other:
            yield index, Broader(code, other_code)


def _number(file: SourceFile, text: str, line: int, column: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise file.error(f"{text[:20]!r} is no concept_id, which is a number", line, column)
    return int(text)


def _date(file: SourceFile, text: str, line: int) -> str:
    """Return a date as YYYYMMDD; some exports write it with hyphens."""
    digits = text.replace("-", "")
    try:
        if len(digits) != 8 or not (digits.isascii() and digits.isdecimal()):
            raise ValueError
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        raise file.error(f"{text[:20]!r} is no date", line, "valid_end_date") from None
    return digits
