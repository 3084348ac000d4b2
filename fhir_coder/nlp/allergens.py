"""What is not tolerated and is no medication: the "shellfish" of a list of allergies, the "cats" of "allergic to cats".

The words are those of `mappings/allergen_categories.csv`; elsewhere in a note they mean no more than they say.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cache

from fhir_coder.model import EntityType, Section
from fhir_coder.nlp.dictionary import Mention
from fhir_coder.nlp.phrases import Phrases
from fhir_coder.tables import read_table, split
from fhir_coder.terminology.normalise import normalise

_ALLERGIC = re.compile(
    r"\b(?:allerg(?:ic|y|ies)|anaphyla(?:xis|ctic)|intoleran(?:t|ce))\s+(?:reactions?\s+)?(?:to|of)\b", re.IGNORECASE
)
_ALLERGY = re.compile(r"[ -]allerg(?:y|ies)\b", re.IGNORECASE)
_CLAUSE = re.compile(r"[.;\n]")
_DENIED = re.compile(r"\b(?:no|not|denies|denied|without|w/o|never)\b[^.;\n]*$", re.IGNORECASE)
_PARAGRAPH = re.compile(r"\n[ \t]*\n")
_WORD = re.compile(r"\S")
# An allergen is an item of a list, or a part of one: not the "cats" of "she has two cats".
_ITEM = re.compile(
    r"(?:^|[,;.:\n•*/()\[\]–>-]|\b(?:and|or|to|of|all|some|raw|iv|severe|mild|known|possible|seasonal)\b)\s*$",
    re.IGNORECASE,
)
_SECTION_LENGTH = 500  # characters: what follows a list of allergies without a title belongs to its section, too
_CLAUSE_LENGTH = 120  # characters behind "allergic to"
_LONGEST = 30  # characters of an allergen
_BEFORE = 60  # characters in which a denial may stand


def with_allergens(text: str, mentions: Sequence[Mention], sections: Sequence[Section]) -> list[Mention]:
    """Return the mentions and the allergens, in order: "bee stings" are there what is not tolerated, and no symptom.

    What names a medication stays, and what is longer: a "latex allergy".
    """
    starts = [mention.start for mention in mentions]
    added, replaced = [], set()
    for start, end in _found(text, sections):
        last = bisect_left(starts, end)
        over = [at for at in range(max(0, bisect_left(starts, start) - 1), last) if mentions[at].end > start]
        if all(_is_part(mentions[at], start, end) for at in over):
            replaced.update(over)
            added.append(Mention(start, end, normalise(text[start:end]), (), EntityType.MEDICATION, 1.0))
    kept = [mention for at, mention in enumerate(mentions) if at not in replaced]
    return sorted((*kept, *added), key=lambda mention: mention.start)


def _is_part(mention: Mention, start: int, end: int) -> bool:
    is_medication = any(name.concept.type == EntityType.MEDICATION for name in mention.names)
    is_within = start <= mention.start and mention.end <= end
    # Of "cat allergy" only the allergy has a name.
    is_whole = bool(mention.names) and mention.head is None
    return (is_within and not is_medication) or (mention.start <= start and end <= mention.end and not is_whole)


def _found(text: str, sections: Sequence[Section]) -> Iterator[tuple[int, int]]:
    read = 0
    for begin, end in sorted(_places(text, sections)):
        first = max(begin, read)
        for phrase in _allergens().find_all(text[first:end]):
            start = first + phrase.start
            before = text[max(begin, start - _BEFORE) : start]
            if _ITEM.search(before) and not _DENIED.search(before):
                yield start, first + phrase.end
        read = max(read, end)
    for match in _ALLERGY.finditer(text):
        first = max(0, match.start() - _LONGEST)
        for phrase in _allergens().find_all(text[first : match.start()]):
            if first + phrase.end == match.start():
                yield first + phrase.start, match.start()


def _places(text: str, sections: Sequence[Section]) -> Iterator[tuple[int, int]]:
    """Yield where allergens are listed: the sections of allergies, and what follows "allergic to"."""
    for section in sections:
        if section.category == "allergies":
            limit = min(section.end, section.body_start + _SECTION_LENGTH)
            first = _WORD.search(text, section.body_start, limit)
            stop = _PARAGRAPH.search(text, first.start(), limit) if first else None
            yield section.body_start, stop.start() if stop else limit
    for match in _ALLERGIC.finditer(text):
        stop = _CLAUSE.search(text, match.end(), match.end() + _CLAUSE_LENGTH)
        yield match.end(), stop.start() if stop else min(len(text), match.end() + _CLAUSE_LENGTH)


@cache
def _allergens() -> Phrases[str]:
    rows = read_table("allergen_categories.csv", ("category", "names"))
    return Phrases({name: row["category"] for row in rows for name in split(row["names"])})
