"""A problem of a relative: https://hl7.org/fhir/R4/familymemberhistory.html.

It keeps the code of the disease: the resource says whose it is. The code of a family history that a claim carries for
the patient (Z80-Z84) is among the ranked candidates (`coding/history.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from fhir_coder.fhir.elements import (
    OURS,
    Json,
    Source,
    concept,
    fixed,
    identifier,
    meta,
    provenance_extensions,
    subject,
)
from fhir_coder.fhir.facts import Fact
from fhir_coder.fhir.times import best_stated, choice
from fhir_coder.tables import read_table, split

PROFILE = OURS + "coded-family-member-history"

_ROLE = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"
_ANY_RELATIVE = ("FAMMEMB", "family member")


def family_member_history(fact: Fact, source: Source) -> Json:
    """Return the FamilyMemberHistory of one problem of one relative; partial, as a note never tells all."""
    relative = str(fact.entity.attributes.get("relative") or "")
    code, display = _relationships().get(relative.casefold(), _ANY_RELATIVE)
    problem: Json = {"code": concept(fact.entity)}
    if any(mention.attributes.get("cause_of_death") for mention in fact.mentions):
        problem["contributedToDeath"] = True
    problem |= choice("onset", best_stated(fact.mentions, "onset"), "onset", dates=False)
    if fact.status == "possible":  # the resource has no status for doubt
        problem["note"] = [{"text": "possible"}]
    resource: Json = {
        "resourceType": "FamilyMemberHistory",
        **meta(source, PROFILE),
        "extension": provenance_extensions(source, fact.entity.assertion, fact.spans),
        "identifier": identifier(fact.identity(source.identity)),
        "status": "partial",
        "patient": subject(source),
        "relationship": fixed(_ROLE, code, display) | {"text": relative or display},
        **_deceased(best_stated(fact.mentions, "deceased")),
        "condition": [problem],
    }
    if source.date:
        resource["date"] = source.date
    return resource


def _deceased(given: Mapping[str, Any]) -> Json:
    """Return deceased[x]: when, at which age, or that the relative has died."""
    stated = choice("deceased", given, "deceased", periods=False)
    if "deceasedDateTime" in stated:  # the element is called deceasedDate
        return {name.replace("DateTime", "Date"): value for name, value in stated.items()}
    return {"deceasedBoolean": True} if "deceasedString" in stated else stated


@cache
def _relationships() -> dict[str, tuple[str, str]]:
    rows = read_table("family_relationships.csv", ("code", "display", "sex", "names"))
    return {
        name.casefold(): (row["code"], row["display"])
        for row in rows
        for name in (row["display"], *split(row["names"]))
    }
