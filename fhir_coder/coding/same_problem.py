"""The same problem in other words, elsewhere in the note: "diabetes" where the note also says "type 1 diabetes".

`mappings/coding/families.csv` states which categories are one disease, which of them is coded where the type is not
told (`default`; guideline I.C.4.a.2), and with which words a mention tells that type (`stated`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from fhir_coder.coding.axes import CATEGORY
from fhir_coder.coding.draft import Draft, leaf, place
from fhir_coder.coding.evidence import words_pattern
from fhir_coder.tables import read_table, split
from fhir_coder.terminology.normalise import normalise
from fhir_coder.terminology.store import ConceptStore

_UNSURE = frozenset("RZ")  # chapters whose codes two mentions share without being the same problem

_Mentions = Mapping[str, Mapping[str, Draft]]  # the first by normalised words and code


@dataclass(frozen=True, slots=True)
class _Family:
    """Categories of one disease."""

    name: str
    default: str
    stated: tuple[str, ...]


def same_problems(store: ConceptStore, drafts: Sequence[Draft]) -> list[Draft]:
    """Return drafts with the codes of what the note says more fully of the same problem, where that is one thing."""
    families: dict[str, dict[str, dict[str, Draft]]] = defaultdict(lambda: defaultdict(dict))
    for draft in drafts:
        if draft.code and draft.is_active and draft.code[0] not in _UNSURE:
            families[family(draft.code)][normalise(draft.entity.text)].setdefault(draft.code, draft)
    typed = [_typed(store, draft, families[family(draft.code)]) if draft.code else draft for draft in drafts]
    return [_fuller(draft, families[family(draft.code)]) if draft.code else draft for draft in typed]


def family(code: str) -> str:
    """Return the disease that a code is of: its category, or what several categories are together."""
    found = _families().get(code[:CATEGORY])
    return found.name if found else code[:CATEGORY]


def _typed(store: ConceptStore, draft: Draft, mentions: _Mentions) -> Draft:
    """Move a mention that tells no type to the one type that the note tells elsewhere."""
    if not draft.is_active or not _tells_no_category(draft):
        return draft
    told = {
        other.code[:CATEGORY]: other
        for others in mentions.values()
        for other in others.values()
        if not _tells_no_category(other)
    }
    if len(told) != 1:
        return draft
    ((category, other),) = told.items()
    code = category + draft.code[CATEGORY:]
    if code == draft.code or leaf(store, code) is None:
        return draft
    sign = place(other.entity)
    return draft.led_to(code, "same problem", f"the type is not told here, and the note says {sign}", sign)


def _fuller(draft: Draft, mentions: _Mentions) -> Draft:
    """Move a mention to the code of the one that has its words and more."""
    own = set(normalise(draft.entity.text).split())
    if not draft.is_active or any(axis == "laterality" for axis, _ in draft.evidence):
        return draft
    fuller = {
        other.code: other
        for words, others in mentions.items()
        if own < set(words.split())
        for other in others.values()
        if other.code != draft.code
    }
    if len(fuller) != 1:
        return draft
    (other,) = fuller.values()
    sign = place(other.entity)
    return draft.led_to(other.code, "same problem", f"the note calls the same problem {sign}", sign)


def _tells_no_category(draft: Draft) -> bool:
    """Tell whether a mention is coded in its family's default category, and does not say so itself."""
    found = _families().get(draft.code[:CATEGORY])
    if found is None or found.default != draft.code[:CATEGORY]:
        return False
    return not words_pattern(found.stated).search(draft.entity.text)


@cache
def _families() -> Mapping[str, _Family]:
    rows = read_table("coding/families.csv", ("family", "categories", "default", "stated", "source"))
    return {
        category: _Family(row["family"], row["default"], split(row["stated"]))
        for row in rows
        for category in split(row["categories"])
    }
