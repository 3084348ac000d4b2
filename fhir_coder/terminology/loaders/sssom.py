"""SSSOM mapping sets (TSV), the form in which Mondo and others publish their cross-references.

Source: Matentzoglu 2022, "A Simple Standard for Sharing Ontological Mappings", https://mapping-commons.github.io/sssom/
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from fhir_coder.model import HPO, ICD10CM, LOINC, RXNORM, SNOMED
from fhir_coder.terminology.release import Fact, Import, MapRow, Options, Relationship, Release
from fhir_coder.terminology.source import Source, SourceFile

NAME = "sssom"
TITLE = "SSSOM mapping set (TSV)"

_SYSTEMS: Mapping[str, str] = MappingProxyType(
    {
        "MONDO": "http://purl.obolibrary.org/obo/mondo.owl",
        "DOID": "http://purl.obolibrary.org/obo/doid.owl",
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
        "skos:closeMatch": "inexact",
        "skos:broadMatch": "wider",
        "skos:narrowMatch": "narrower",
        "skos:relatedMatch": "relatedto",
        "oboInOwl:hasDbXref": "relatedto",
    }
)


def recognises(source: Source) -> bool:
    """Tell whether there is an SSSOM file."""
    return len(source.find("*.sssom.tsv")) == 1


def load(source: Source, options: Options) -> Import:
    """Return one map release. Raises `TerminologyError` when the set is of no known code systems or has no version."""
    (file,) = source.find("*.sssom.tsv") or source.files[:1]
    head: dict[str, str] = {}
    prefix = ""
    for _, line in file.lines():
        if not line.startswith("#"):
            prefix = prefix or line.partition(":")[0] if "\t" in line and ":" in line.partition("\t")[0] else prefix
            if prefix:
                break
            continue
        name, _, value = line.removeprefix("#").strip().partition(": ")
        head[name] = value
    version = options.version or _version(head)
    if not version:
        raise file.error("the head has no mapping_set_version: give --version")
    if prefix not in _SYSTEMS:
        raise file.error(f"the subjects are of {prefix or 'nothing'}, known are {', '.join(_SYSTEMS)}")
    release = Release(system=_SYSTEMS[prefix], version=version, title=f"Mapping set {file.base_name}", kind="map")
    skipped: Counter[str] = Counter()
    return Import(releases=(release,), facts=((0, fact) for fact in _facts(file, skipped)), skipped=skipped)


def _version(head: Mapping[str, str]) -> str:
    """Return the version, or the date in it where it is a URL (".../releases/2026-08-04/mappings/...")."""
    stated = head.get("mapping_set_version", "")
    dated = [part for part in stated.split("/") if part[:1].isdigit()]
    return dated[0] if dated else stated


def _facts(file: SourceFile, skipped: Counter[str]) -> Iterator[Fact]:
    header: list[str] = []
    for number, line in file.lines():
        if line.startswith("#") or not line.strip():
            continue
        fields = line.split("\t")
        if not header:
            header = fields
            missing = {"subject_id", "predicate_id", "object_id"} - set(header)
            if missing:
                raise file.error(f"the column {sorted(missing)[0]} is missing", number)
            continue
        if len(fields) != len(header):
            raise file.error(f"{len(fields)} columns instead of {len(header)}; is the file cut off?", number)
        row = dict(zip(header, fields, strict=True))
        yield from _map_row(file, row, number, skipped)


def _map_row(file: SourceFile, row: Mapping[str, str], line: int, skipped: Counter[str]) -> Iterator[MapRow]:
    source, target = row["subject_id"].partition(":"), row["object_id"].partition(":")
    if not source[2] or not target[2]:
        raise file.error("subject_id and object_id are 'PREFIX:code'", line)
    relationship = _RELATIONSHIPS.get(row["predicate_id"])
    if relationship is None:
        skipped[f"rows with the predicate {row['predicate_id'][:40]}"] += 1
    elif source[0] not in _SYSTEMS or target[0] not in _SYSTEMS:
        skipped["rows that lead from or to a code system that is not used here"] += 1
    else:
        # Mondo's own codes are "MONDO:0000088", prefix and all; those of the others are bare.
        codes = [
            "".join(each) if _SYSTEMS[each[0]].startswith("http://purl.obolibrary.org") else each[2]
            for each in (source, target)
        ]
        origin = f"sssom {source[0].lower()}"
        yield MapRow(_SYSTEMS[source[0]], codes[0], _SYSTEMS[target[0]], codes[1], relationship, origin)
