"""Diseases that a text names because a vaccine or a screening is for them: nobody has them.

"Immunizations: influenza 10/2023, varicella x2", "vaccinated against pneumonia", "the shingles and RSV vaccines",
"Health maintenance: colon cancer - due 2025". The diseases are those of `mappings/prevented_diseases.csv`.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import re2

from fhir_coder.errors import TableError
from fhir_coder.nlp.dictionary import Mention
from fhir_coder.nlp.senses import Place
from fhir_coder.tables import read_table, split
from fhir_coder.terminology.normalise import normalise

_SECTION = "immunizations"  # and what is done for health: "Health maintenance"
_REACH = 120  # characters of a list of vaccines
_CLAUSE_END = re.compile(r"[.;\n]")
_ADDED = re.compile(r"\s+[-–—(]|\s*:")  # to a name, by a recogniser: "shingles - due"
_VACCINATED = re.compile(
    r"\b(?:(?:vaccin|immuni[sz])\w*\b[^.;:\n]{0,30}?(?:\b(?:against|for|with|given|received|include)\b|:)"
    r"|(?:up[\s-]to[\s-]date|utd)\s+(?:on|with|for))[^.;\n]*$",
    re.IGNORECASE,
)
# In a list of what prevents them, too, somebody may have had it: "had chickenpox at age 5".
_HAD = re.compile(
    r"\b(?:ha[sd]|have|got|history|hx|h/o|s/p|diagnosed|positive|pos|infect\w+|active|recent|treated|contracted|caught"
    r"|expos\w+|ill(?:ness)?|chronic|known|continues?|(?:un|well[\s-])?controlled|stable|on\s+[a-z]{5,})\b",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"(?i)\s*(?:[:–—-]|\(|\t|\bscreen|\b(?:due|overdue|up to date|utd|neg|negative|normal|wnl|declined)\b|\d)"
)


def is_prevented(text: str, mention: Mention, place: Place) -> bool:
    """Tell whether a mention is of a disease that the text tells to be prevented, or looked for where nobody has it."""
    name = _ADDED.split(text[mention.start : mention.end], maxsplit=1)[0]
    by = _prevented_by().get(normalise(name))
    if by is None:
        return False
    begin, end = place.sentence
    start = mention.start + len(name)
    before = _CLAUSE_END.split(text[max(begin, mention.start - _REACH) : mention.start])[-1]
    behind = _CLAUSE_END.split(text[start : min(end, start + _REACH)])[0]
    if by == "vaccine" and _listed_vaccines().match(behind):
        return True
    if _HAD.search(before) or _HAD.search(behind):
        return False
    if by == "screening":
        return place.section == _SECTION and _LABEL.match(behind) is not None
    return place.section == _SECTION or _VACCINATED.search(before) is not None


@cache
def _prevented_by() -> dict[str, str]:
    found = {}
    for row in read_table("prevented_diseases.csv", ("by", "names")):
        if row["by"] not in ("vaccine", "screening"):
            raise TableError(f"mappings/prevented_diseases.csv: by must be vaccine or screening: {row['by']}")
        found.update({normalise(name): row["by"] for name in split(row["names"])})
    return found


@cache
def _listed_vaccines() -> Any:
    """Return what matches the rest of a list of vaccines: " and RSV vaccines"."""
    rows = read_table("prevented_diseases.csv", ("by", "names"))
    names = sorted({name for row in rows if row["by"] == "vaccine" for name in split(row["names"])}, key=len)[::-1]
    either = "|".join(re2.escape(name) for name in names)
    return re2.compile(
        rf"(?i)^(?:\s*(?:,|/|&|,?\s+and|,?\s+or)\s*(?:the\s+)?(?:{either}))*\s+(?:vaccin|shots?\b|booster|immuni[sz]ation)"
    )
