"""An entity on its way to its codes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from fhir_coder.coding.evidence import NOTHING, Evidence, Sign
from fhir_coder.model import ICD10CM, Candidate, Coding, Entity, Step
from fhir_coder.terminology.store import ConceptStore, StoredConcept


@dataclass(frozen=True, slots=True)
class Draft:
    """An entity, its code of ICD-10-CM so far, and how it came to it.

    `start` is the candidate that the choice began with; `code` is "" where there is none, or the category of an injury
    whose leaf is still looked for; `further` are codes that are written beside it, with the reason.
    """

    entity: Entity
    candidates: tuple[Candidate, ...]
    codings: tuple[Coding, ...]
    abstained: str | None
    start: Candidate | None = None
    code: str = ""
    steps: tuple[Step, ...] = ()
    evidence: Evidence = field(default_factory=lambda: NOTHING)
    further: tuple[tuple[str, str], ...] = ()

    def led_to(self, code: str, rule: str, reason: str, *signs: Sign | None) -> Draft:
        """Return the draft with another code - or the same, and what speaks for it."""
        step = Step(rule=rule, before=self.code, after=code, reason=reason, spans=spans(signs))
        return replace(self, code=code, steps=(*self.steps, step))

    @property
    def is_patients(self) -> bool:
        """Whether the patient has or had it, or may."""
        said = self.entity.assertion
        return not said.negated and said.experiencer == "patient" and said.certainty != "hypothetical"

    @property
    def is_active(self) -> bool:
        """Whether the patient has it for certain."""
        said = self.entity.assertion
        return self.is_patients and said.certainty == "certain" and said.temporality == "current"


def leaf(store: ConceptStore, code: str) -> StoredConcept | None:
    """Return the concept of ICD-10-CM with a code, if it is there and may be coded."""
    concept = store.concept(ICD10CM, code)
    return concept if concept and concept.codable else None


def place(entity: Entity) -> Sign:
    """Return the words of an entity as what speaks for something."""
    return Sign(" ".join(entity.text.split()), (entity.start, entity.end))


def spans(signs: Iterable[Sign | None]) -> tuple[tuple[int, int], ...]:
    """Return the places of what speaks for something."""
    return tuple(sign.span for sign in signs if sign and sign.span)


def candidate(concept: StoredConcept, start: Candidate, reason: str = "") -> Candidate:
    """Return a concept as a candidate, which is as sure as the one that it was found from."""
    return replace(start, code=concept.code, display=concept.display, version=concept.version, barred="", reason=reason)
