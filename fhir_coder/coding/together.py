"""What the combinations of a note's problems do to their codes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from fhir_coder.coding.axes import CATEGORY
from fhir_coder.coding.combine import Combined, Problem, combinations
from fhir_coder.coding.context import Context
from fhir_coder.coding.draft import Draft, leaf, place, spans
from fhir_coder.coding.history import screening
from fhir_coder.coding.patient import objection
from fhir_coder.coding.same_problem import family
from fhir_coder.model import PROBLEM_TYPES, Remark
from fhir_coder.terminology.store import ConceptStore, StoredConcept


def combined(
    store: ConceptStore, text: str, drafts: Sequence[Draft], context: Context
) -> tuple[list[Draft], list[Remark]]:
    """Return the drafts with the codes that they have together, and what is to be said of them.

    The first combination of a problem gives it its code; what other problems of the note it stands together with, too,
    is written beside it.
    """
    problems = [
        Problem(draft.entity, draft.code)
        for draft in drafts
        if draft.code and draft.is_active and draft.entity.type in PROBLEM_TYPES and not screening(text, draft.entity)
    ]
    kept, remarks = _unequivocal(combinations(text, problems))
    applied = _Applied(drafts)
    for found in kept:
        concept = leaf(store, found.code)
        if concept and not objection(found.code, context):
            remarks += applied.apply(found, concept)
    return applied.drafts, remarks


class _Applied:
    """The drafts while combinations are applied to them."""

    def __init__(self, drafts: Sequence[Draft]) -> None:
        self.drafts = list(drafts)
        self._at = {id(draft.entity): position for position, draft in enumerate(drafts)}
        self._accounted: dict[int, set[int]] = defaultdict(set)  # base -> partners that its combinations account for
        self._replaced: set[str] = set()  # codes that gave way to a combination's

    def apply(self, found: Combined, concept: StoredConcept) -> list[Remark]:
        """Apply a combination; return what is to be said of it."""
        base = self._at[id(found.base.entity)]
        partners = {self._at[id(each.entity)] for each in found.partners}
        if found.base.code in self._replaced or partners <= self._accounted[base]:
            return []
        draft = self.drafts[base]
        signs = [place(each.entity) for each in found.partners]
        remarks = []
        if not self._accounted[base]:
            if found.keeps_base:
                draft = replace(draft, further=(*draft.further, (draft.code, draft.steps[-1].reason)))
            self.drafts[base] = draft.led_to(found.code, "combination", found.reason, *signs)
        elif draft.code != found.code:
            self.drafts[base] = replace(draft, further=(*draft.further, (found.code, found.reason)))
            text = f"{found.code} ({concept.display}), too: {found.reason}"
            remarks.append(Remark(kind="combination", codes=(draft.code, found.code), text=text, spans=spans(signs)))
        self._accounted[base] |= partners
        if found.replaces_partner:
            self._replace_partners(found)
        return remarks

    def _replace_partners(self, found: Combined) -> None:
        """Give the combination's code to all mentions of the problems that it stands for, too."""
        codes = {partner.code for partner in found.partners} - self._replaced
        if not codes:
            return
        sign = place(found.base.entity)
        reason = f"it is coded together with {sign} ({found.base.code})"
        self.drafts = [
            draft.led_to(found.code, "combination", reason, sign) if draft.code in codes and draft.is_active else draft
            for draft in self.drafts
        ]
        self._replaced |= codes


def _unequivocal(found: Iterable[Combined]) -> tuple[list[Combined], list[Remark]]:
    """Leave out combinations of which the note does not tell the base: type 1 and type 2 diabetes in one note."""
    kept = list(found)
    bases: dict[str, dict[str, Combined]] = defaultdict(dict)
    for each in kept:
        bases[family(each.base.code)].setdefault(each.base.code[:CATEGORY], each)
    remarks = []
    for categories in bases.values():
        if len(categories) > 1:
            codes = tuple(each.base.code for each in categories.values())
            text = f"the note speaks of {' and of '.join(codes)}: no combination with another problem is chosen"
            places = spans(place(each.base.entity) for each in categories.values())
            remarks.append(Remark(kind="contradiction", codes=codes, text=text, spans=places))
            kept = [each for each in kept if each.base.code[:CATEGORY] not in categories]
    return kept, remarks
