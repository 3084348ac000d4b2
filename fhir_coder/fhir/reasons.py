"""What a medication is taken for: the TREATS relations of a note as reasonReference and reasonCode.

Source: https://hl7.org/fhir/R4/medicationstatement-definitions.html#MedicationStatement.reasonCode
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fhir_coder.fhir.facts import Fact
from fhir_coder.model import PROBLEM_TYPES, Entity, Relation

LEAST_SCORE = 0.5  # of a relation: a reason that is as likely wrong as right is not written

Span = tuple[int, int]


def treated(relations: Iterable[Relation]) -> Mapping[Span, Sequence[Entity]]:
    """Return the problems that each medication treats, by the span of the medication, the surest first."""
    found: dict[Span, list[tuple[float, Entity]]] = {}
    for relation in relations:
        medication, problem = relation.subject, relation.object
        if relation.predicate != "TREATS" or relation.score < LEAST_SCORE:
            continue
        if isinstance(medication, Entity) and isinstance(problem, Entity) and problem.type in PROBLEM_TYPES:
            found.setdefault((medication.start, medication.end), []).append((relation.score, problem))
    return {span: [each for _, each in sorted(told, key=lambda pair: -pair[0])] for span, told in found.items()}


def reasons(
    fact: Fact, treats: Mapping[Span, Sequence[Entity]], conditions: Mapping[Span, str]
) -> tuple[list[str], list[Entity]]:
    """Return the references of the Conditions that a medication is taken for, and the problems that are none.

    `conditions` are the references by the spans of their mentions. What the text denies or says of others is no reason.
    """
    problems = [each for mention in fact.mentions for each in treats.get((mention.start, mention.end), ())]
    references = [conditions[span] for each in problems if (span := (each.start, each.end)) in conditions]
    others: dict[str, Entity] = {}
    for each in problems:
        said = each.assertion
        if (each.start, each.end) not in conditions and not said.negated and said.experiencer == "patient":
            others.setdefault(" ".join(each.text.casefold().split()), each)
    return list(dict.fromkeys(references)), list(others.values())
