"""What the text says of an entity: medspaCy's ConText (Harkema et al. 2009) per sentence, then the section.

Only sentences that hold entities are tokenised, each by itself: a cue never reaches beyond its sentence, and
ConText's cost, quadratic in its cues, stays bounded however long the note is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from loguru import logger

# PyRuSH, which medspaCy imports, logs the text that it reads.
logger.disable("PyRuSH")

import spacy  # noqa: E402
from medspacy.context import ConText, ConTextRule  # noqa: E402
from spacy.tokens import Doc  # noqa: E402

from fhir_coder.errors import TableError  # noqa: E402
from fhir_coder.model import PROBLEM_TYPES, Assertion, EntityType  # noqa: E402
from fhir_coder.tables import read_table, split  # noqa: E402

_SPANS = "entities"
_DIRECTIONS = frozenset({"FORWARD", "BACKWARD", "BIDIRECTIONAL", "TERMINATE", "PSEUDO"})
_CATEGORIES = frozenset(
    "NEGATED_EXISTENCE POSSIBLE_EXISTENCE HYPOTHETICAL HISTORICAL FAMILY FUTURE ALLERGY TERMINATE".split()
)
_HISTORICAL_SECTIONS = frozenset({"past_medical_history", "past_surgical_history"})
_WORD = re.compile(r"[a-z]+")


@dataclass(frozen=True, slots=True)
class Target:
    """An entity to be asserted: its span, type, section, and whether its concept is chronic."""

    start: int
    end: int
    type: EntityType
    section: str | None
    chronic: bool


@dataclass(frozen=True, slots=True)
class Asserted:
    """What is asserted of an entity; the relative, when it is a relative's; whether it is something not tolerated."""

    assertion: Assertion
    relative: str | None = None
    allergy: bool = False


class Assertions:
    """The ConText rules, compiled once. Not to be shared between threads."""

    def __init__(self) -> None:
        self._nlp = spacy.blank("en")
        self._context = ConText(self._nlp, span_attrs=None, input_span_type="group", span_group_name=_SPANS)
        self._context.add(_own_rules())

    def read(self, text: str, sentence: tuple[int, int], targets: Sequence[Target]) -> list[Asserted]:
        """Return what a sentence of `text` asserts of each of the entities in it."""
        start, end = sentence
        doc = self._nlp.make_doc(text[start:end])
        spans = [
            doc.char_span(target.start - start, target.end - start, label=target.type, alignment_mode="expand")
            for target in targets
        ]
        doc.spans[_SPANS] = [span for span in spans if span is not None]
        doc[0].is_sent_start = True
        for token in doc[1:]:
            token.is_sent_start = False
        self._context(doc)
        return [
            _by_section(_by_cues(span._.modifiers if span is not None else (), doc), target)
            for span, target in zip(spans, targets, strict=True)
        ]


def _by_cues(modifiers: Sequence[Any], doc: Doc) -> Asserted:
    by_category = {modifier.category: modifier for modifier in modifiers}
    family = by_category.get("FAMILY")
    certainty = (
        "hypothetical"
        if "HYPOTHETICAL" in by_category
        else "possible"
        if "POSSIBLE_EXISTENCE" in by_category
        else "certain"
    )
    temporality = (
        "historical" if "HISTORICAL" in by_category else "future" if "FUTURE" in by_category else "current"
    )
    return Asserted(
        Assertion(
            negated="NEGATED_EXISTENCE" in by_category,
            certainty=certainty,
            temporality=temporality,
            experiencer="family" if family else "patient",
        ),
        relative=_relative(doc.text) if family else None,
        allergy="ALLERGY" in by_category,
    )


def _by_section(asserted: Asserted, target: Target) -> Asserted:
    """Add what the section says: family history is the family's, past history is past.

    A chronic disease that is listed in the past medical history, without a word that puts it in the past, is a
    disease the patient has: "PMH: hypertension" does not mean that it is over.
    """
    assertion = asserted.assertion
    if target.section == "family_history" and target.type in PROBLEM_TYPES:
        assertion = replace(assertion, experiencer="family")
    if target.section in _HISTORICAL_SECTIONS and not target.chronic:
        assertion = replace(assertion, temporality="historical")
    if target.section == "instructions" and target.type is EntityType.SYMPTOM and assertion.certainty == "certain":
        assertion = replace(assertion, certainty="hypothetical")
    return replace(asserted, assertion=assertion, allergy=asserted.allergy or target.section == "allergies")


def _relative(sentence: str) -> str | None:
    """Return the relative that a sentence names first, or None."""
    relatives = _relatives()
    words = _WORD.findall(sentence.lower())
    for length in (3, 2, 1):
        for position in range(len(words) - length + 1):
            found = relatives.get(" ".join(words[position : position + length]))
            if found:
                return found
    return None


@cache
def _relatives() -> dict[str, str]:
    rows = read_table("family_relationships.csv", ("code", "display", "names"))
    return {name.lower(): row["display"] for row in rows for name in (row["display"], *split(row["names"]))}


def _own_rules() -> list[ConTextRule]:
    """Return the rules of `mappings/context_rules.csv`, to be added to those of medspaCy.

    Raises `TableError` when a row has an unknown category, direction, type, or a pattern that is no regular expression.
    """
    columns = ("literal", "category", "direction", "pattern", "targets", "max_scope")
    rules = []
    for row in read_table("context_rules.csv", columns):
        try:
            if row["category"] not in _CATEGORIES or row["direction"] not in _DIRECTIONS:
                raise ValueError(f"unknown category or direction {row['category']} {row['direction']}")
            re.compile(row["pattern"])
            rules.append(
                ConTextRule(
                    row["literal"],
                    row["category"],
                    direction=row["direction"],
                    pattern=row["pattern"] or None,
                    allowed_types={EntityType(name).value for name in split(row["targets"])} or None,
                    max_scope=int(row["max_scope"]) if row["max_scope"] else None,
                )
            )
        except (ValueError, re.error) as error:
            raise TableError(f"mappings/context_rules.csv: {row['literal']}: {error}") from error
    return rules
