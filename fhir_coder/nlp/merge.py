"""One set of mentions from the dictionary and the trained recogniser: who wins where they disagree.

The rules were chosen on the parts of the dev sets that the recogniser was not trained on (models/ner/MODEL_CARD.md),
and by what must not happen in a note: that "absence of edema" becomes one thing, or a fever goes unseen.

- The dictionary wins where it has read a value or a dose, where its name covers several of the recogniser's spans
  ("back pain" for "back" and "pain"), and where its name is longer and clinical (of SNOMED CT or a starter table:
  "dyspnea on exertion"), or has another code and the recogniser is not sure. Abstracts are annotated more coarsely
  ("heart block" of "complete heart block"): this costs 1 point of F1 there, and coded notes lose a digit without it.
- It wins within a span of the recogniser, too, that runs over the end of a list's item ("DM\tstroke"), that begins with
  what is said of a problem ("severe pain"), that ends with a date or dose ("metformin 3/2024", "atorvastatin 80"), or
  that joins a clinical name to another one or goes on behind it in no way that names do. What leads to a problem
  ("absence of": mappings/problem_leads.csv) never is a part of it, and what is only said of one ("severe") is none.
- Else the recogniser wins, with the words around a name ("squamous cell papilloma", "carcinoma of the lung").
- What only one of them finds is kept; but a problem that the dictionary names, and neither of these does, is left out
  where the recogniser is sure that there is nothing (of such names in abstracts one in five was right), and a span
  without a name where the recogniser is not sure, or its words are known to be nothing (mappings/not_recognised.csv).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import re2

from fhir_coder.model import HPO, PROBLEM_TYPES, SNOMED, EntityType, kindred
from fhir_coder.nlp.dictionary import Mention
from fhir_coder.nlp.dosage import is_sig
from fhir_coder.nlp.recogniser import Recognised, Span
from fhir_coder.nlp.senses import Sense
from fhir_coder.tables import read_table, split
from fhir_coder.terminology.normalise import normalise
from fhir_coder.terminology.store import ConceptStore

_LISTED = re2.compile(r"(?i)\s*(?:,|;|/|\band\b|\bor\b)\s+")
_NUMBER_BEFORE = re2.compile(r"\b\d[\d,']*-$")
_NUMBER_BEHIND = re2.compile(r"^-\d+\b")
_LONGEST_NUMBER = 12
# "atorvastatin 80", "macrobid x7d", "heparin gtt", "Zosyn dc'd"
_DOSE = re2.compile(
    r"(?i)^\s+(?:\d[\d.,]*\s*(?:mg|mcg|g|u|units?)?|x\s?\d+\s?(?:d|days?|wks?|weeks?|doses?)?"
    r"|gtt|drip|infusion|d/?c(?:['’]?e?d)?|held)\s*$"
)
_STOPPED = re2.compile(r"(?i)\sd/?c$")  # "topiramate dc'd"
_AMOUNT = re2.compile(r"(?i)^([a-z]{4,})\s+\d[\d.]*(?:\s?(?:mg|mcg))?$")  # "omep 20"
# "allergic to Bactrim", "Bactrim allergy": the words before and behind the substance
_NOT_TOLERATED = re2.compile(
    r"(?i)(?:allerg(?:ic|y|ies)|intolerant|intolerance)\s+(?:to|of)\s+\||\|[\s-](?:allerg(?:ic|y|ies)|intolerance)"
)
# "propofol/fentanyl": one medication would be one name
_BESIDE = re2.compile(r"(?:[\w-]+/)+\|(?:/[\w-]+)*|\|(?:/[\w-]+)+")
_SIDE = re2.compile(r"\b(?i:(?:the|her|his)\s+)?(?:(?i:right|left|bilateral|bilat|both|rt|lt)|R|L)\b")
_ARTICLE = re2.compile(r"(?i)\b(?:the|an?|her|his)\s+")
_SEPARATOR = re2.compile(r"[\t\n;:]|\s[-–]+\s")
_JOINS = re2.compile(r"(?i)\b(?:with|w/|without|w/o|and|or|from|to)\s+(?:(?:the|a|an|any|his|her)\s+)?$")
_LEFT_OVER = re2.compile(r"(?i)(?:\s+(?:of|in|with|to|for|and|or|the|a))*\s*$")  # "numbness of"
_DATED = re2.compile(r"^\s+\(?(?:\d{1,2}/\d{1,4}(?:/\d{2,4})?|(?:19|20)\d\d)\W*$")  # "metformin 3/2024"
_GOES_ON = re2.compile(r"(?i)^\s+(?:of|in)\b")
_ENOUGH = 0.5  # to be an entity that has no name
_SURE, _SURE_OF_ABBREVIATION, _UNSURE = 0.9, 0.98, 0.8
_READ = frozenset({"value", "value_text", "dose", "frequency", "route"})


@dataclass(frozen=True, slots=True)
class Named:
    """A name of the dictionary in the text, and what it means there."""

    mention: Mention
    sense: Sense


def merge(text: str, named: Sequence[Named], recognised: Recognised, store: ConceptStore) -> list[Mention]:
    """Return the mentions, in order and without overlaps; so are the names.

    A span of the recogniser brings its type, and the names of the store for its words, or for those that say what it
    is.
    """
    parts = [part for span in recognised.spans for part in _parts(text, span) if not _is_said_of_another(text, part)]
    starts = [part.start for part in parts]
    ends = [part.end for part in parts]
    kept: list[Mention] = []
    beaten: set[int] = set()  # spans
    beaten_names: list[tuple[Mention, range]] = []  # with the spans that beat them
    for each in named:
        mention = each.mention
        over = range(bisect_right(ends, mention.start), bisect_left(starts, mention.end))
        if len(over) == 1 and _equal(mention, parts[over[0]]):
            kept.append(replace(mention, type=parts[over[0]].type))
            beaten.update(over)
        elif not over:
            if not _is_doubted(each, recognised):
                kept.append(mention)
        elif _wins(text, each, [parts[at] for at in over]):
            kept.append(mention)
            beaten.update(over)
        else:
            beaten_names.append((mention, over))
    inner: dict[int, list[Mention]] = {}
    for mention, over in beaten_names:
        if beaten.issuperset(over):  # what beat it is gone: "angina" in the span "CAD with angina", of which "CAD" won
            kept.append(mention)
        for at in over:
            inner.setdefault(at, []).append(mention)
    alone = [_recognised(text, part, inner.get(at, ()), store) for at, part in enumerate(parts) if at not in beaten]
    kept += [mention for mention in alone if mention.names or _is_likely(text, mention)]
    return sorted(kept, key=lambda mention: mention.start)


def _is_likely(text: str, mention: Mention) -> bool:
    return (mention.score or 0) >= _ENOUGH and text[mention.start : mention.end] not in _nothing()


@cache
def _attributes() -> frozenset[str]:
    """Return the words that say how a problem is, and are read beside its name."""
    rows = read_table("problem_attributes.csv", ("attribute", "value", "names", "place"))
    return frozenset(word for row in rows for name in split(row["names"]) for word in name.split()) | {"open", "closed"}


@cache
def _leads() -> Any:
    """Return what matches the words that tell about a problem and stand before its name."""
    words = [row["word"] for row in read_table("problem_leads.csv", ("word", "reason"))]
    either = "|".join(re2.escape(word) for word in sorted(words, key=len, reverse=True))
    return re2.compile(rf"(?i)(?:(?:{either})(?:\s+|$))+")


@cache
def _not_heads() -> frozenset[str]:
    """Return the names that are not coded in the place of a longer one: "cancer" of "cancer of the upper lobe"."""
    return frozenset(normalise(row["word"]) for row in read_table("not_heads.csv", ("word", "reason")))


@cache
def _nothing() -> frozenset[str]:
    """Return the words that are no entities, whatever the recogniser says."""
    return frozenset(row["word"] for row in read_table("not_recognised.csv", ("word", "reason")))


def _parts(text: str, span: Span) -> Iterator[Span]:
    """Yield a span, or the items of a list that was taken for one medication, each with its whole name.

    Of a problem, what is said about it is left to who reads that: the "prior" of "no prior stroke".
    """
    if span.type in PROBLEM_TYPES:
        lead = _leads().match(text[span.start : span.end])
        start = span.start + lead.end() if lead else span.start
        end = start + _LEFT_OVER.search(text[start : span.end]).start()
        if start < end:
            yield replace(span, start=start, end=end)
        return
    if span.type is not EntityType.MEDICATION:
        yield span
        return
    start = span.start
    for listed in _LISTED.finditer(text[span.start : span.end]):
        if span.start + listed.start() > start:
            yield _whole(text, replace(span, start=start, end=span.start + listed.start()))
        start = span.start + listed.end()
    if span.end > start:
        yield _whole(text, replace(span, start=start))


def _is_said_of_another(text: str, span: Span) -> bool:
    """Tell whether a span only says how a medication is taken, or how a problem is: the "severe" of "MDD, severe"."""
    words = text[span.start : span.end]
    if span.type is EntityType.MEDICATION:
        return is_sig(words)
    return span.type in PROBLEM_TYPES and _attributes().issuperset(words.lower().replace(",", " ").split())


def _whole(text: str, span: Span) -> Span:
    """Return a medication with the numbers that hyphens join to its name: "13-cis-retinoic acid", "Ro15-1788"."""
    before = _NUMBER_BEFORE.search(text[max(0, span.start - _LONGEST_NUMBER) : span.start])
    behind = _NUMBER_BEHIND.match(text[span.end : span.end + _LONGEST_NUMBER])
    start = span.start - len(before.group()) if before else span.start
    end = span.end + len(behind.group()) if behind else span.end
    if stopped := _STOPPED.search(text[start:end]):
        end = start + stopped.start()
    while end > start + 1 and text[end - 1] in "-,;/( ":
        end -= 1
    return replace(span, start=start, end=end)


def _equal(mention: Mention, span: Span) -> bool:
    return (mention.start, mention.end) == (span.start, span.end)


def _is_doubted(named: Named, recognised: Recognised) -> bool:
    mention, sense = named.mention, named.sense
    if sense.type not in PROBLEM_TYPES or mention.head is not None or _is_clinical(sense):
        return False
    return recognised.outside_of(mention.start, mention.end) > (_SURE if sense.names else _SURE_OF_ABBREVIATION)


def _wins(text: str, named: Named, over: Sequence[Span]) -> bool:
    mention, sense, span = named.mention, named.sense, over[0]
    if not _READ.isdisjoint(sense.attributes):
        return True
    if sense.type is EntityType.ANATOMY:
        return False
    if len(over) > 1:
        return True
    if mention.start <= span.start and span.end <= mention.end:
        if span.type is EntityType.ANATOMY:  # "nail" of "nail pitting"
            return True
        is_coded = any(name.concept.system != HPO for name in sense.names)
        return _is_clinical(sense) or (is_coded and span.score < _UNSURE)
    if mention.start < span.start and sense.type in PROBLEM_TYPES and _is_clinical(sense):
        return True  # the "pressure ulcer" of "pressure ulcer of the sacrum", of which "ulcer of the sacrum" was seen
    before, behind = text[span.start : mention.start], text[mention.end : span.end]
    if not before and sense.names and _DATED.match(behind):
        return True
    if not before and sense.type is EntityType.MEDICATION and sense.names and _DOSE.match(behind):
        return True
    if sense.type is EntityType.MEDICATION and _BESIDE.fullmatch(f"{before}|{behind}"):
        return True
    if sense.type is EntityType.MEDICATION and _NOT_TOLERATED.fullmatch(f"{before}|{behind}"):
        return True
    if _SEPARATOR.search(before) or _SEPARATOR.search(behind) or sense.type is EntityType.DEVICE:  # "uses cane"
        return True
    if before and not behind and sense.type in PROBLEM_TYPES and _attributes().issuperset(before.lower().split()):
        return True
    goes_on = not behind or behind.startswith("-") or _GOES_ON.match(behind)
    return sense.type in PROBLEM_TYPES and _is_clinical(sense) and (not goes_on or bool(_JOINS.search(before)))


def _is_clinical(sense: Sense) -> bool:
    return any(name.concept.system == SNOMED or name.everyday for name in sense.names)


def _recognised(text: str, span: Span, inner: Sequence[Mention], store: ConceptStore) -> Mention:
    """Return a span as a mention, with the names of its words or, where they have none, of what they say it is.

    "Acute bacterial endocarditis" is an endocarditis, and so is "endocarditis of the mitral valve"; a
    "hypertension-like symptom" is no hypertension.
    """
    words = text[span.start : span.end]
    if span.type is EntityType.MEDICATION and (dosed := _AMOUNT.match(words)) and not store.names(normalise(words)):
        words = dosed[1]
        span = replace(span, end=span.start + len(words))
    key = normalise(words)
    names = tuple(name for name in store.names(key) if name.concept.type in kindred(span.type))
    plain = words if names else _ARTICLE.sub("", _SIDE.sub(" ", words)).strip()
    if plain != words:
        sided = tuple(name for name in store.names(normalise(plain)) if name.concept.type in kindred(span.type))
        if sided:  # "laceration of the right hand", "carcinoma of the lung"
            return Mention(span.start, span.end, normalise(plain), sided, span.type, head=plain)
    if not names:
        for mention in inner:
            is_head = mention.end == span.end or _GOES_ON.match(text[mention.end : span.end])
            fitting = tuple(name for name in mention.names if name.concept.type in kindred(span.type))
            if mention.start >= span.start and is_head and fitting and mention.key not in _not_heads():
                head = text[mention.start : mention.end]
                return Mention(span.start, span.end, mention.key, fitting, span.type, head=head)
    # "R hip fx" is no name, and its words may be put right without the side.
    without_side = plain if plain and plain != words and span.type in PROBLEM_TYPES else None
    return Mention(span.start, span.end, key, names, span.type, None if names else span.score, head=without_side)
