"""The relatives that a sentence names, and where it comes back to the patient: "mother had gout and he has asthma"."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from fhir_coder.errors import TableError
from fhir_coder.tables import read_table, split

_WORD = re.compile(r"[a-z]+")
_LONGEST = 3  # words: "maternal great aunt"
# The subject of a new clause. "When he was five" tells when the mother died.
_CLAUSE = re.compile(
    r"(?:^|[,;:.]|\b(?:and|but|while|whereas|although))\s*(?:the\s+)?(?P<subject>patient|pt|he|she)\s+"
    r"(?:(?:(?P<own>himself|herself)|also|now|currently|too)\s+)?"
    r"(?:has|had|denies|denied|reports|reported|complains|complained|presents|presented|developed|develops|suffers|"
    r"endorses|takes|(?:is|was)\s+(?:being\s+)?(?:diagnosed|treated|followed|known|admitted))\b",
    re.IGNORECASE,
)
_REACH = 300  # characters from relative to clause, and from clause to entity: a sentence may be a note without stops
_FEMALE, _MALE = "female", "male"
_PRONOUNS = {"she": _FEMALE, "he": _MALE}
_ANYBODY = "family member"  # what "family history" names


class Relative(NamedTuple):
    """A relative by blood, and the sex that its name tells, if any."""

    display: str
    sex: str


def last_relative(text: str) -> Relative | None:
    """Return the relative that a text names last: "father with stones; mother had" speaks of the mother."""
    relatives = _relatives()
    words = _WORD.findall(text.lower())
    for end in range(len(words), 0, -1):
        for length in range(_LONGEST, 0, -1):
            found = relatives.get(" ".join(words[max(0, end - length) : end]))
            if found:
                return found
    return None


def back_at_patient(before: str) -> int:
    """Return where a sentence that spoke of a relative speaks of the patient again, or 0; `before` is its beginning.

    "He" after the mother is the patient, after the father perhaps not; "he himself" is.
    """
    clause = next(reversed([*_CLAUSE.finditer(before, max(0, len(before) - _REACH))]), None)
    relative = last_relative(before[max(0, clause.start() - _REACH) : clause.start()]) if clause else None
    if clause is None or relative is None or last_relative(before[clause.end() :]):
        return 0
    sex = _PRONOUNS.get(clause["subject"].lower())
    if sex is None or clause["own"]:
        return clause.start()
    is_patient = relative.sex != sex if relative.sex else relative.display == _ANYBODY
    return clause.start() if is_patient else 0


@cache
def _relatives() -> dict[str, Relative]:
    rows = read_table("family_relationships.csv", ("code", "display", "sex", "names"))
    for row in rows:
        if row["sex"] not in (_FEMALE, _MALE, ""):
            raise TableError(f"mappings/family_relationships.csv: {row['code']}: sex must be female, male or empty")
    return {
        name.lower(): Relative(row["display"], row["sex"])
        for row in rows
        for name in (row["display"], *split(row["names"]))
    }
