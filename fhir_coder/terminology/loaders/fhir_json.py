"""FHIR R4 CodeSystem and ConceptMap resources, as JSON: one file each, or a folder or zip of them.

Source: https://hl7.org/fhir/R4/codesystem.html (read in `fhir_codesystem`), https://hl7.org/fhir/R4/conceptmap.html
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import orjson

from fhir_coder.errors import TerminologyError
from fhir_coder.terminology.loaders.fhir_codesystem import CodeSystem, objects
from fhir_coder.terminology.release import Fact, Import, MapRow, Options, Relationship, Release, ReleaseKind
from fhir_coder.terminology.source import Source, SourceFile

NAME = "fhir"
TITLE = "FHIR R4 CodeSystem and ConceptMap (JSON)"

_KINDS = ("CodeSystem", "ConceptMap")
_HEAD = 1 << 16  # bytes
# R4's ConceptMapEquivalence has more words than a coder needs; all say how the target stands to the source.
_RELATIONSHIPS: Mapping[str, Relationship] = MappingProxyType(
    {
        "equal": "equivalent",
        "equivalent": "equivalent",
        "wider": "wider",
        "subsumes": "wider",  # the source is a target
        "narrower": "narrower",
        "specializes": "narrower",  # the target is a source
        "inexact": "inexact",
        "relatedto": "relatedto",
        "unmatched": "unmatched",
    }
)


def recognises(source: Source) -> bool:
    """Tell whether a JSON file begins like a CodeSystem or ConceptMap."""
    return any(_is_ours(file) for file in source.find("*.json"))


def _is_ours(file: SourceFile) -> bool:
    head = b"".join(file.head(_HEAD).split())
    return any(b'"resourceType":"%s"' % kind.encode() in head for kind in _KINDS)


def load(source: Source, options: Options) -> Import:
    """Return a release per CodeSystem, and one for all ConceptMaps from the same code system of the same version.

    A resource is read whole: its format allows nothing else; above 512 MB it is refused. It is read twice, the heads
    being wanted first, so that one resource at a time is in memory.
    Raises `TerminologyError` for what is no such resource, with the FHIRPath of the element at fault.
    """
    skipped: Counter[str] = Counter()
    members: dict[Release, list[SourceFile]] = {}  # titles differ, so they are compared without
    titles: dict[Release, list[str]] = {}
    for file in source.find("*.json") or [source.only("*.json")]:
        resource = _resource(file)
        if resource.get("resourceType") not in _KINDS:
            if len(source.files) == 1:
                raise file.error("the resourceType is neither CodeSystem nor ConceptMap", None, "resourceType")
            skipped["files that are neither CodeSystem nor ConceptMap"] += 1
            continue
        head = _release(file, resource, options)
        if head in members and head.kind != "map":
            raise file.error(
                f"{members[head][0].name} has the same code system in the same version: import one of them"
            )
        members.setdefault(head, []).append(file)
        titles.setdefault(head, []).append(_title(file, resource))
    if not members:
        raise TerminologyError(f"{source.path.name}: there is no CodeSystem and no ConceptMap of FHIR (JSON)")
    return Import(
        releases=tuple(
            Release(system=head.system, version=head.version, title=", ".join(titles[head]), kind=head.kind)
            for head in members
        ),
        facts=_facts(members, skipped),
        skipped=skipped,
    )


def _resource(file: SourceFile) -> dict[str, Any]:
    try:
        resource = orjson.loads(file.whole().removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise file.error(f"this is not JSON ({error.msg}); is the file cut off?", error.lineno, error.colno) from None
    if not isinstance(resource, dict):
        raise file.error("this is no FHIR resource, which is a JSON object", 1)
    return resource


def _title(file: SourceFile, resource: Mapping[str, Any]) -> str:
    return str(resource.get("title") or resource.get("name") or resource.get("url") or file.base_name)


def _release(file: SourceFile, resource: dict[str, Any], options: Options) -> Release:
    """Return the head of the release, without title."""
    resource_type = resource["resourceType"]
    version = options.version or resource.get("version")
    if not isinstance(version, str) or not version:
        raise file.error("the version is missing: give --version", None, f"{resource_type}.version")
    kind: ReleaseKind = "map"
    if resource_type == "ConceptMap":
        groups = objects(file, resource, "group", resource_type)
        system, place = (groups[0].get("source") if groups else None), "ConceptMap.group[0].source"
    elif resource.get("content") == "supplement":
        kind = "supplement"
        system, place = str(resource.get("supplements") or "").partition("|")[0], "CodeSystem.supplements"
    elif resource.get("content") == "complete":
        kind = "complete"
        system, place = resource.get("url"), "CodeSystem.url"
    else:
        message = "only a complete CodeSystem or a supplement: the codes left out here would be taken for wrong"
        raise file.error(message, None, "CodeSystem.content")
    system = system or options.system
    if not isinstance(system, str) or not system:
        raise file.error("the code system is missing", None, place)
    return Release(system=system, version=version, title="", kind=kind)


def _facts(members: Mapping[Release, list[SourceFile]], skipped: Counter[str]) -> Iterator[tuple[int, Fact]]:
    for index, (head, files) in enumerate(members.items()):
        for file in files:
            resource = _resource(file)
            facts: Iterator[Fact]
            if head.kind == "map":
                facts = _map_rows(file, resource, skipped)
            else:
                facts = CodeSystem(file, resource, head.system, skipped).facts()
            for fact in facts:
                yield index, fact


def _map_rows(file: SourceFile, resource: dict[str, Any], skipped: Counter[str]) -> Iterator[MapRow]:
    origin = _title(file, resource)
    for number, group in enumerate(objects(file, resource, "group", "ConceptMap")):
        place = f"ConceptMap.group[{number}]"
        source, target = group.get("source"), group.get("target")
        if not isinstance(source, str) or not source or not isinstance(target, str) or not target:
            raise file.error("a group has a source and a target, which are code systems", None, place)
        if "unmapped" in group:
            skipped["rules for codes that are not listed (ConceptMap.group.unmapped)"] += 1
        for position, element in enumerate(objects(file, group, "element", place)):
            here = f"{place}.element[{position}]"
            code = element.get("code")
            if not isinstance(code, str) or not code:
                raise file.error("the code is missing", None, f"{here}.code")
            if "noMap" in element:
                raise _of_r5(file, f"{here}.noMap")
            rows = objects(file, element, "target", here)
            if not rows:
                skipped["codes that are mapped to nothing"] += 1
            for at, row in enumerate(rows):
                stated = _target(file, row, f"{here}.target[{at}]", skipped)
                if stated:
                    relationship, mapped, advice = stated
                    yield MapRow(source, code, target, mapped, relationship, origin, advice=advice)


def _target(
    file: SourceFile, row: Mapping[str, Any], place: str, skipped: Counter[str]
) -> tuple[Relationship, str, str] | None:
    """Return relationship, code and comment, or None where the row is left out."""
    equivalence = row.get("equivalence")
    if equivalence is None and "relationship" in row:
        raise _of_r5(file, f"{place}.relationship")
    if row.get("dependsOn") or row.get("product"):
        skipped["map rows that depend on, or make, another element"] += 1
        return None
    if equivalence == "disjoint":
        skipped["map rows that say what a code does not mean (disjoint)"] += 1
        return None
    relationship = _RELATIONSHIPS.get(str(equivalence))
    if relationship is None:
        raise file.error(f"{str(equivalence)[:30]!r} is no ConceptMapEquivalence of R4", None, f"{place}.equivalence")
    code = row.get("code")
    if relationship == "unmatched":
        code = ""
    elif not isinstance(code, str) or not code:
        raise file.error("the code is missing", None, f"{place}.code")
    return relationship, code, str(row.get("comment") or "")


def _of_r5(file: SourceFile, place: str) -> TerminologyError:
    return file.error("this is a ConceptMap of FHIR R5; convert it to R4, which says `equivalence` here", None, place)
