"""From a draft to the entity with its codings, candidates and reasons."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fhir_coder.coding.choose import explained
from fhir_coder.coding.draft import Draft, candidate, leaf
from fhir_coder.coding.history import z_codes
from fhir_coder.coding.thresholds import Thresholds
from fhir_coder.model import ICD10CM, Candidate, Coding, Entity, Step
from fhir_coder.terminology.store import ConceptStore, StoredConcept


def finished(store: ConceptStore, draft: Draft, least: Thresholds) -> Entity:
    """Return the entity of a draft with what was chosen, and each candidate with why it was or was not."""
    codings, candidates = draft.codings, draft.candidates
    concept = leaf(store, draft.code) if draft.code else None
    if concept and draft.start:
        coding = _coding(concept, draft.start, draft.steps)
        codings = _in_place(codings, coding)
        beside = [(code, f"beside {coding.code}: {reason}") for code, reason in draft.further]
        beside += [(z.code, f"in the place of {coding.code} on a claim: {z.reason}") for z in z_codes(store, draft)]
        candidates = _with_chosen(candidates, coding, candidate(concept, draft.start))
        candidates = _with_further(store, candidates, coding, beside)
    for chosen in codings:
        if chosen.system != ICD10CM and chosen.steps:  # the concept that has a name of its own with its details
            before = next(each for each in candidates if each.code == chosen.steps[0].before)
            found = store.concept(chosen.system, chosen.code)
            candidates = _with_chosen(candidates, chosen, candidate(found, before)) if found else candidates
    return replace(
        draft.entity,
        codings=codings,
        candidates=explained(candidates, codings, least),
        abstained=None if codings else draft.abstained,
    )


def _in_place(codings: tuple[Coding, ...], coding: Coding) -> tuple[Coding, ...]:
    """Put a coding where the one of its system stands, or behind the others."""
    others = [each for each in codings if each.system != coding.system]
    at = next((at for at, each in enumerate(codings) if each.system == coding.system), len(others))
    return (*others[:at], coding, *others[at:])


def _with_chosen(candidates: tuple[Candidate, ...], coding: Coding, chosen: Candidate) -> tuple[Candidate, ...]:
    """Put what was chosen before all others of its system."""
    rest = [each for each in candidates if (each.system, each.code) != (coding.system, coding.code)]
    at = next((at for at, each in enumerate(rest) if each.system == coding.system), len(rest))
    return (*rest[:at], chosen, *rest[at:])


def _with_further(
    store: ConceptStore, candidates: tuple[Candidate, ...], coding: Coding, beside: Iterable[tuple[str, str]]
) -> tuple[Candidate, ...]:
    """Put the codes that are written beside a coding, or in its place on a claim, behind it."""
    at = next(at for at, each in enumerate(candidates) if (each.system, each.code) == (coding.system, coding.code)) + 1
    known = {each.code for each in candidates if each.system == ICD10CM}
    added = [
        candidate(concept, candidates[at - 1], reason)
        for code, reason in dict(beside).items()
        if code not in known and (concept := leaf(store, code))
    ]
    return (*candidates[:at], *added, *candidates[at:])


def _coding(concept: StoredConcept, start: Candidate, steps: tuple[Step, ...]) -> Coding:
    return Coding(
        system=concept.system,
        code=concept.code,
        display=concept.display,
        version=concept.version,
        score=start.score,
        stage=start.stage,
        reason=steps[-1].reason if steps else "",
        matched=start.matched,
        steps=steps,
    )
