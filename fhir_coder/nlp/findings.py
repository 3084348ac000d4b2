"""What is said of problems and devices beside their names: severity, course, stage, body site, laterality, onset.

The words are those of `mappings/problem_attributes.csv` and `mappings/body_sites.csv`. A word belongs to the nearest
mention that it can belong to: the one that follows ("severe left knee pain"), or the one before ("pain in the left
knee, severe, for 3 days"). What stands between may be other such words and a few that join them, nothing else, so that
the words of another clause are not taken. All is found in one pass over the text, in time linear in it.

What the values are called follows FHIR's Condition: severity, stage, bodySite, onset; `course` has no element there.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import re2

from fhir_coder.errors import TableError
from fhir_coder.nlp.phrases import Phrases
from fhir_coder.tables import read_table, split

Place = Literal["before", "after", "both"]  # of the word, seen from the mention

_ATTRIBUTES = frozenset({"severity", "course", "laterality"})
_PLACES = frozenset({"before", "after", "both"})
_REACH = 60  # characters between a mention and a word about it

_UNIT = r"(?:minutes?|mins?|hours?|hrs?|days?|nights?|weeks?|wks?|months?|mos?|years?|yrs?)"
_COUNT = (
    r"(?:\d{1,3}(?:\s?(?:-|–|to|or)\s?\d{1,3})?|an?|one|two|three|four|five|six|seven|eight|nine|ten|several|many|a few"
    r"|few|a couple(?: of)?|couple(?: of)?|couple)"
)
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]{0,6}\.?"
_DATE = (
    rf"(?:\d{{1,2}}/\d{{1,2}}(?:/\d{{2,4}})?|(?:{_MONTH}\s(?:of\s)?)?(?:19|20)\d\d"
    rf"|{_MONTH}(?:\s\d{{1,2}}(?:st|nd|rd|th)?)?"
    r"(?:,?\s(?:19|20)\d\d)?)"
)
_DAY = (
    r"(?:yesterday|today|tonight|last (?:night|week|month|year|spring|summer|fall|winter)|(?:this|that|yesterday) "
    r"(?:morning|afternoon|evening)|earlier (?:today|this week)|overnight|(?:mon|tues|wednes|thurs|fri|satur|sun)day)"
)
# What says since when: "x 3 days", "for the past week", "since 2019", "started yesterday", "3 days ago", "in 2015".
_ONSET_AFTER = (
    rf"(?:x|×)\s?{_COUNT}\s?(?:{_UNIT}|[dhw]\b)"
    rf"|for (?:about |approximately |at least |over |almost |nearly |more than )?(?:the )?(?:past |last )?"
    rf"(?:{_COUNT} |{_COUNT}-)?(?:more )?{_UNIT}"
    rf"|(?:over|during|in|within) the (?:past|last) (?:{_COUNT} )?{_UNIT}"
    rf"|since (?:about |approximately |around |the )?(?:{_DATE}|{_DAY}|childhood|birth|infancy|adolescence"
    rf"|(?:the )?age (?:of )?\d{{1,2}}|{_COUNT} {_UNIT} ago)"
    rf"|(?:starting|started|began|beginning|onset|first noticed|first noted|diagnosed)(?: (?:on|in|at|about|around"
    rf"|approximately|was|of|back|again|suddenly|gradually))* (?:{_DATE}|{_DAY}|(?:the )?age (?:of )?\d{{1,2}}"
    rf"|{_COUNT} {_UNIT} (?:ago|prior|earlier|before))"
    rf"|{_COUNT} {_UNIT} (?:ago|prior|earlier)"
    rf"|(?:in|on) (?:{_MONTH} (?:of )?)?(?:19|20)\d\d"
)
# The same before the name: "3-day history of", "2 weeks of".
_ONSET_BEFORE = rf"{_COUNT}[ -]{_UNIT}(?: |-)(?:duration of|history of|hx of|h/o|course of|of)"
_ONSET = re2.compile(rf"(?i)\b(?:(?P<before>{_ONSET_BEFORE})|(?P<after>{_ONSET_AFTER}))\b")

_ONSET_OF = re.compile(r"(?i)[ -](?:duration of|of|h/o)$")

_ROMAN = r"(?:IV|I{1,3}|V)"
_DEGREE = rf"(?:[0-5]|{_ROMAN})(?:\s?[a-d]\d?)?"
# Scales whose name alone makes what follows a stage; the others need "stage", "class" or "grade".
_SCALES = (
    r"NYHA(?: functional)?|ACC(?:/AHA)?|AHA|Child[- ](?:Turcotte[- ])?Pugh|Killip|CCS|GOLD|KDIGO|FIGO"
    r"|AJCC|Rutherford|Fontaine"
    r"|Hunt[- ](?:and[- ])?Hess|Gustilo(?:[- ]Anderson)?|Salter[- ]Harris|Hurley|Rai|Binet|Ann Arbor"
    r"|Dukes|Garden|Tanner"
)
_STAGE = re2.compile(
    rf"(?i)\b(?:(?:(?:{_SCALES})\s)?(?:stage|class|grade|type(?:\s(?:i|ii|iii|iv)))\s?[:=]?\s?"
    rf"(?P<degree>{_DEGREE}(?:\s?(?:-|–|/|to)\s?{_DEGREE})?|[a-d]|end[- ]stage)"
    rf"|(?:{_SCALES})\s(?:{_DEGREE}(?:\s?(?:-|–|/|to)\s?{_DEGREE})?|[a-d])"
    rf"|Gleason(?: score| sum| grade)?(?: of)? ?:? ?(?:[1-5]\s?\+\s?[1-5](?:\s?=\s?\d{{1,2}})?|\d{{1,2}}(?:/10)?)"
    rf"|[cpy]{{0,2}}T(?:[0-4][a-d]?|is|x)[ ,]{{0,2}}N(?:[0-3][a-c]?|x)(?:[ ,]{{0,2}}M[01x][a-c]?)?"
    rf"|ECOG(?: PS| performance status)?(?: of)? [0-4])\b"
)
# Severity on a scale: "pain 8/10", "2+ edema", "a 3/6 murmur".
_SCORE = re2.compile(r"(?:\b(?:10|\d)(?:\.5)?(?:-\d{1,2})?\s?(?:/|out of)\s?10|\b[1-6]\s?/\s?6|\b[1-4]\+)(?:\W|$)")

# Before a site, and part of it: "the left distal radius".
_POSITION = (
    r"upper|lower|mid|middle|distal|proximal|medial|lateral|anterior|posterior|superior|inferior|dorsal|ventral|inner"
    r"|outer|central|anterolateral|anteromedial|posterolateral|inferolateral|great|first|second|third|fourth|fifth"
    r"|1st|2nd|3rd|4th|5th|entire|whole"
)
_BEFORE_SITE = re2.compile(
    rf"\b(?P<side>(?i:left|right|bilateral|both|lt|rt|left-sided|right-sided)|[LR])?[\s-]{{0,2}}"
    rf"(?P<position>(?:(?i:{_POSITION})[\s-]{{1,2}}){{0,2}})$"
)
_SIDES = {"l": "left", "lt": "left", "left": "left", "left-sided": "left", "r": "right", "rt": "right"}
_SIDES |= {"right": "right", "right-sided": "right", "bilateral": "bilateral", "both": "bilateral"}
_ORDINAL = r" (?:\d{1,2}(?:st|nd|rd|th) )?"  # "right 7th rib fracture"
_LETTER = re.compile(rf"(?<![\w/.,'-])(?<!\d )([LR]){_ORDINAL}$")  # and no litres: "on 2 L"
_LETTER_BEHIND = re.compile(r" ([LR])(?=\s*(?:[.,;)\n]|$))")  # "ankle sprain R."
_SIDED_NAMES = re.compile(r"[RL](?:[UL][QEL]|IJ)$")  # RUQ, LLE: the name holds the side

# The specimen of a pathology report, and what has no side or stage of its own there.
_LABEL = re.compile(r"[ \t]*(?:[A-Z\d]{1,2}[.):][ \t]+)?[A-Z][^:\n]{2,80}:\s")
_EITHER = re.compile(r"(?i)\b(?:left|right)\b")
_SPECIMEN = 120  # characters of a line before the diagnosis
_TUMOUR = re.compile(r"(?i)carcinoma|melanoma|lymphoma|sarcoma|neoplasm|malignan|tumou?r")

_WORDS = re.compile(r"[A-Za-z][A-Za-z'’-]*|[^\sA-Za-z]")
# Between a word and the mention that follows it: nothing but this and a few words that are no break.
_BREAKS = frozenset(
    "into onto upon over through and or but with without for in on at by to from "
    "of the is was are were has had have denies no not which who that "
    "than then after before during while because due secondary as if when although . ; : ( ) / , \n".split()
) | {"\n"}
_LINKS = frozenset("episode episodes attack attacks bout bouts case degree onset amount history".split())
_EYE = 2  # letters of OD, OS and OU
_MOST_BEFORE = 3  # words between
# Between a mention and a word behind it: nothing but this.
_JOINS = frozenset(
    ", - – ( : is was are were be been being has have had remains remained appears appeared seems seemed now currently "
    "very more much quite somewhat slightly significantly fairly overall today which that it this still continues "
    "continued to described reported rated noted as at and becoming became become gradually rapidly slowly largely "
    "mostly completely fully partially relatively reportedly clinically symptomatically a an of".split()
)
_SITE_JOINS = frozenset(
    "in of on to at over involving the his her their my your a an within along around affecting throughout bilateral "
    "both left right , - localized located confined limited region area aspect side part portion and".split()
)


@dataclass(frozen=True, slots=True)
class Site:
    """A body site of the table; a paired one has a side."""

    name: str
    is_paired: bool


@dataclass(slots=True)
class Target:
    """A mention: what is described (`is_described`: a problem or device), or what words may belong to instead."""

    start: int
    end: int
    sentence: tuple[int, int]
    is_described: bool
    is_device: bool = False
    begins: int = 0  # from where on the words before it are its own
    reach: int = 0  # up to where the words behind it are
    found: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Word:
    start: int
    end: int
    attribute: str
    value: str
    place: Place
    is_paired: bool = False


def read_findings(text: str, targets: Sequence[Target]) -> None:
    """Fill `found` of the targets, which stand in order, with what the text says of them.

    Keys, each only when the text says so: `severity`, `course` (values of the table; several courses with commas),
    `stage` and `onset` (as written), `body_site`, `laterality` (left, right, bilateral, unilateral), and `spans`, start
    and end of the words of stage, onset and body site.
    """
    if not any(target.is_described for target in targets):
        return
    for target in targets:
        target.begins, target.reach = target.start, target.end
    starts = [target.start for target in targets]
    words = _words(text)
    for word in reversed(words):
        _before(text, word, targets, bisect_right(starts, word.start))
    for word in words:
        _behind(text, word, targets, bisect_right(starts, word.start) - 1)
    for target in targets:
        _labelled(text, target, words)
        if target.is_described and not target.is_device and (side := _lettered(text, target)):
            target.found.setdefault("laterality", side)


def _labelled(text: str, target: Target, words: Sequence[_Word]) -> None:
    """Give a tumour the site of the specimen that the line begins with: "C. Skin, left cheek: Basal cell ..."."""
    if not target.is_described or "body_site" in target.found or not _TUMOUR.search(text[target.start : target.end]):
        return
    farthest = max(0, target.start - _SPECIMEN)
    line = text.rfind("\n", farthest, target.start) + 1
    label = _LABEL.match(text, line, target.start) if line or not farthest else None
    if label is None:
        return
    first, last = (bisect_left(words, place, key=_start) for place in (line, label.end()))
    sites = [word for word in words[first:last] if word.attribute == "body_site"]
    if sites:
        _give(text, sites[-1], target)
        told = {side.lower() for side in _EITHER.findall(label.group())}
        if len(told) == 1 and sites[-1].is_paired:
            target.found.setdefault("laterality", told.pop())


def _start(word: _Word) -> int:
    return word.start


def _lettered(text: str, target: Target) -> str:
    """Return the side that a capital beside the problem says, or begins it with: "L frozen shoulder"; else nothing."""
    begin = max(target.sentence[0], target.begins - len("on 2 L 10th "))
    match = (
        _LETTER.search(text[begin : target.begins])
        or _LETTER.match(text[target.start : target.start + 2])
        or _LETTER_BEHIND.match(text, target.end)
    )
    return _SIDES[match[1].lower()] if match else ""


def _words(text: str) -> list[_Word]:
    """Return all words of a text that may describe a mention, in order."""
    words = [
        _Word(phrase.start, phrase.end, *phrase.meaning)
        if isinstance(phrase.meaning, tuple)
        else _Word(phrase.start, phrase.end, "body_site", phrase.meaning.name, "both", phrase.meaning.is_paired)
        for phrase in _phrases().find_all(text)
    ]
    for match in _ONSET.finditer(text):
        place: Place = "before" if match.group("before") else "after"
        words.append(_Word(match.start(), match.end(), "onset", _ONSET_OF.sub("", match.group()), place))
    words += [_Word(match.start(), match.end(), "stage", match.group(), "both") for match in _STAGE.finditer(text)]
    for match in _SCORE.finditer(text):
        written = match.group().rstrip(" ,;.:)\n\t")
        words.append(_Word(match.start(), match.start() + len(written), "severity", written, "both"))
    return sorted(words, key=lambda word: (word.start, word.end))


def _before(text: str, word: _Word, targets: Sequence[Target], position: int) -> None:
    """Give a word to the target that follows it, or that holds it."""
    holder = targets[position - 1] if position else None
    if holder and word.start < holder.end:
        _inside(text, word, holder)
        return
    if word.place == "after" or position == len(targets):
        return
    target = targets[position]
    if not target.is_described or word.start < target.sentence[0] or target.begins - word.end > _REACH:
        return
    if word.end > target.start:  # it runs into the name: "stage 3 CKD stage"
        return
    gap = _WORDS.findall(text[word.end : target.begins].lower())
    numbered = re.fullmatch(_ORDINAL, text[word.end : target.begins])
    if word.attribute == "laterality" and gap not in ([], ["-"]) and not numbered:
        return
    unknown = [each for each in gap if each != "-" and each not in _LINKS and not (each == "of" and _LINKS & set(gap))]
    if len(unknown) > _MOST_BEFORE or not _BREAKS.isdisjoint(unknown):
        return
    _give(text, word, target)


def _behind(text: str, word: _Word, targets: Sequence[Target], position: int) -> None:
    """Give a word to the target before it."""
    if position < 0 or word.place == "before":
        return
    target = targets[position]
    following = targets[position + 1] if position + 1 < len(targets) else None
    if word.start < target.end or (following and following.begins <= word.start):
        return
    if not target.is_described or word.end > target.sentence[1] or word.start - target.reach > _REACH:
        return
    gap = _WORDS.findall(text[target.reach : word.start].lower())
    if word.attribute == "laterality" and word.end - word.start == _EYE and gap:
        return  # "cataract OD", and not the overdose of "depression, OD"
    joins = _SITE_JOINS if word.attribute == "body_site" else _JOINS
    if word.attribute == "onset":
        if len(gap) > 8 or not {";", ".", ":", "but", "no", "denies"}.isdisjoint(gap):
            return
    elif not joins.issuperset(gap) and not _positions().issuperset(set(gap) - joins):
        return
    if gap == ["and"] and following and following.start - word.end <= _REACH and word.attribute != "course":
        return  # "nausea and severe ...": of what comes
    _give(text, word, target)
    if word.attribute == "onset":
        _give_along(text, word, targets, position)


def _give_along(text: str, word: _Word, targets: Sequence[Target], position: int) -> None:
    """Give an onset to what is listed with its target: "cough, fever and chills for 3 days"."""
    while position and targets[position - 1].is_described:
        before, target = targets[position - 1], targets[position]
        gap = set(_WORDS.findall(text[before.end : target.begins].lower()))
        if before.sentence != target.sentence or before.end > target.begins or not gap <= {",", "and", "or"} or not gap:
            return
        _give(text, word, before)
        position -= 1


def _inside(text: str, word: _Word, target: Target) -> None:
    """Take what a name itself says, where it is more than a part of what the thing is called."""
    if not target.is_described or target.is_device:
        return
    if word.attribute == "body_site":
        side = _side(text, word, target.sentence[0])[0]
        if side and word.is_paired:
            target.found.setdefault("laterality", side)
    elif word.attribute in ("severity", "stage"):
        target.found.setdefault(word.attribute, word.value)


def _give(text: str, word: _Word, target: Target) -> None:
    found = target.found
    start = word.start
    if target.is_device and word.attribute not in ("body_site", "laterality"):
        return
    if word.attribute == "body_site":
        if "body_site" in found:
            return
        side, position, start = _side(text, word, target.sentence[0])
        name = f"{position} {word.value}" if position and not word.value.startswith(position) else word.value
        found["body_site"] = name
        if side:
            found.setdefault("laterality", side)
    elif word.attribute == "course":
        known = found.get("course", "").split(", ") if "course" in found else []
        if word.value not in known:
            ordered = [*known, word.value] if word.start >= target.end else [word.value, *known]
            found["course"] = ", ".join(ordered)
    elif word.attribute == "stage" and "stage" in found:
        found["stage"] += f", {word.value}"
    else:
        found.setdefault(word.attribute, " ".join(word.value.split()))
    if word.attribute in ("body_site", "stage", "onset"):
        found.setdefault("spans", {}).setdefault(word.attribute, (start, word.end))
    if word.end <= target.start:
        target.begins = min(target.begins, start)
    else:
        target.reach = max(target.reach, word.end)


def _side(text: str, word: _Word, first: int) -> tuple[str, str, int]:
    """Return the side of a site, its position ("distal"), and where these words begin."""
    written = text[word.start : word.end]
    if _SIDED_NAMES.match(written):
        return ("left" if written[0] == "L" else "right"), "", word.start
    begin = max(first, word.start - 40)
    match = _BEFORE_SITE.search(text[begin : word.start])
    if not match:
        return "", "", word.start
    side, position = match.group("side") or "", match.group("position") or ""
    start = begin + match.start(1 if side else 2) if side or position else word.start
    return _SIDES.get(side.lower(), ""), " ".join(position.lower().replace("-", " ").split()), start


@cache
def _positions() -> frozenset[str]:
    return frozenset(_POSITION.split("|")) | {"r", "l", "lt", "rt"}


@cache
def _phrases() -> Phrases[tuple[str, str, Place] | Site]:
    """Return the words of both tables.

    Raises `TableError` when a row has an unknown attribute or place, or a word stands in two rows of one place.
    """
    meanings: dict[str, tuple[str, str, Place] | Site] = {}
    for row in read_table("problem_attributes.csv", ("attribute", "value", "names", "place")):
        if row["attribute"] not in _ATTRIBUTES or row["place"] not in _PLACES:
            raise TableError(f"mappings/problem_attributes.csv: {row['value']}: unknown attribute or place")
        for name in split(row["names"]):
            if name in meanings:
                raise TableError(f"mappings/problem_attributes.csv: {name!r} stands in two rows")
            place: Place = row["place"]  # type: ignore[assignment]
            meanings[name] = (row["attribute"], row["value"], place)
    for row in read_table("body_sites.csv", ("site", "names", "paired")):
        if row["paired"] not in ("yes", "no"):
            raise TableError(f"mappings/body_sites.csv: {row['site']}: paired must be yes or no")
        for name in split(row["names"]):
            if name in meanings:
                raise TableError(f"mappings/body_sites.csv: {name!r} stands in two rows")
            meanings[name] = Site(row["site"], row["paired"] == "yes")
    return Phrases(meanings)
