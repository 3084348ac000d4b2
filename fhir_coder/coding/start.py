"""The first choice: the best candidate that fits the patient, and the code that is written for this patient."""

from __future__ import annotations

from dataclasses import replace

from fhir_coder.coding.choose import choose
from fhir_coder.coding.context import Context
from fhir_coder.coding.draft import Draft, candidate, leaf
from fhir_coder.coding.evidence import site
from fhir_coder.coding.injury import injury_code
from fhir_coder.coding.patient import objection, variant
from fhir_coder.coding.thresholds import Thresholds
from fhir_coder.model import ICD10CM, SNOMED, Candidate, Entity
from fhir_coder.terminology.store import ConceptStore

_ANYWHERE = "T14"  # injury of unspecified body region


def begun(store: ConceptStore, entity: Entity, context: Context, least: Thresholds) -> Draft:
    """Return an entity, which has candidates, with its first code: one that fits the patient."""
    is_patient = entity.assertion.experiencer == "patient"
    candidates = tuple(_fitting(each, context, entity) if is_patient else each for each in entity.candidates)
    codings, abstained = choose(candidates, least)
    draft = Draft(entity, candidates, codings, abstained)
    chosen = next((coding for coding in codings if coding.system == ICD10CM), None)
    if chosen is None:
        return _from_header(store, draft, least)
    start = next(each for each in candidates if each.system == ICD10CM and each.code == chosen.code)
    draft = replace(draft, start=start).led_to(chosen.code, "name", chosen.reason)
    if chosen.code.startswith(_ANYWHERE):
        return _from_site(store, draft)
    other = variant(chosen.code, context, entity.sentence) if is_patient else None
    if other and leaf(store, other.code) and not objection(other.code, context):
        draft = draft.led_to(other.code, "patient", other.reason)
    return draft


def _from_header(store: ConceptStore, draft: Draft, least: Thresholds) -> Draft:
    """Return a draft that begins at a category which the names give, for the details to find its leaf."""
    best = next((each for each in draft.candidates if each.system == ICD10CM), None)
    concept = store.concept(ICD10CM, best.code) if best and best.barred and best.code else None
    if best and concept and concept.status == "header" and best.score >= least[ICD10CM]:
        return replace(draft, start=best)
    return _from_site(store, draft)


def _from_site(store: ConceptStore, draft: Draft) -> Draft:
    """Return a draft that begins at the category of an injury and its site, where the injury itself is known."""
    found = injury_code(draft.entity)
    concept = store.concept(ICD10CM, found[0]) if found else None
    chosen = {coding.code for coding in draft.codings}
    known = next((each for each in draft.candidates if each.system == SNOMED and each.code in chosen), None)
    if found is None or concept is None or known is None:
        return draft
    start = candidate(concept, replace(known, system=ICD10CM, stage="mapped"))
    reason = f"the site is the {site(draft.entity)} ({found[1]})"
    return replace(draft, start=start).led_to(concept.code, "site", reason)


def _fitting(candidate: Candidate, context: Context, entity: Entity) -> Candidate:
    """Return a candidate, barred where it does not fit the patient and no code stands for it."""
    if candidate.system != ICD10CM or candidate.barred or variant(candidate.code, context, entity.sentence):
        return candidate
    return replace(candidate, barred=objection(candidate.code, context) or "")
