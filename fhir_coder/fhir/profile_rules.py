"""What our own profiles require (`profiles/StructureDefinition-coded-*.json`), checked on what claims them.

Read are the cardinalities of the differentials. What a profile takes over from US Core and IPS is proven against a
server, in the tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from fhir_coder.fhir.elements import OURS
from fhir_coder.tables import folder, read_profile

Json = Mapping[str, Any]

_PREFIX = "StructureDefinition-coded-"


@dataclass(frozen=True, slots=True)
class Rule:
    """How often an element occurs in each of its parents."""

    parents: tuple[str, ...]  # names from the resource down
    name: str  # without [x]
    is_choice: bool
    least: int
    most: int | None


def broken_rules(resource: Json) -> Iterator[tuple[str, str]]:
    """Yield the elements of a resource that break a profile of ours which it claims, and how."""
    for claimed in resource.get("meta", {}).get("profile", ()):
        if claimed.startswith(OURS):
            for rule in _rules().get(claimed, ()):
                for parent in elements(resource, rule.parents):
                    count = _count(parent, rule)
                    if count < rule.least or (rule.most is not None and count > rule.most):
                        yield ".".join((*rule.parents, rule.name)), f"occurs {count} times ({claimed})"


def elements(resource: Json, path: tuple[str, ...]) -> list[Any]:
    """Return all elements at a path, of lists each."""
    found: list[Any] = [resource]
    for name in path:
        found = [
            each
            for parent in found
            if isinstance(parent, Mapping) and name in parent
            for each in (parent[name] if isinstance(parent[name], list) else (parent[name],))
        ]
    return found


def _count(parent: Json, rule: Rule) -> int:
    if rule.is_choice:
        names = {name.removeprefix("_") for name in parent}
        return sum(name.startswith(rule.name) and name[len(rule.name)].isupper() for name in names if name != rule.name)
    value = parent.get(rule.name, parent.get(f"_{rule.name}"))
    return len(value) if isinstance(value, list) else int(value is not None)


@cache
def _rules() -> Mapping[str, tuple[Rule, ...]]:
    names = sorted(each.name for each in folder("profiles").iterdir() if each.name.startswith(_PREFIX))
    definitions = [read_profile(name) for name in names]
    return {each["url"]: tuple(_of(each)) for each in definitions}


def _of(definition: Json) -> Iterator[Rule]:
    for element in definition["differential"]["element"]:
        path = element["id"].split(".")[1:]
        if not path or ":" in element["id"] or not {"min", "max"} & element.keys():
            continue
        most = element.get("max", "*")
        yield Rule(
            parents=tuple(path[:-1]),
            name=path[-1].removesuffix("[x]"),
            is_choice=path[-1].endswith("[x]"),
            least=element.get("min", 0),
            most=None if most == "*" else int(most),
        )
