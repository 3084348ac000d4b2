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

# A run of end punctuation before white space, or a line break with the white space around it.
_BREAK = re.compile(r"(?P<stop>[.!?]+[\"')\]]*)(?=[ \t]|$)|(?P<line>(?<![ \t])[ \t]*(?:\r\n?|\n)\s*)")
_LAST_WORD = re.compile(r"[\w.]+$")
_BULLET = re.compile(r"(?:[-*•·#>+]|\d{1,2}[.)])[ \t]|[A-Za-z][A-Za-z /]{0,30}:")
ITEM_MARK = r"(?:[-*•·+]|\d{1,2}[.)])(?=[ \t])"
"""What begins an item of a list: a pattern of the mark alone."""
_ITEM = re.compile(ITEM_MARK)
# A line was wrapped when its next word would not have fitted into the note's longest line; lines longer than this
# were not wrapped at all.
_WIDEST = 140
_NARROWEST = 50
# ConText works within a sentence; text without any break is cut, so that no input makes it slow.
LONGEST = 1000


def split_sentences(text: str, sections: tuple[Section, ...]) -> list[tuple[int, int]]:
    """Return the (start, end) of the sentences, in order. Titles of sections belong to none."""
    sentences: list[tuple[int, int]] = []
    width = max(map(len, text.splitlines()), default=0)
    for section in sections:
        sentences.extend(_split(text, section.body_start, section.end, width))
    return sentences


def _split(text: str, start: int, end: int, width: int) -> Iterator[tuple[int, int]]:
    begin = start
    line_start = text.rfind("\n", 0, start) + 1
    in_list = False  # under a lead such as "Denies:", whose items it speaks of
    for match in _BREAK.finditer(text, start, end):
        if match.end() >= end:
            break
        if match.group("line") is not None:
            in_list = _goes_on_as_list(text, line_start, match, in_list)
            is_end = not in_list and _ends_at_line(text, line_start, match, width)
            line_start = match.end()
        else:
            is_end = _ends_at_stop(text, begin, match)
        if is_end:
            yield from _trimmed(text, begin, match.end())
            begin = match.end()
    yield from _trimmed(text, begin, end)


def _goes_on_as_list(text: str, line_start: int, match: re.Match[str], in_list: bool) -> bool:
    """Tell whether the line behind a break is an item of a list whose lead ("Denies:") speaks of all its items."""
    line = text[line_start : match.start()].strip()
    leads = line.endswith(":") and line[:-1].strip().lower() in _list_leads()
    return (leads or in_list) and bool(_ITEM.match(text, match.end()))


def _ends_at_line(text: str, line_start: int, match: re.Match[str], width: int) -> bool:
    """Tell whether a line break ends a sentence: yes, unless the line was wrapped in the middle of one."""
    last = text[match.start() - 1 : match.start()]
    following = text[match.end() : match.end() + 40]
    if match.group().count("\n") > 1 or last in ".:;!?" or _BULLET.match(following):
        return True
    next_word = following.split(maxsplit=1)[0] if following.split() else ""
    fitted = match.start() - line_start + 1 + len(next_word) <= width
    if fitted or not _NARROWEST <= width <= _WIDEST:
        return True
    # A wrapped line goes on in lower case, with a number, or with a capital after a comma.
    return not (following[:1].islower() or following[:1].isdigit() or last == ",")


def _ends_at_stop(text: str, begin: int, match: re.Match[str]) -> bool:
    """Tell whether punctuation ends a sentence: not after an abbreviation, an initial or a list number."""
    if match.group("stop")[0] != ".":
        return True
    word = _LAST_WORD.search(text, max(begin, match.start() - 20), match.start())
    if word is None:
        return True
    last = word.group().lower().rstrip(".")
    line = text.rfind("\n", begin, word.start()) + 1 or begin
    is_list_number = last.isdigit() and not text[line : word.start()].strip()
    if last in _abbreviations() or is_list_number:
        return False
    is_initial = len(last) == 1 and last.isalpha() and word.group().isupper()
    following = text[match.end() : match.end() + 2].strip()
    return not is_initial or not following[:1].isupper() or following == ""


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
def _abbreviations() -> frozenset[str]:
    rows = read_table("sentence_abbreviations.csv", ("abbreviation",))
    return frozenset(row["abbreviation"].rstrip(".") for row in rows)


@cache
def _list_leads() -> frozenset[str]:
    return frozenset(row["lead"] for row in read_table("list_leads.csv", ("lead",)))
