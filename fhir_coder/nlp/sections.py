"""Sections: titles of `mappings/sections.csv` at the start of a line, followed by a colon or the line's end.

Notes lose their line breaks on the way ("... of asthma.,ALLERGIES:, None.,SOCIAL HISTORY: ..."), and shorthand leaves
out the colon ("PMH HTN, DM"): a title is also one after the end of a sentence with a colon behind it, and one in
capitals at the start of a line or between commas, when what follows is set off from it.

medspaCy's Sectionizer is not used: it needs the whole note tokenised (7.3 ms for 2,900 characters, against 0.3 here),
and takes "plan" or "labs" within a sentence for a title.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cache
from itertools import pairwise

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
# Within a line: after the end of a sentence or, in capitals, after a comma; always with a colon.
_INLINE = re.compile(
    r"(?:(?<=[.;!?)\]])[ \t]*,?[ \t]*(?P<title>[A-Z][A-Za-z0-9 \t/&()'’-]{2,58}?)"
    r"|(?<=,)[ \t]*(?P<shouted>[A-Z][A-Z /&-]{2,40}))[ \t]?(?P<colon>:)"
)
# At the start of a line without a colon: an abbreviation, or capitals and then a gap or words that are not.
_BARE = re.compile(
    r"^[ \t]*(?P<title>(?:PMHx?|PSHx?|FHx?|FAMHX|ROS|HPI|SHx?)(?= +[A-Z0-9+(-])|[A-Z][A-Z/&]{3,}(?: [A-Z/&]+){0,3}"
    r"(?=\t| {2,}\S|(?-i: +(?!(?:of|and|or|is|was|to|for|in|on|with)\b)(?:[A-Z]?[a-z]{3}|\d))))(?P<colon>)",
    re.MULTILINE,
)
# In capitals between commas, where line breaks have become commas: "NSAIDs.,CURRENT MEDICATIONS,1.  Heparin.,2. ..."
_BETWEEN_COMMAS = re.compile(
    r"(?:^[ \t]*(?=[A-Z /&-]{4,41},[ \t]*1[.)])|(?<=[.;!?)\]]),[ \t]*)(?P<title>[A-Z][A-Z /&-]{3,40})(?P<colon>),"
    r"(?=[ \t]*(?:1[.)]|[A-Z]))",
    re.MULTILINE,
)
# A line that tells of the patient anew, after the end of a sentence: what stood behind a title on one line is over.
_NARRATIVE = re.compile(r"(?<=[.!?;])[ \t]*\r?\n[ \t]*(?=(?:The[ \t]+)?(?:Pt|Patient|PT)\b[ \t]+[a-z])")
_NAMES_OF_TESTS = frozenset({"imaging", "vital_signs"})  # within a line "CXR:" is a result among others
_WORD = re.compile(r"[a-z0-9]+")
_CATEGORIES = frozenset(
    "chief_complaint history_of_present_illness past_medical_history past_surgical_history family_history "
    "social_history medications discharge_medications stopped_medications allergies review_of_systems physical_exam "
    "vital_signs labs imaging hospital_course assessment_plan differential_diagnosis diagnoses instructions procedures "
    "problem_list immunizations signature other".split()
)


def find_sections(text: str) -> tuple[Section, ...]:
    """Return the sections of a note, in order, covering the whole text; the part before the first title has none."""
    titles = _titles()
    spans: dict[int, tuple[str, int, int]] = {}  # by the title's start: category, its end, the body's start
    for pattern in (_TITLE, _INLINE, _BARE, _BETWEEN_COMMAS):
        for match in pattern.finditer(text):
            group = "title" if match.group("title") else "shouted"
            category = titles.get(_key(match.group(group)))
            if category and (pattern is not _INLINE or category not in _NAMES_OF_TESTS):
                spans.setdefault(match.start(group), (category, match.end(group), match.end()))
    starts = [*sorted(spans), len(text)]
    sections = [Section(category=None, title="", start=0, body_start=0, end=starts[0])] if starts[0] else []
    for start, end in pairwise(starts):
        category, title_end, body_start = spans[start]
        over = _end_of_line_section(text, body_start, end)
        sections.append(
            Section(category=category, title=text[start:title_end], start=start, body_start=body_start, end=over)
        )
        if over < end:
            sections.append(Section(category=None, title="", start=over, body_start=over, end=end))
    return tuple(sections)


def _end_of_line_section(text: str, body_start: int, end: int) -> int:
    """Return where a section whose body begins beside its title ends: before a line that tells of the patient anew.

    "PMH: s/p CABG 2018.\nPt reports chest pain": the pain is not of the past.
    """
    first_line = text[body_start : text.find("\n", body_start, end) if "\n" in text[body_start:end] else end]
    narrative = _NARRATIVE.search(text, body_start, end) if first_line.strip() else None
    return narrative.end() if narrative else end


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
