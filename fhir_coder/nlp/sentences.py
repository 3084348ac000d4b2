"""Sentences: spans of a note that are read as one statement.

Rules over punctuation and line breaks instead of PyRuSH, which takes 96 of the 118 ms that medspaCy's default
pipeline spends on a note of 2.75 kB, and prints tokens of the note on stderr.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from fhir_coder.model import Section
from fhir_coder.tables import read_table

SPEAKER = r"(?:\[[a-z_ ]{1,20}\]|[a-z_]{1,20}:)\s*"
"""Who speaks, in a dialogue: "[patient]", "Patient:"."""
# A run of end punctuation before white space (or before a comma that was a line break, ".,The next"), or a line break
# with the white space around it.
_BREAK = re.compile(r"(?P<stop>[.!?]+[\"')\]]*)(?=[ \t]|$|,[ \t]?[A-Z\d])|(?P<line>(?<![ \t])[ \t]*(?:\r\n?|\n)\s*)")
# The same in a note that speaks its punctuation: "no fever comma no cough period".
_SPOKEN = re.compile(
    rf"(?P<spoken>\b(?:period|full stop|new paragraph|next line|new line)\b)|{_BREAK.pattern}", re.IGNORECASE
)
# What follows a question and answers it: "Fever? No.", also by another speaker on the next line.
_ANSWER = re.compile(
    rf"\s*(?:{SPEAKER})?(?:(?:uh|um|oh|well|hmm|mm)\b[\s,.]*){{0,3}}"
    r"(?:no(?:t (?:really|at all|that i know of))?|nope|nah|none|never|negative|denie[sd]|ye[sp]|yeah|yup|positive"
    r"|mm-?hmm|uh-huh|i (?:do|have|am|did)|correct|sure|sometimes|a (?:little|bit|lot))\b(?! (?:problem|worries))",
    re.IGNORECASE,
)
_LETTERED = re.compile(
    r"\b(?:vitamins?|hepatitis|hep|type|grade|class|group|stage|factor|influenza|flu|option|plan|strep|protein)\s+$",
    re.IGNORECASE,
)
_LAST_WORD = re.compile(r"[\w.]+$")
# What begins a statement of its own, whatever stands before it: "no new sx. Baseline: foot drop".
_LABEL = re.compile(r"\s+[A-Z][A-Za-z]*(?:[ /][A-Za-z]+){0,3}:")
_CAPITAL = re.compile(r"\s+[A-Z]")
_BULLET = re.compile(r"(?:[-*•·#>+]|\d{1,2}[.)])[ \t]|[A-Za-z][A-Za-z /]{0,30}:")
ITEM_MARK = r"(?:[-*•·+]|\d{1,2}[.)])(?=[ \t])"
"""What begins an item of a list: a pattern of the mark alone."""
_ITEM = re.compile(ITEM_MARK)
# A line was wrapped when its next word would not have fitted into the note's longest line; lines longer than this
# were not wrapped at all.
_WIDEST = 140
_NARROWEST = 50
_GOING_ON = re.compile(r"\b(?:and|or|no|of|with|without|denies|any|for|the|an?)$", re.IGNORECASE)
_NUMBER = re.compile(r"[ \t]*\d")
_LOOKED_AT = 4000  # characters that tell whether a note speaks its punctuation
_LONGEST_LEAD, _LONGEST_ANSWER, _INDENT = 80, 60, 40  # characters
# ConText works within a sentence; text without any break is cut, so that no input makes it slow.
LONGEST = 1000


def split_sentences(text: str, sections: tuple[Section, ...]) -> list[tuple[int, int]]:
    """Return the (start, end) of the sentences, in order. Titles of sections belong to none."""
    sentences: list[tuple[int, int]] = []
    width = max(map(len, text.splitlines()), default=0)
    is_spoken = " comma " in text[:_LOOKED_AT].lower() and " period" in text[:_LOOKED_AT].lower()
    breaks = _SPOKEN if is_spoken else _BREAK
    line_start = 0
    for section in sections:
        line_start = max(line_start, text.rfind("\n", line_start, section.body_start) + 1)
        sentences.extend(_split(text, section.body_start, section.end, line_start, width, breaks))
    return sentences


def _split(
    text: str, start: int, end: int, line_start: int, width: int, breaks: re.Pattern[str]
) -> Iterator[tuple[int, int]]:
    begin = start
    in_list = False  # under a lead such as "Denies:", whose items it speaks of
    for match in breaks.finditer(text, start, end):
        if match.end() >= end:
            break
        if match.group("stop") is None and match.group("line") is None:
            is_end = True
        elif match.group("line") is not None:
            in_list = _goes_on_as_list(text, line_start, match, in_list)
            is_end = not in_list and _ends_at_line(text, line_start, match, width)
            line_start = match.end()
        else:
            is_end = _ends_at_stop(text, max(begin, line_start), match)
        if is_end:
            yield from _trimmed(text, begin, match.end())
            begin = match.end()
    yield from _trimmed(text, begin, end)


def _goes_on_as_list(text: str, line_start: int, match: re.Match[str], in_list: bool) -> bool:
    """Tell whether the line behind a break is an item of a list whose lead ("Denies:") speaks of all its items."""
    if match.group().count("\n") > 1 and not in_list and not _ITEM.match(text, match.end()):
        return False
    line = text[max(line_start, match.start() - _LONGEST_LEAD) : match.start()].strip()
    words = line[:-1].lower().split() if line.endswith(":") else []
    leads = any(" ".join(words[first:]) in _list_leads() for first in range(len(words)))
    return (leads or in_list) and bool(_ITEM.match(text, match.end()))


def _ends_at_line(text: str, line_start: int, match: re.Match[str], width: int) -> bool:
    """Tell whether a line break ends a sentence: yes, unless the line was wrapped in the middle of one."""
    last = text[match.start() - 1 : match.start()]
    following = text[match.end() : match.end() + 40]
    if last == "?" and _ANSWER.match(text, match.end(), match.end() + _LONGEST_ANSWER):
        return False
    if match.group().count("\n") > 1 or last in ".:;!?" or _BULLET.match(following):
        return True
    if following[:1].islower() and (
        last == "," or _GOING_ON.search(text, max(line_start, match.start() - 12), match.start())
    ):
        return False
    next_word = following.split(maxsplit=1)[0] if following.split() else ""
    fitted = match.start() - line_start + 1 + len(next_word) <= width
    if fitted or not _NARROWEST <= width <= _WIDEST:
        return True
    # A wrapped line goes on in lower case, with a number, or with a capital after a comma.
    return not (following[:1].islower() or following[:1].isdigit() or last == ",")


def _ends_at_stop(text: str, begin: int, match: re.Match[str]) -> bool:
    """Tell whether punctuation ends a sentence: not after an abbreviation, an initial or a list number."""
    if match.group("stop")[0] != ".":
        return not (match.group("stop")[0] == "?" and _ANSWER.match(text, match.end(), match.end() + _LONGEST_ANSWER))
    word = _LAST_WORD.search(text, max(begin, match.start() - 20), match.start())
    if word is None:
        return True
    last = word.group().lower().rstrip(".")
    is_list_number = last.isdigit() and word.start() - begin <= _INDENT and not text[begin : word.start()].strip()
    if last == "no":  # an answer; but "no. 5" is a number
        return not _NUMBER.match(text, match.end())
    if _LABEL.match(text, match.end()) and not is_list_number:
        return True
    if last in _abbreviations():
        return _abbreviations()[last] and _CAPITAL.match(text, match.end()) is not None
    if is_list_number:
        return False
    # "J. Smith", "E. coli"; but "hepatitis C. he", and a line that ends.
    is_initial = len(last) == 1 and last.isalpha() and word.group().isupper()
    is_last = not text[match.end() : match.end() + 2].strip()
    lead = max(begin, word.start() - _INDENT)
    return not is_initial or is_last or _LETTERED.search(text, lead, word.start()) is not None


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    while end - start > LONGEST:
        cut = text.rfind(" ", start + LONGEST // 2, start + LONGEST) + 1 or start + LONGEST
        yield start, cut
        start = cut
    if start < end:
        yield start, end


@cache
def _abbreviations() -> dict[str, bool]:
    """Return the abbreviations that are written with a full stop, and whether it ends a sentence before a capital."""
    rows = read_table("sentence_abbreviations.csv", ("abbreviation", "ends"))
    return {row["abbreviation"].rstrip("."): row["ends"] == "yes" for row in rows}


@cache
def _list_leads() -> frozenset[str]:
    return frozenset(row["lead"] for row in read_table("list_leads.csv", ("lead",)))
