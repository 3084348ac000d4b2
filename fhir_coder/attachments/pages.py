"""Pages of a printed document -> running text: without what is repeated on every page, with its lines joined.

A sentence that goes on behind a page break, or a word behind a hyphen, must be one again before it is read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache

from fhir_coder.tables import read_table

_NUMBERED = re.compile(r"p\s?a\s?g\s?e\W{0,3}\d+|\b\d+\s+of\s+\d+|\b\d+\s*\|\s*p\s?a\s?g\s?e")
_PAGE_NUMBER = re.compile(
    r"(?:p\s?a\s?g\s?e\W*)?\d{1,4}(?:\s*(?:of|/|\||-)\s*\d{0,4})?(?:\W*p\s?a\s?g\s?e)?\W*", re.IGNORECASE
)
_SPACES = re.compile(r"[ \t\u00a0]+")
_LIGATURES = str.maketrans(
    {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st", "\u00ad": "-"}
)
_EDGE = 6  # lines at the top and at the bottom of a page that may be its header or footer
_OFTEN = 0.6  # share of the pages on which a header stands
_FEWEST_PAGES = 2
_BROKEN_WORD = re.compile(r"(?<![A-Za-z0-9])(?P<first>[A-Za-z]+)-$")
_REST = re.compile(r"[a-z]{2,}[.,;:!?)]*")
_FULL = 0.85  # of the widest line: one whose next word would have gone beyond it was broken there
_NARROWEST = 40  # characters; narrower text is a form or a list
_ENDS = (".", ":", ";", "?", "!")
_ITEM = re.compile(r"\d{1,2}[.)](?:\s|$)|[-*•·]\s")
_OPEN = re.compile(r"(?:[,(/]|\b(?:and|or|no|of|with|without|the|an?|for|to|in|on|by|from|denies|Dr|Mr|Mrs|Ms)\.?)$")


def running_text(pages: Sequence[str]) -> list[str]:
    """Return the text of each page with the white space that follows it: joined, they are the text of the document.

    Of headers and footers that pages repeat, one is kept. A word that a hyphen divides belongs to the page where it
    begins.
    """
    lines = [[_SPACES.sub(" ", line.translate(_LIGATURES)).strip() for line in page.splitlines()] for page in pages]
    kept = [_without_blanks(page) for page in _without_repeated(lines)]
    texts = [""] * len(kept)
    at, before = 0, ""  # the page of the line before, and that line
    for number, page in enumerate(kept):
        width = max(map(len, page), default=0)
        for line in page:
            rest = _rest_of_word(before, line)
            if rest:
                texts[at] = _whole_word(texts[at], before, rest)
            gap = " " if rest or _goes_on(before, line, width) else "\n"
            if following := line[len(rest) :].lstrip() if rest else line:
                texts[at] += gap if any(texts) else ""
                texts[number] += following
                at = number
            elif not rest:
                texts[at] += "\n"  # an empty line
            before = line
    return texts


def _without_repeated(pages: Sequence[list[str]]) -> list[list[str]]:
    """Leave out what the first and last lines of most pages repeat, and page numbers.

    A header is kept where it stands first and a footer where it stands last, so that no text is lost.
    """
    pages = [[line for at, line in enumerate(page) if not _is_page_number(page, at)] for page in pages]
    edges = [_edges(page) for page in pages]
    keys = [{_key(page[at]) for at in {*top, *bottom}} for page, (top, bottom) in zip(pages, edges, strict=True)]
    counts = Counter(key for found in keys for key in found)
    repeated = {key for key, count in counts.items() if count >= max(_FEWEST_PAGES, _OFTEN * len(pages))}
    first = {key: number for number, found in reversed(list(enumerate(keys))) for key in found}
    last = {key: number for number, found in enumerate(keys) for key in found}
    result = []
    for number, (page, (top, bottom)) in enumerate(zip(pages, edges, strict=True)):
        left_out = {at for at in top if _key(page[at]) in repeated and first[_key(page[at])] != number}
        left_out |= {at for at in bottom - top if _key(page[at]) in repeated and last[_key(page[at])] != number}
        result.append([line for at, line in enumerate(page) if at not in left_out])
    return result


def _edges(page: Sequence[str]) -> tuple[set[int], set[int]]:
    """Return the places of the lines that may be the page's header, and its footer."""
    filled = [at for at, line in enumerate(page) if line]
    # Of a page of few lines, half at most is taken for them.
    edge = min(_EDGE, -(-len(filled) // 4))
    return set(filled[:edge]), set(filled[len(filled) - edge :])


def _is_page_number(page: Sequence[str], at: int) -> bool:
    filled = [place for place, line in enumerate(page) if line]
    return len(filled) > 1 and at in (filled[0], filled[-1]) and bool(_PAGE_NUMBER.fullmatch(page[at]))


def _key(line: str) -> str:
    """What a line has in common with that of another page: all but the number of the page."""
    return _NUMBERED.sub("#", line.lower())


def _without_blanks(lines: list[str]) -> list[str]:
    """Leave out empty lines at the ends, and all but one in a row within."""
    kept = [line for before, line in zip(["", *lines], lines, strict=False) if line or before]
    return kept[:-1] if kept and not kept[-1] else kept


def _goes_on(before: str, line: str, width: int) -> bool:
    """Tell whether a line goes on where the one before was broken because the page is no wider."""
    if not before or width < _NARROWEST or not line or _ITEM.match(line):
        return False
    is_open = bool(_OPEN.search(before))
    if not is_open and (before.endswith(_ENDS) or not (line[0].islower() or line[0].isdigit())):
        return False
    return len(before) + 1 + len(line.split(maxsplit=1)[0]) > _FULL * width


def _rest_of_word(line: str, following: str) -> str:
    """Return the rest, at the start of the following line, of a word that a hyphen divides at the end of this one.

    Punctuation behind the word is part of it.
    """
    rest = _REST.match(following)
    return rest.group() if rest and _BROKEN_WORD.search(line) else ""


def _whole_word(text: str, line: str, rest: str) -> str:
    """Return the text, which ends in `line`, with its last word whole.

    "hyper-" and "tension" are one word, but "follow-" and "up" keep the hyphen.
    """
    broken = _BROKEN_WORD.search(line)
    keeps = broken is not None and (len(broken["first"]) == 1 or broken["first"].lower() in _first_parts())
    return text + rest if keeps else text[:-1] + rest


@cache
def _first_parts() -> frozenset[str]:
    return frozenset(row["word"] for row in read_table("hyphenated_words.csv", ("word",)))
