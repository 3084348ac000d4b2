"""SSSOM mapping sets (TSV), the form in which Mondo and others publish their cross-references.

Format: SSSOM/TSV, https://mapping-commons.github.io/sssom/spec-formats-tsv/; columns and metadata:
https://mapping-commons.github.io/sssom/spec-model/ (Matentzoglu 2022, "A Simple Standard for Sharing Ontological
Mappings"). A head of YAML, each line after a #, then a table with a header.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from fhir_coder.model import HPO, ICD10CM, LOINC, RXNORM, SNOMED
from fhir_coder.terminology.release import Fact, Import, MapRow, Options, Relationship, Release
from fhir_coder.terminology.source import Source, SourceFile

NAME = "sssom"
TITLE = "SSSOM mapping sets (TSV)"

_OBO = "http://purl.obolibrary.org/obo/"
_SYSTEMS: Mapping[str, str] = MappingProxyType(
    {
        "MONDO": f"{_OBO}mondo.owl",
        "DOID": f"{_OBO}doid.owl",
        "HP": HPO,
        "SCTID": SNOMED,
        "SNOMEDCT": SNOMED,
        "SNOMEDCT_US": SNOMED,
        "ICD10CM": ICD10CM,
        "LOINC": LOINC,
        "RXNORM": RXNORM,
    }
)
# https://www.w3.org/TR/skos-reference/#mapping: "A broadMatch B" says that B is the wider one.
_RELATIONSHIPS: Mapping[str, Relationship] = MappingProxyType(
    {
        "skos:exactMatch": "equivalent",
        "owl:equivalentClass": "equivalent",
        "skos:closeMatch": "inexact",
        "skos:broadMatch": "wider",
        "rdfs:subClassOf": "wider",
        "skos:narrowMatch": "narrower",
        "skos:relatedMatch": "relatedto",
        "oboInOwl:hasDbXref": "relatedto",
    }
)
_NEEDED = ("subject_id", "predicate_id", "object_id")
_NO_TERM = "sssom:NoTermFound"


def recognises(source: Source) -> bool:
    """Tell whether there is an SSSOM file, by its name or, of a single file, its header."""
    if source.find("*.sssom.tsv"):
        return True
    head = source.files[0].head(1 << 14) if len(source.files) == 1 and source.find("*.tsv") else b""
    return any(line.startswith(b"subject_id\t") and b"\tpredicate_id" in line for line in head.split(b"\n"))


def load(source: Source, options: Options) -> Import:
    """Return a map release for each code system (and version) whose codes are the subjects of the mapping sets.

    Raises `TerminologyError` when a set is of no known code systems or has no version.
    """
    files = source.find("*.sssom.tsv") or [source.only("*.sssom.tsv")]
    members: dict[tuple[str, str], list[SourceFile]] = {}
    for file in files:
        version, prefix = _head(file)
        version = options.version or version
        if not version:
            raise file.error("the head has no mapping_set_version: give --version")
        members.setdefault((_SYSTEMS[prefix], version), []).append(file)
    releases = tuple(
        Release(system=system, version=version, title=f"SSSOM {', '.join(file.base_name for file in sets)}", kind="map")
        for (system, version), sets in members.items()
    )
    skipped: Counter[str] = Counter()
    facts = (
        (index, fact) for index, sets in enumerate(members.values()) for file in sets for fact in _facts(file, skipped)
    )
    return Import(releases=releases, facts=facts, skipped=skipped)


def _head(file: SourceFile) -> tuple[str, str]:
    """Return the version that the set states, and the prefix of the first subject that is of a known code system."""
    stated = ""
    columns: list[str] = []
    seen = ""
    for number, line in file.lines():
        if not columns and line.startswith("#"):
            name, _, value = line[1:].partition(":")
            if name.strip() == "mapping_set_version":
                stated = value.strip().strip("'\"")
        elif line.strip():
            fields = line.split("\t")
            if not columns:
                columns = _columns(file, number, fields)
            elif len(fields) == len(columns):
                prefix = fields[columns.index("subject_id")].partition(":")[0].upper()
                if prefix in _SYSTEMS:
                    return _version(stated), prefix
                seen = seen or prefix
    if not columns:
        raise file.error("the file is empty")
    raise file.error(f"the subjects are of {seen or 'nothing'}, known are {', '.join(_SYSTEMS)}")


def _columns(file: SourceFile, number: int, fields: Sequence[str]) -> list[str]:
    columns = [field.strip() for field in fields]
    for name in _NEEDED:
        if name not in columns:
            raise file.error(f"the column {name} is missing; is this an SSSOM mapping set?", number)
    return columns


def _version(stated: str) -> str:
    """Return the version, or the date in it where it is a URL (".../releases/2026-08-04/mappings/...")."""
    dated = [part for part in stated.split("/") if part[:1].isdigit()]
    return dated[0] if dated else stated


def _facts(file: SourceFile, skipped: Counter[str]) -> Iterator[Fact]:
    columns: list[str] = []
    for number, line in file.lines():
        if not line.strip() or (not columns and line.startswith("#")):
            continue
        fields = line.split("\t")
        if not columns:
            columns = _columns(file, number, fields)
        elif len(fields) != len(columns):
            raise file.error(f"{len(fields)} columns instead of {len(columns)}; is the file cut off?", number)
        else:
            yield from _map_row(file, dict(zip(columns, fields, strict=True)), number, skipped)


def _map_row(file: SourceFile, row: Mapping[str, str], line: int, skipped: Counter[str]) -> Iterator[MapRow]:
    relationship = _RELATIONSHIPS.get(row["predicate_id"])
    if not row["predicate_id"]:
        raise file.error("the predicate is missing", line, "predicate_id")
    if row.get("predicate_modifier"):  # "Not": the two do not match
        skipped[f"rows with the modifier {row['predicate_modifier'][:40]}"] += 1
    elif _NO_TERM in (row["subject_id"], row["object_id"]):
        skipped["rows that say that there is no match"] += 1
    elif "rdfs literal" in (row.get("subject_type"), row.get("object_type")):
        skipped["rows that lead from or to a text instead of a code"] += 1
    elif relationship is None:
        skipped[f"rows with the predicate {row['predicate_id'][:40]}"] += 1
    else:
        source = _code(file, row, line, "subject_id")
        target = _code(file, row, line, "object_id")
        if source is None or target is None:
            skipped["rows that lead from or to a code system that is not used here"] += 1
        else:
            origin = f"sssom {row['subject_id'].partition(':')[0].lower()}"
            yield MapRow(*source, *target, relationship, origin)


def _code(file: SourceFile, row: Mapping[str, str], line: int, column: str) -> tuple[str, str] | None:
    """Return code system and code; codes of ontologies keep their prefix ("MONDO:0000088"), those of others do not."""
    prefix, _, code = (part.strip() for part in row[column].partition(":"))
    if not prefix or not code:
        raise file.error(f"{row[column][:40]!r} is not of the form PREFIX:code", line, column)
    system = _SYSTEMS.get(prefix.upper())
    if system is None:
        return None
    return system, f"{prefix.upper()}:{code}" if system.startswith(_OBO) else code
