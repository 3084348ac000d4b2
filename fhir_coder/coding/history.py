"""Z codes of what is over, of relatives, and of screening.

What is over stays what it was: a Condition that is inactive, with the code of the disease, so that a search for the
disease finds it. The code that a claim carries for it - Z85.3, I25.2 (`mappings/coding/history_codes.csv`) - is given
beside it: as a candidate with its reason and as a remark of the note. The same holds for what a relative has (Z80-Z84,
`family_history_codes.csv`): FamilyMemberHistory keeps the disease's own code. Neither is given for what is denied.

What is only screened for is not there at all: its code gives way to that of the screening (guideline I.C.21.c.5,
`mappings/coding/screening_codes.csv`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from fhir_coder.coding.codes import is_below
from fhir_coder.coding.context import words
from fhir_coder.coding.draft import Draft, leaf
from fhir_coder.coding.evidence import Sign
from fhir_coder.model import ICD10CM, Entity, Remark
from fhir_coder.tables import read_table, split
from fhir_coder.terminology.store import ConceptStore

_BETWEEN = re.compile(r"[\s,/]*(?:(?:and|or|the|a|an|other|any|possible|routine|annual)[\s,]+|\w+(?:\s\w+){0,2},\s*)*$")
_AROUND = 60  # characters before a mention
_BEHIND = re.compile(r"\s*(?:screening|screen)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ZCode:
    """The code that a claim carries in the place of another, and why."""

    kind: Literal["history", "family-history"]
    code: str
    reason: str


def z_codes(store: ConceptStore, draft: Draft) -> list[ZCode]:
    """Return the code of a history of what is over, or a relative's; none of what is denied or in doubt."""
    said = draft.entity.assertion
    if not draft.code or said.negated or said.certainty != "certain":
        return []
    name = " ".join(draft.entity.text.split())
    if said.experiencer == "family":
        found = _first("family_history_codes.csv", "history", draft.code)
        return _z_code(store, "family-history", found, f'a relative has or had "{name}"')
    if said.experiencer == "patient" and said.temporality == "historical":
        return _z_code(store, "history", _first("history_codes.csv", "history", draft.code), f'"{name}" is over')
    return []


def _z_code(
    store: ConceptStore, kind: Literal["history", "family-history"], found: tuple[str, str] | None, why: str
) -> list[ZCode]:
    concept = leaf(store, found[0]) if found else None
    return [ZCode(kind, concept.code, f"{why} ({found[1]})")] if concept and found else []


def history_remarks(store: ConceptStore, draft: Draft) -> list[Remark]:
    """Return what is to be said of what is over, or a relative's."""
    place = ((draft.entity.start, draft.entity.end),)
    return [
        Remark(
            kind=z.kind, codes=(z.code,), text=f"on a claim {z.code} stands for {draft.code}: {z.reason}", spans=place
        )
        for z in z_codes(store, draft)
    ]


def screened(store: ConceptStore, text: str, draft: Draft) -> Draft:
    """Give what is only screened for the code of the screening; it is no finding of the patient."""
    sign = screening(text, draft.entity) if draft.code else None
    if sign is None or draft.entity.assertion.negated or draft.code.startswith("Z"):
        return draft
    found = _first("screening_codes.csv", "screening", draft.code)
    concept = leaf(store, found[0]) if found else None
    entity = replace(draft.entity, assertion=replace(draft.entity.assertion, certainty="hypothetical"))
    reason = f"the note says {sign}: it is looked for, and not known to be there"
    if concept is None or found is None:
        return replace(draft, entity=entity, codings=(), abstained=reason, code="", start=None)
    codings = tuple(coding for coding in draft.codings if coding.system == ICD10CM)
    return replace(draft, entity=entity, codings=codings).led_to(
        concept.code, "screening", f"{reason} ({found[1]})", sign
    )


def screening(text: str, entity: Entity) -> Sign | None:
    """Return the words that say that an entity is only screened for, or None."""
    if inside := words("screening").match(entity.text):
        return Sign(inside.group(), (entity.start, entity.start + inside.end()))
    behind = _BEHIND.match(text, entity.end, entity.sentence[1])
    if behind:
        return Sign(behind.group().strip(), (behind.end() - len(behind.group().strip()), behind.end()))
    begin = max(entity.sentence[0], entity.start - _AROUND)
    found = list(words("screening").finditer(text, begin, entity.start))
    if found and _BETWEEN.match(text, found[-1].end(), entity.start):
        return Sign(found[-1].group(), found[-1].span())
    return None


def _first(table: str, column: str, code: str) -> tuple[str, str] | None:
    for prefixes, (result, source) in _table(table, column).items():
        if is_below(code, prefixes):
            return result, source
    return None


@cache
def _table(table: str, column: str) -> Mapping[tuple[str, ...], tuple[str, str]]:
    rows = read_table(f"coding/{table}", ("codes", column, "source"))
    return {split(row["codes"]): (row[column], row["source"]) for row in rows}
