"""What the note says of a mention itself - site, severity, side, stage, encounter - and the code that it leads to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from functools import cache

from fhir_coder.coding.axes import CATEGORY, parse
from fhir_coder.coding.context import Context, encounter
from fhir_coder.coding.draft import Draft
from fhir_coder.coding.evidence import Evidence, Sign, evidence, evidence_of_name, site, words_of
from fhir_coder.coding.names import composed
from fhir_coder.coding.patient import objection
from fhir_coder.coding.refine import Refined, Refiner
from fhir_coder.model import ICD10CM, PROBLEM_TYPES, SNOMED, Coding, Entity, Step
from fhir_coder.tables import read_table
from fhir_coder.terminology.store import ConceptStore, StoredConcept

_UNSURE = frozenset("RZ")  # chapters whose codes two mentions share without being the same problem
_ANNOUNCED = frozenset({"encounter", "sex"})  # defaults that are told even where nothing else is
_INJURIES = frozenset("ST")
_HOW = frozenset({"severity", "course"})
_STRUCTURED = frozenset({"severity", "laterality"})  # what a Condition says in elements of its own

Values = dict[str, tuple[str, Sign]]  # axis -> value, and what says so
Shared = Mapping[str, Mapping[str, Mapping[str, Sign]]]  # code -> axis -> value -> what says so


class Details:
    """Reads details over one store. It may be shared between threads."""

    def __init__(self, store: ConceptStore) -> None:
        self._store = store
        self._refiner = Refiner(store)

    def read(self, text: str, draft: Draft, bounds: tuple[int, int], context: Context) -> Draft:
        """Return a draft with what the note says of it, and the code that its name with site and severity has.

        `bounds` are the end of the entity before and the start of the one behind.
        """
        start = draft.start
        if start is None or draft.entity.type not in PROBLEM_TYPES:
            return draft
        draft = self._named(draft, start.matched, context)
        category = (draft.code or start.code)[:CATEGORY]
        said = dict(evidence(text, draft.entity, bounds, category))
        told = {axis for axis, _ in said}
        named, _ = _consistent({key: Sign(start.matched) for key in evidence_of_name(start.matched, category)})
        said |= {(axis, value): sign for axis, (value, sign) in named.items() if axis not in told}
        draft = replace(draft, evidence={**said, **_from_context(text, draft, context)})
        return self._elsewhere(draft, context)

    def _elsewhere(self, draft: Draft, context: Context) -> Draft:
        """Take the code of another category that a detail leads to (`mappings/coding/detail_codes.csv`)."""
        stated, _ = _consistent(draft.evidence)
        for axis, (value, sign) in stated.items():
            use, source = _detail_codes().get((draft.code, axis, value), ("", ""))
            concept = self._store.concept(ICD10CM, use) if use else None
            if concept and concept.codable and not (draft.is_patients and objection(use, context)):
                return draft.led_to(use, "detail", f"the note says {sign} ({source})", sign)
        return draft

    def _named(self, draft: Draft, matched: str, context: Context) -> Draft:
        """Take the concept that is called by the mention with its site, severity ... where there is one."""
        names = tuple(dict.fromkeys((draft.entity.text, matched)))
        # "Severe abdominal pain" and "recurrent fever" are names of other things than much pain and fever again.
        without = _HOW if draft.code.startswith("R") else frozenset[str]()
        called = composed(self._store, draft.entity, names, SNOMED, without=without | _STRUCTURED)
        if called and called[0].codable:
            draft = replace(draft, codings=tuple(_by_name(coding, *called) for coding in draft.codings))
        snomed = composed(self._store, draft.entity, names, SNOMED, without)
        found = composed(self._store, draft.entity, names, ICD10CM, without)
        found = found or (self._mapped(*snomed) if snomed else None)
        concept = self._leaf(found[0]) if found else None
        # "Other symptoms involving ..." is not what a name with more words leads to.
        if found is None or concept is None or concept.code == draft.code or concept.display.startswith("Other "):
            return draft
        if draft.is_patients and objection(concept.code, context):
            return draft
        said = ", ".join(found[1])
        reason = f'with "{said}" the mention is called "{concept.display}"'
        return draft.led_to(concept.code, "site and severity", reason)

    def _mapped(self, concept: StoredConcept, details: tuple[str, ...]) -> tuple[StoredConcept, tuple[str, ...]] | None:
        """Return the one concept of ICD-10-CM that the maps give for a concept of SNOMED CT."""
        rows = self._store.mapped(SNOMED, concept.code, ICD10CM)
        found = {target.code: target for target, row in rows if row.group == 1}
        return (next(iter(found.values())), details) if len(found) == 1 else None

    def _leaf(self, concept: StoredConcept) -> StoredConcept | None:
        """Return a concept that may be coded, or the leaf of a header that says no more."""
        if concept.codable:
            return concept
        refined = self._refiner.refine(concept.code, frozenset(), "")
        return refined.concept if refined else None

    def refined(self, drafts: Sequence[Draft], context: Context) -> list[Draft]:
        """Return drafts with the codes that their details lead to within their categories."""
        shared = _shared(drafts)
        return [self._refined(draft, shared, context) for draft in drafts]

    def _refined(self, draft: Draft, shared: Shared, context: Context) -> Draft:
        start = draft.code or (draft.start.code if draft.start else "")
        if not start or draft.entity.type not in PROBLEM_TYPES:
            return draft
        stated, against = _consistent(draft.evidence)
        borrowed = _borrowed(start, shared, stated.keys() | against.keys()) if draft.is_active else {}
        said = stated | borrowed
        told = {axis: value for axis, (value, _) in said.items()}
        refined = self._refiner.refine(start, frozenset(told.items()), site(draft.entity))
        if refined is None or (draft.is_patients and objection(refined.concept.code, context)):
            return replace(draft, code="") if draft.code and not self._is_leaf(draft.code) else draft
        if told.get("laterality") == "bilateral" and (both := self._both_sides(start, told, draft.entity)):
            return _with_both(draft, both, said["laterality"][1])
        if not draft.code and start[0] in _INJURIES and not _is_named(refined.concept, draft.entity):
            return draft  # "axis" is how the tabular list calls a fracture of the second cervical vertebra
        reason = _reason(refined, said, frozenset(borrowed), against, draft.entity)
        if refined.concept.code == draft.code and not reason:
            return draft
        signs = [said[value.axis][1] for value in refined.used]
        return draft.led_to(refined.concept.code, "detail", reason or "the name says no more", *signs)

    def _is_leaf(self, code: str) -> bool:
        concept = self._store.concept(ICD10CM, code)
        return concept is not None and concept.codable

    def _both_sides(self, code: str, told: Mapping[str, str], entity: Entity) -> tuple[StoredConcept, ...]:
        """Return the codes of the right and the left side, where a category has none for both."""
        stated = [frozenset({**told, "laterality": side}.items()) for side in ("bilateral", "right", "left")]
        found = [self._refiner.refine(code, each, site(entity)) for each in stated]
        said = [_laterality(each.concept) if each else None for each in found]
        if said[0] == "bilateral" or said[1:] != ["right", "left"]:
            return ()
        return tuple(each.concept for each in found[1:] if each)


def _laterality(concept: StoredConcept) -> str | None:
    return parse(concept.display, concept.code[:CATEGORY]).values.get("laterality")


@cache
def _detail_codes() -> Mapping[tuple[str, str, str], tuple[str, str]]:
    rows = read_table("coding/detail_codes.csv", ("code", "axis", "value", "use", "source"))
    return {(row["code"], row["axis"], row["value"]): (row["use"], row["source"]) for row in rows}


def _from_context(text: str, draft: Draft, context: Context) -> dict[tuple[str, str], Sign]:
    """Return what the whole note says: the trimester, the encounter, the sex."""
    found: dict[tuple[str, str], Sign] = {}
    if draft.entity.assertion.experiencer != "patient":
        return found
    if context.trimester and context.trimester_sign:
        found["trimester", context.trimester] = context.trimester_sign
    if context.postpartum:
        found["trimester", "puerperium"] = context.postpartum
    if stated := encounter(text, draft.entity, context):
        found["encounter", stated[0]] = stated[1]
    if context.sex:
        found["sex", context.sex] = Sign(f"the patient's sex: {context.sex}")
    return found


def _is_named(concept: StoredConcept, entity: Entity) -> bool:
    """Tell whether an entity shares a word with the display of a concept."""
    return not words_of(entity.text).isdisjoint(parse(concept.display, concept.code[:CATEGORY]).words)


def _with_both(draft: Draft, both: Sequence[StoredConcept], sign: Sign | None) -> Draft:
    right, left = both
    reason = (
        f"the note says {sign}, and there is no code for both sides: {right.code} and {left.code} (guideline I.B.13)"
    )
    return replace(draft, further=(*draft.further, (left.code, reason))).led_to(right.code, "detail", reason, sign)


def _consistent(said: Evidence) -> tuple[Values, dict[str, str]]:
    """Return the values per axis with their signs, and what contradicts itself, per axis in words."""
    by_axis: dict[str, dict[str, Sign]] = defaultdict(dict)
    for (axis, value), sign in said.items():
        by_axis[axis][value] = sign
    stated = {axis: next(iter(found.items())) for axis, found in by_axis.items() if len(found) == 1}
    against = {
        axis: " and ".join(f"{value} ({sign})" for value, sign in found.items())
        for axis, found in by_axis.items()
        if len(found) > 1
    }
    return stated, against


def _shared(drafts: Sequence[Draft]) -> Shared:
    """Return what the mentions of each code say, to be lent to those that do not say it."""
    found: dict[str, dict[str, dict[str, Sign]]] = defaultdict(lambda: defaultdict(dict))
    for draft in drafts:
        if draft.code and draft.is_active:
            for (axis, value), sign in draft.evidence.items():
                found[draft.code][axis].setdefault(value, sign)
    return found


def _borrowed(code: str, shared: Shared, known: Set[str]) -> Values:
    """Return what other mentions of a code say that this one does not, where they agree."""
    if code[0] in _UNSURE:
        return {}
    found = shared.get(code, {})
    return {
        axis: next(iter(values.items())) for axis, values in found.items() if axis not in known and len(values) == 1
    }


def _reason(
    refined: Refined, signs: Values, borrowed: frozenset[str], against: Mapping[str, str], entity: Entity
) -> str:
    """Return why the details lead to a code, or keep it; empty when nothing is to be said."""
    parts = []
    if refined.used:
        said = [
            f'"{value.display[0]}": {signs[value.axis][1]}{" of the same problem" if value.axis in borrowed else ""}'
            for value in refined.used
        ]
        parts.append(f"the note says {', '.join(said)}")
    if refined.by_site:
        parts.append(f"the site is the {site(entity)}")
    parts += [f"the note contradicts itself on {axis}: {said}" for axis, said in against.items()]
    if refined.missing:
        parts.append(f"the note does not tell {', '.join(refined.missing)}")
    told = [value for value in refined.assumed if parts or value.axis in _ANNOUNCED]
    if told:
        parts.append(f"""by default {", ".join(f'"{value.display[0]}"' for value in told)}""")
    return "; ".join(parts)


def _by_name(coding: Coding, concept: StoredConcept, details: tuple[str, ...]) -> Coding:
    """Return the SNOMED CT coding of the concept that is called by a mention with its details."""
    if coding.system != SNOMED or coding.code == concept.code:
        return coding
    reason = f'with "{", ".join(details)}" the mention is called "{concept.display}"'
    step = Step(rule="site and severity", before=coding.code, after=concept.code, reason=reason)
    return replace(
        coding, code=concept.code, display=concept.display, version=concept.version, reason=reason, steps=(step,)
    )
