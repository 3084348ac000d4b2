"""OMOP standardized vocabularies, as Athena ships them: one download for all code systems.

Tables: OMOP Common Data Model 5.4, https://ohdsi.github.io/CommonDataModel/cdm54.html (CONCEPT, CONCEPT_SYNONYM,
CONCEPT_RELATIONSHIP, VOCABULARY). The files are named .csv, separated by tabs, and not quoted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from fhir_coder.errors import TableError
from fhir_coder.model import HCPCS, ICD10CM, LOINC, RXNORM, SNOMED, EntityType
from fhir_coder.tables import read_table
from fhir_coder.terminology.release import (
    Broader,
    Concept,
    Fact,
    Import,
    MapRow,
    Name,
    Options,
    Relationship,
    Release,
    Status,
)
from fhir_coder.terminology.source import Source, SourceFile

NAME = "omop"
TITLE = "OMOP vocabularies from Athena: CONCEPT, CONCEPT_SYNONYM, CONCEPT_RELATIONSHIP"

_VOCABULARIES: Mapping[str, str] = MappingProxyType(
    {"SNOMED": SNOMED, "ICD10CM": ICD10CM, "RxNorm": RXNORM, "LOINC": LOINC, "HCPCS": HCPCS}
)
_CONCEPT = ("concept_id", "concept_name", "vocabulary_id", "concept_class_id", "concept_code", "invalid_reason")
_SYNONYM = ("concept_id", "concept_synonym_name", "language_concept_id")
_RELATIONSHIP = ("concept_id_1", "concept_id_2", "relationship_id", "invalid_reason")
_ENGLISH = "4180186"
_RELATIONSHIPS: Mapping[str, Relationship] = MappingProxyType(
    {
        "Maps to": "relatedto",  # to the standard concept, which may be wider
        "Concept replaced by": "replaced-by",
        "RxNorm has ing": "has-ingredient",
        "Tradename of": "tradename-of",
    }
)
_LONGEST_MENTION = 6  # words


class _Class(NamedTuple):
    """A row of mappings/terminology/omop_classes.csv: what a concept class of a vocabulary is in a note."""

    type: str
    status: Status


def recognises(source: Source) -> bool:
    """Tell whether CONCEPT.csv is there, separated by tabs."""
    files = source.find("CONCEPT.csv")
    return len(files) == 1 and b"concept_id\tconcept_name\t" in files[0].head()


def load(source: Source, options: Options) -> Import:
    """Return a release per vocabulary.

    Raises `TerminologyError` when VOCABULARY.csv is missing, or names none of our vocabularies.
    """
    (concepts,) = source.find("CONCEPT.csv")
    versions = _versions(source, concepts, options)
    vocabularies = {name: index for index, name in enumerate(versions)}
    releases = tuple(
        Release(system=_VOCABULARIES[name], version=version, title=f"{name}, from OMOP/Athena")
        for name, version in versions.items()
    )
    skipped: Counter[str] = Counter()
    facts = _facts(source, concepts, vocabularies, skipped)
    return Import(releases=releases, facts=facts, skipped=skipped)


def _versions(source: Source, concepts: SourceFile, options: Options) -> dict[str, str]:
    files = source.find("VOCABULARY.csv")
    if not files:
        raise concepts.error("VOCABULARY.csv is missing, which states the versions: import the whole download")
    rows = files[0].records(("vocabulary_id", "vocabulary_version"), delimiter="\t", quoted=False)
    found = {
        row["vocabulary_id"]: options.version or row["vocabulary_version"] or "unknown"
        for _, row in rows
        if row["vocabulary_id"] in _VOCABULARIES
    }
    if not found:
        raise files[0].error(f"none of the vocabularies {', '.join(_VOCABULARIES)} is in this download")
    return found


def _facts(
    source: Source, concepts: SourceFile, vocabularies: dict[str, int], skipped: Counter[str]
) -> Iterator[tuple[int, Fact]]:
    classes = _classes()
    codes: dict[int, tuple[int, str]] = {}  # concept_id -> release and code
    for line, row in concepts.records(_CONCEPT, delimiter="\t", quoted=False):
        index = vocabularies.get(row["vocabulary_id"])
        if index is None:
            skipped[f"concepts of {row['vocabulary_id'][:40]}"] += 1
            continue
        code, name = row["concept_code"], row["concept_name"]
        known = classes.get((row["vocabulary_id"], row["concept_class_id"]), _Class("", "active"))
        status: Status = "retired" if row["invalid_reason"] else known.status
        codes[_number(concepts, row["concept_id"], line)] = (index, code)
        yield index, Concept(code, name, known.type, status)
        yield index, Name(code, name, "preferred", status != "retired" and _is_mention(name))
    for file in source.find("CONCEPT_SYNONYM.csv"):
        yield from _synonyms(file, codes, skipped)
    for file in source.find("CONCEPT_RELATIONSHIP.csv"):
        yield from _relationships(file, codes, list(vocabularies))


def _synonyms(file: SourceFile, codes: dict[int, tuple[int, str]], skipped: Counter[str]) -> Iterator[tuple[int, Fact]]:
    for line, row in file.records(_SYNONYM, delimiter="\t", quoted=False):
        found = codes.get(_number(file, row["concept_id"], line))
        if found is None:
            continue
        if row["language_concept_id"] != _ENGLISH:
            skipped["names in other languages"] += 1
            continue
        text = row["concept_synonym_name"]
        yield found[0], Name(found[1], text, "synonym", _is_mention(text))


def _relationships(
    file: SourceFile, codes: dict[int, tuple[int, str]], vocabularies: list[str]
) -> Iterator[tuple[int, Fact]]:
    systems = [_VOCABULARIES[name] for name in vocabularies]
    for line, row in file.records(_RELATIONSHIP, delimiter="\t", quoted=False):
        kind = row["relationship_id"]
        if row["invalid_reason"] or (kind != "Is a" and kind not in _RELATIONSHIPS):
            continue
        source = codes.get(_number(file, row["concept_id_1"], line))
        target = codes.get(_number(file, row["concept_id_2"], line))
        if source is None or target is None or source == target:
            continue
        if kind == "Is a" and source[0] == target[0]:
            yield source[0], Broader(source[1], target[1])
        elif kind in _RELATIONSHIPS:
            relationship = _RELATIONSHIPS[kind]
            row_ = MapRow(systems[source[0]], source[1], systems[target[0]], target[1], relationship, "omop")
            yield source[0], row_


def _classes() -> dict[tuple[str, str], _Class]:
    columns = ("vocabulary", "class", "type", "status")
    found = {}
    for row in read_table("terminology/omop_classes.csv", columns):
        if (row["type"] and row["type"] not in list(EntityType)) or row["status"] not in ("active", "header"):
            raise TableError(f"mappings/terminology/omop_classes.csv: {row['class']}: unknown type or status")
        status: Status = "header" if row["status"] == "header" else "active"
        found[row["vocabulary"], row["class"]] = _Class(row["type"], status)
    return found


def _number(file: SourceFile, text: str, line: int) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise file.error(f"{text[:20]!r} is no concept_id, which is a number", line)
    return int(text)


def _is_mention(text: str) -> bool:
    return len(text.split()) <= _LONGEST_MENTION and not any(mark in text for mark in ",:()[]")
