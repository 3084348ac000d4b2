"""Relations between the entities of one sentence, told by the words between them (`mappings/relation_cues.csv`)."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

from fhir_coder.errors import TableError
from fhir_coder.model import PROBLEM_TYPES, Entity, EntityType, Relation
from fhir_coder.tables import read_table

_FARTHEST = 120  # characters between two related entities
_SCORE = 0.8


def read_relations(text: str, entities: tuple[Entity, ...]) -> tuple[Relation, ...]:
    """Return the relations between neighbouring entities of a sentence, such as "lisinopril 10 mg for hypertension"."""
    found = []
    for left, right in pairwise(entities):
        if left.sentence != right.sentence or right.start - left.end > _FARTHEST:
            continue
        between = f" {text[left.end : right.start].lower()} "
        for first, predicate, second, cue in _cues():
            if cue in between and _is(left, first) and _is(right, second):
                found.append(Relation(subject=left, predicate=predicate, object=right, score=_SCORE))
                break
    return tuple(found)


def _is(entity: Entity, kind: str) -> bool:
    return entity.type in PROBLEM_TYPES if kind == "problem" else entity.type == kind


@cache
def _cues() -> tuple[tuple[str, str, str, str], ...]:
    rows = read_table("relation_cues.csv", ("subject", "predicate", "object", "cue"))
    kinds = {"problem", *EntityType}
    for row in rows:
        if row["subject"] not in kinds or row["object"] not in kinds:
            raise TableError(f"mappings/relation_cues.csv: {row['cue']}: unknown type")
    return tuple((row["subject"], row["predicate"], row["object"], f" {row['cue']} ") for row in rows)
