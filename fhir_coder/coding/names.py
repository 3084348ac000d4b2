"""The name that a mention has together with what the note says of it: "osteoarthritis" of the "hip"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import combinations

from fhir_coder.coding.axes import values
from fhir_coder.model import PROBLEM_TYPES, Entity
from fhir_coder.terminology.normalise import bag, normalise
from fhir_coder.terminology.store import ConceptStore, StoredConcept

_ATTRIBUTES = ("body_site", "severity", "laterality", "stage")
_SIDED = re.compile(r"\b(?:right|left|bilateral|both)\b", re.IGNORECASE)
_MOST = 4  # details that are tried together
_KINDS = ("preferred", "synonym", "index")  # the first that decides between several concepts of one name


def composed(
    store: ConceptStore, entity: Entity, names: Sequence[str], system: str, without: frozenset[str] = frozenset()
) -> tuple[StoredConcept, tuple[str, ...]] | None:
    """Return the one concept of a system that is called by a name of the entity and most of its details, and these.

    `names` are its own and, last, the one that it was recognised by; `without` are attributes that are left out. A name
    that several concepts share decides nothing.
    """
    plain = _SIDED.sub(" ", entity.text)
    # "Osteoarthritis of the right hip"; but "left" is a part of the name of the left bundle branch block.
    if plain != entity.text and not _SIDED.search(names[-1]) and (found := _named(store, plain, system)):
        return found, (" ".join(plain.split()),)
    for details in _details(entity, without):
        for name in names:
            found = _named(store, f"{' '.join(details)} {name}", system)
            if found:
                return found, details
    return None


def _details(entity: Entity, without: frozenset[str]) -> Iterator[tuple[str, ...]]:
    """Yield what is said of an entity in all choices, the fullest first."""
    given = entity.attributes
    said = [str(given[name]) for name in _ATTRIBUTES if name not in without and given.get(name)]
    # "Uncontrolled", "improving" tell how it goes, and not what it is.
    courses = "" if "course" in without else str(given.get("course") or "")
    said += [each for each in courses.split(", ") if each in _courses()]
    own = set(normalise(entity.text).split())
    said = [each for each in said if not set(normalise(each).split()) <= own][:_MOST]
    for count in range(len(said), 0, -1):
        yield from combinations(said, count)


@cache
def _courses() -> frozenset[str]:
    """Return the courses that tell codes apart."""
    return frozenset(phrase for value in values() for phrase in value.said)


def _named(store: ConceptStore, text: str, system: str) -> StoredConcept | None:
    found = [
        name
        for name in store.names_by_bag(bag(normalise(text)))
        if name.concept.system == system and name.concept.type in PROBLEM_TYPES and name.concept.status != "retired"
    ]
    for kind in _KINDS:
        concepts = {name.concept.code: name.concept for name in found if name.kind == kind}
        if len(concepts) == 1:
            return next(iter(concepts.values()))
        if concepts:
            return None
    return None
