"""Abbreviations that a note defines itself: "neuroleptic malignant syndrome (NMS)", "NMS (neuroleptic ...)".

Source: Schwartz and Hearst, A simple algorithm for identifying abbreviation definitions in biomedical text, PSB 2003.
What a note says an abbreviation stands for goes before every table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fhir_coder.model import EntityType, kindred
from fhir_coder.nlp.dictionary import Mention
from fhir_coder.terminology.normalise import normalise
from fhir_coder.terminology.store import ConceptStore

_IN_BRACKETS = re.compile(r"\(([^()\n]{2,80})\)")
_SHORT = re.compile(r"(?=.{0,9}[A-Z])[A-Za-z0-9][A-Za-z0-9/\-]{1,9}\Z")
_WORD = re.compile(r"\S+")
_LAST_WORD = re.compile(r"\S{2,10}\s*\Z")
_LONGEST = 100  # characters before a bracket in which the long form stands
_MOST = 200  # definitions in a note


@dataclass(frozen=True, slots=True)
class _Definition:
    short: str
    start: int
    end: int  # text[start:end] is the long form


def with_definitions(text: str, mentions: Sequence[Mention], store: ConceptStore) -> list[Mention]:
    """Return the mentions, with every abbreviation that the note defines meaning what its long form means.

    A long form counts when a mention ends with it; so an abbreviation is an entity of the type of that mention.
    """
    of_end = {mention.end: mention for mention in mentions}
    meant = {}
    for definition in definitions(text):
        long = of_end.get(definition.end)
        if long is not None and long.start < definition.end and definition.short not in meant:
            meant[definition.short] = _meaning(text, definition, long, store)
    if not meant:
        return list(mentions)
    defined = list(_occurrences(text, meant))
    spans = {(mention.start, mention.end) for mention in defined}
    others = [mention for mention in mentions if (mention.start, mention.end) not in spans]
    covered = [(mention.start, mention.end) for mention in others]
    return sorted([*others, *_outside(defined, covered)], key=lambda mention: mention.start)


def definitions(text: str) -> Iterator[_Definition]:
    """Yield what a text defines, in order: at most the first 200."""
    found = 0
    for bracket in _IN_BRACKETS.finditer(text):
        inner = bracket[1].strip()
        definition = _before(text, bracket.start(), inner) if _SHORT.match(inner) else _within(text, bracket)
        if definition:
            yield definition
            found += 1
            if found == _MOST:
                return


def _before(text: str, bracket: int, short: str) -> _Definition | None:
    """Return the definition whose long form stands before the bracket that holds the short form."""
    end = (
        len(text[:bracket].rstrip())
        if bracket < _LONGEST
        else bracket - _LONGEST + len(text[bracket - _LONGEST : bracket].rstrip())
    )
    first = max(0, end - _LONGEST, text.rfind("\n", 0, end) + 1)
    words = list(_WORD.finditer(text, first, end))[-min(len(short) + 5, 2 * len(short)) :]
    if not words:
        return None
    begin = _long_form(text[words[0].start() : end], short)
    return None if begin is None else _Definition(short, words[0].start() + begin, end)


def _within(text: str, bracket: re.Match[str]) -> _Definition | None:
    """Return the definition whose short form stands before the bracket that holds the long form."""
    before = _LAST_WORD.search(text, max(0, bracket.start() - 20), bracket.start())
    short = before.group().strip() if before else ""
    if not _SHORT.match(short) or _long_form(bracket[1], short) != 0:
        return None
    return _Definition(short, bracket.start(1), bracket.end(1))


def _long_form(words: str, short: str) -> int | None:
    """Return where the long form begins in the words that end with it, or None when they do not spell it.

    Every letter of the short form is found in the words, from the back; the first one begins a word.
    """
    at = len(words)
    for position in range(len(short) - 1, -1, -1):
        letter = short[position].lower()
        if not letter.isalnum():
            continue
        at -= 1
        while at >= 0 and (words[at].lower() != letter or (position == 0 and at > 0 and words[at - 1].isalnum())):
            at -= 1
        if at < 0:
            return None
    return at if len(words) - at > len(short) else None


def _meaning(text: str, definition: _Definition, long: Mention, store: ConceptStore) -> Mention:
    words = text[definition.start : definition.end]
    type_ = long.type or next((EntityType(name.concept.type) for name in long.names if name.concept.type), None)
    if long.start == definition.start:
        names = long.names
    else:
        names = tuple(
            name for name in store.names(normalise(words)) if type_ is None or name.concept.type in kindred(type_)
        )
    return Mention(definition.start, definition.end, normalise(words), names, type_, head=words)


def _occurrences(text: str, meant: Mapping[str, Mention]) -> Iterator[Mention]:
    either = "|".join(sorted(map(re.escape, meant), key=len, reverse=True))
    for found in re.finditer(rf"\b(?:{either})\b", text):
        long = meant[found.group()]
        yield Mention(found.start(), found.end(), long.key, long.names, long.type, head=long.head)


def _outside(mentions: Sequence[Mention], covered: Sequence[tuple[int, int]]) -> Iterator[Mention]:
    """Yield the mentions that overlap none of the spans; both are in order."""
    position = 0
    for mention in mentions:
        while position < len(covered) and covered[position][1] <= mention.start:
            position += 1
        if position == len(covered) or covered[position][0] >= mention.end:
            yield mention
