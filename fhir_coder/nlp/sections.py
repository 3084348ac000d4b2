"""Sections: titles of `mappings/sections.csv` at the start of a line, followed by a colon or the line's end.

medspaCy's Sectionizer is not used: it needs the whole note tokenised (7.3 ms for 2,900 characters, against 0.3 here),
and takes "plan" or "labs" within a sentence for a title.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cache

from fhir_coder.errors import TableError
from fhir_coder.model import Section
from fhir_coder.tables import read_table

# At the start of a line: a few words, then a colon (or a dash between spaces), or the end of the line.
_TITLE = re.compile(
    r"^[ \t#*=•·-]{0,8}(?:\d{1,2}[.)][ \t]+)?(?P<title>[A-Za-z][A-Za-z0-9 \t/&,.()'’-]{0,58}?)"
    r"(?:[ \t]*\([^)\n]{0,40}\))?[ \t*=]{0,4}"  # "Labs (today):"
    r"(?:(?P<colon>:)|[ \t]+[–—-](?=[ \t])|(?=\r?$))",
    re.MULTILINE,
)
_WORD = re.compile(r"[a-z0-9]+")
_CATEGORIES = frozenset(
    "chief_complaint history_of_present_illness past_medical_history past_surgical_history family_history "
    "social_history medications allergies review_of_systems physical_exam vital_signs labs imaging hospital_course "
    "assessment_plan diagnoses discharge_medications instructions procedures problem_list immunizations signature "
    "other".split()
)


def find_sections(text: str) -> tuple[Section, ...]:
    """Return the sections of a note, in order, covering the whole text; the part before the first title has none."""
    titles = _titles()
    found = []
    for match in _TITLE.finditer(text):
        category = titles.get(_key(match.group("title")))
        if category:
            found.append((category, match))
    first = found[0][1].start("title") if found else len(text)
    sections = [Section(category=None, title="", start=0, body_start=0, end=first)] if first else []
    for position, (category, match) in enumerate(found):
        last = position + 1 == len(found)
        sections.append(
            Section(
                category=category,
                title=match.group("title"),
                start=match.start("title"),
                body_start=match.end(),
                end=len(text) if last else found[position + 1][1].start("title"),
            )
        )
    return tuple(sections)


class SectionFinder:
    """Tells in which section an offset lies."""

    def __init__(self, sections: tuple[Section, ...]) -> None:
        self._sections = sections
        self._starts = [section.start for section in sections]

    def at(self, offset: int) -> Section | None:
        """Return the section at an offset, or None in an empty note."""
        position = bisect_right(self._starts, offset) - 1
        return self._sections[position] if position >= 0 else None


@cache
def _titles() -> dict[str, str]:
    titles: dict[str, str] = {}
    for row in read_table("sections.csv", ("category", "title")):
        if row["category"] not in _CATEGORIES:
            raise TableError(f"mappings/sections.csv: {row['title']}: unknown category {row['category']!r}")
        titles[_key(row["title"])] = row["category"]
    return titles


def _key(title: str) -> str:
    return " ".join(_WORD.findall(title.lower()))
