"""FHIR R4 CodeSystem and ConceptMap resources, as JSON: one file each, or a folder or zip of them.

Source: https://hl7.org/fhir/R4/codesystem.html, https://hl7.org/fhir/R4/conceptmap.html
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import orjson

from fhir_coder.model import EntityType
from fhir_coder.terminology.release import (
    Broader,
    Concept,
    Fact,
    Import,
    MapRow,
    Name,
    Options,
    Property,
    Relationship,
    Release,
    Status,
)
from fhir_coder.terminology.source import Source, SourceFile

NAME = "fhir"
TITLE = "FHIR R4 CodeSystem and ConceptMap (JSON)"

_DEEPEST = 50  # levels of a hierarchy
_LONGEST_MENTION = 6  # words
_COMPLETE = frozenset({"complete"})
# R4's ConceptMapEquivalence has more words than a coder needs; a map that says there is no such code is kept, too.
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
        "disjoint": "unmatched",
    }
)


def recognises(source: Source) -> bool:
    """Tell whether all JSON files begin like a CodeSystem or ConceptMap."""
    files = source.find("*.json")
    return bool(files) and all(_is_ours(file) for file in files)


def _is_ours(file: SourceFile) -> bool:
    head = b"".join(file.head(1 << 16).split())
    return b'"resourceType":"CodeSystem"' in head or b'"resourceType":"ConceptMap"' in head


def load(source: Source, options: Options) -> Import:
    """Return a release per resource. A resource is read whole: its format allows nothing else; above 512 MB is refused.

    Raises `TerminologyError` for what is no such resource, with the FHIRPath of the element at fault.
    """
    files = source.find("*.json") or source.files
    read = [(file, _resource(file)) for file in files]
    skipped: Counter[str] = Counter()
    return Import(
        releases=tuple(_release(file, resource, options) for file, resource in read),
        facts=_facts(read, skipped),
        skipped=skipped,
    )


def _resource(file: SourceFile) -> dict[str, Any]:
    try:
        resource = orjson.loads(file.whole().removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise file.error("this is not JSON; is the file cut off?", error.lineno, error.colno) from None
    if not isinstance(resource, dict) or resource.get("resourceType") not in ("CodeSystem", "ConceptMap"):
        raise file.error("the resourceType is neither CodeSystem nor ConceptMap", None, "resourceType")
    return resource


def _release(file: SourceFile, resource: dict[str, Any], options: Options) -> Release:
    kind = resource["resourceType"]
    version = options.version or resource.get("version")
    if not isinstance(version, str) or not version:
        raise file.error(f"{kind}.version is missing: give --version")
    title = resource.get("title") or resource.get("name") or resource.get("url") or file.base_name
    if kind == "ConceptMap":
        groups = _list(file, resource, "group", kind)
        system = groups[0].get("source") if groups else None
        if not isinstance(system, str):
            raise file.error("the code system of the sources is missing", None, "ConceptMap.group[0].source")
        return Release(system=system, version=version, title=str(title), kind="map")
    if resource.get("content") == "supplement":
        system, release_kind = str(resource.get("supplements", "")).partition("|")[0], "supplement"
    else:
        system, release_kind = resource.get("url"), "complete"
        if resource.get("content") not in _COMPLETE:
            # A fragment or example says nothing of the codes that it does not list.
            raise file.error(
                "only a complete CodeSystem or a supplement can be imported: the codes that this one leaves out would "
                "be taken for wrong", None, "CodeSystem.content"
            )  # fmt: skip
    if not isinstance(system, str) or not system:
        raise file.error("the code system has no URL", None, "CodeSystem.url")
    return Release(
        system=system,
        version=version,
        title=str(title),
        kind="supplement" if release_kind == "supplement" else "complete",
    )


def _facts(read: list[tuple[SourceFile, dict[str, Any]]], skipped: Counter[str]) -> Iterator[tuple[int, Fact]]:
    for index, (file, resource) in enumerate(read):
        if resource["resourceType"] == "ConceptMap":
            yield from ((index, row) for row in _map_rows(file, resource, skipped))
        else:
            supplement = resource.get("content") == "supplement"
            yield from ((index, fact) for fact in _concepts(file, resource, "CodeSystem", "", supplement, 0))


def _concepts(
    file: SourceFile, holder: Mapping[str, Any], place: str, parent: str, supplement: bool, depth: int
) -> Iterator[Fact]:
    if depth > _DEEPEST:
        raise file.error(f"the hierarchy is deeper than {_DEEPEST} levels", None, place)
    for position, concept in enumerate(_list(file, holder, "concept", place)):
        here = f"{place}.concept[{position}]"
        code = concept.get("code")
        if not isinstance(code, str) or not code.strip():
            raise file.error("the code is missing", None, f"{here}.code")
        properties = _list(file, concept, "property", here)
        display = concept.get("display")
        if display is not None and not isinstance(display, str):
            raise file.error("the display is no string", None, f"{here}.display")
        type_ = _entity_type(file, properties, here)
        yield Concept(code, "" if supplement else display or code, type_, _status(properties))
        if display:
            yield Name(code, display, "synonym" if supplement else "preferred", _is_short(display))
        for designation in _list(file, concept, "designation", here):
            text, language = designation.get("value"), str(designation.get("language") or "en")
            if isinstance(text, str) and text.strip() and language.lower().startswith("en"):
                yield Name(code, text, "synonym", _is_short(text))
        if parent:
            yield Broader(code, parent)
        yield from _properties(code, properties)
        yield from _concepts(file, concept, here, code, supplement, depth + 1)


def _properties(code: str, properties: list[dict[str, Any]]) -> Iterator[Fact]:
    for each in properties:
        value = next((value for name, value in each.items() if name.startswith("value")), None)
        name = each.get("code")
        if not isinstance(name, str) or value is None:
            continue
        if name in ("parent", "subsumedBy") and isinstance(value, str):
            yield Broader(code, value)
        elif isinstance(value, str | int | float):
            yield Property(code, name, str(value).lower() if isinstance(value, bool) else str(value))


def _status(properties: list[dict[str, Any]]) -> Status:
    """Return the status that the properties `inactive`, `status` and `notSelectable` give (R4, concept-properties)."""
    said = {each.get("code"): next((v for n, v in each.items() if n.startswith("value")), None) for each in properties}
    if said.get("inactive") is True or said.get("status") in ("retired", "deprecated", "inactive"):
        return "retired"
    return "header" if said.get("notSelectable") is True else "active"


def _entity_type(file: SourceFile, properties: list[dict[str, Any]], place: str) -> str:
    """Return the value of the property `entity-type`: ours, for code systems that notes are to be coded in."""
    stated = next((each.get("valueCode") for each in properties if each.get("code") == "entity-type"), "")
    if stated and stated not in list(EntityType):
        raise file.error(f"the entity-type is none of {', '.join(EntityType)}", None, f"{place}.property")
    return str(stated)


def _map_rows(file: SourceFile, resource: dict[str, Any], skipped: Counter[str]) -> Iterator[MapRow]:
    origin = str(resource.get("title") or resource.get("name") or resource.get("url") or file.base_name)
    for number, group in enumerate(_list(file, resource, "group", "ConceptMap")):
        place = f"ConceptMap.group[{number}]"
        source, target = group.get("source"), group.get("target")
        if not isinstance(source, str) or not isinstance(target, str):
            raise file.error("a group has a source and a target system", None, place)
        for position, element in enumerate(_list(file, group, "element", place)):
            here = f"{place}.element[{position}]"
            code = element.get("code")
            if not isinstance(code, str) or not code:
                raise file.error("the code is missing", None, f"{here}.code")
            for row in _list(file, element, "target", here):
                if row.get("dependsOn"):
                    skipped["map rows that depend on another element"] += 1
                    continue
                relationship = _RELATIONSHIPS.get(str(row.get("equivalence")))
                if relationship is None:
                    raise file.error(f"the equivalence {str(row.get('equivalence'))[:30]!r} is none of R4", None, here)
                mapped = str(row.get("code") or "")
                advice = str(row.get("comment") or "")
                yield MapRow(source, code, target, mapped, relationship, origin, advice=advice)


def _list(file: SourceFile, holder: Mapping[str, Any], name: str, place: str) -> list[dict[str, Any]]:
    value = holder.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise file.error("this is no list of objects", None, f"{place}.{name}")
    return value


def _is_short(text: str) -> bool:
    return len(text.split()) <= _LONGEST_MENTION and "," not in text and "(" not in text
