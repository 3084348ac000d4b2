"""Snapshots of our profiles, which are kept as differentials: the peer server validates by snapshots.

What a snapshot is: https://hl7.org/fhir/R4/profiling.html#snapshot. Only what our differentials need is done: an
element is constrained, a slice is added, a data type is unfolded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
PROFILES = ROOT / "profiles"
_TYPES = "http://hl7.org/fhir/StructureDefinition/"


def definitions(folders: Iterable[Path], bundles: Iterable[Path]) -> dict[str, Json]:
    """Return StructureDefinitions by URL, of unpacked packages and of Bundles of the specification."""
    found: dict[str, Json] = {}
    for bundle in bundles:
        for entry in json.loads(bundle.read_text(encoding="utf-8"))["entry"]:
            if entry["resource"]["resourceType"] == "StructureDefinition":
                found[entry["resource"]["url"]] = entry["resource"]
    for folder in folders:
        for path in folder.glob("StructureDefinition-*.json"):
            definition = json.loads(path.read_text(encoding="utf-8"))
            found[definition["url"]] = definition
    return found


def own_profiles(known: Mapping[str, Json]) -> list[Json]:
    """Return our StructureDefinitions with snapshots, by the definitions that they are derived from."""
    own = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(PROFILES.glob("StructureDefinition-*.json"))]
    return [{**each, "snapshot": {"element": snapshot(each, known)}} for each in own]


def without_slices(definition: Json) -> Json:
    """Return a definition without its slices, where they are optional: what has none of them meets both or neither."""
    elements = definition["snapshot"]["element"]
    assert all(not each["min"] for each in elements if "sliceName" in each)
    kept = [
        {name: value for name, value in each.items() if name != "slicing"} for each in elements if ":" not in each["id"]
    ]
    return {**definition, "snapshot": {"element": kept}}


def snapshot(definition: Json, known: Mapping[str, Json]) -> list[Json]:
    """Return the elements of a definition's snapshot.

    Raises `KeyError` when what it is derived from is unknown, `ValueError` when an element is not there.
    """
    elements = deepcopy(known[definition["baseDefinition"]]["snapshot"]["element"])
    for change in definition["differential"]["element"]:
        place = _find(elements, change["id"])
        if place is None:
            place = _add(elements, change, known)
        constraints = [*elements[place].get("constraint", []), *change.get("constraint", [])]
        elements[place] |= deepcopy(change)
        if constraints:
            elements[place]["constraint"] = constraints
    return elements


def _find(elements: list[Json], identity: str) -> int | None:
    return next((place for place, each in enumerate(elements) if each["id"] == identity), None)


def _add(elements: list[Json], change: Json, known: Mapping[str, Json]) -> int:
    """Add the element that a change speaks of; return its place."""
    parent, _, name = change["id"].rpartition(".")
    place = _find(elements, parent)
    if place is None:
        raise ValueError(f"{change['id']}: {parent} is not in the snapshot")
    if ":" in name:
        return _add_slice(elements, change, parent, name)
    return _unfold(elements, place, change, known)


def _add_slice(elements: list[Json], change: Json, parent: str, name: str) -> int:
    sliced = _find(elements, f"{parent}.{name.split(':')[0]}")
    if sliced is None:
        raise ValueError(f"{change['id']}: what it slices is not in the snapshot")
    root = elements[sliced]["id"]
    children = [deepcopy(each) for each in elements if each["id"].startswith(root + ".")]
    added = {key: value for key, value in deepcopy(elements[sliced]).items() if key not in ("slicing", "mustSupport")}
    last = max(i for i, each in enumerate(elements) if re.match(re.escape(root) + r"(?:[.:]|$)", each["id"]))
    copies = [each | {"id": each["id"].replace(root, change["id"], 1)} for each in children]
    # The peer tells slices of extensions apart by their url.
    extensions = [each for each in change.get("type", ()) if each["code"] == "Extension" and "profile" in each]
    copies += [_url(change, each["profile"][0]) for each in extensions]
    elements[last + 1 : last + 1] = [added | {"id": change["id"]}, *copies]
    return last + 1


def _url(change: Json, profile: str) -> Json:
    """Return the element of an extension's url, which its profile fixes."""
    return {
        "id": f"{change['id']}.url",
        "path": f"{change['path']}.url",
        "min": 1,
        "max": "1",
        "base": {"path": "Extension.url", "min": 1, "max": "1"},
        "type": [{"code": "uri"}],
        "fixedUri": profile,
    }


def _unfold(elements: list[Json], place: int, change: Json, known: Mapping[str, Json]) -> int:
    element = elements[place]
    (type_,) = element["type"]
    parts = deepcopy(known[_TYPES + type_["code"]]["snapshot"]["element"][1:])
    for part in parts:
        part["id"] = element["id"] + part["id"][part["id"].index(".") :]
        part["path"] = element["path"] + part["path"][part["path"].index(".") :]
    elements[place + 1 : place + 1] = parts
    found = _find(elements, change["id"])
    if found is None:
        raise ValueError(f"{change['id']}: {type_['code']} has no such part")
    return found
