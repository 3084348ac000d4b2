"""One set of mentions from the dictionary and the trained recogniser: who wins where they disagree.

The rules were chosen on the parts of the dev sets that the recogniser was not trained on (models/ner/MODEL_CARD.md):

- The dictionary wins where it has read a value or a dose, where its name covers several of the recogniser's spans
  ("back pain" for "back" and "pain"), and where a longer name of it has a code ("complete heart block" for "heart
  block"): that name says more.
- Else the recogniser wins, also with the words around a name ("squamous cell papilloma").
- What only one of them finds is kept; a problem that only the dictionary names, not if the recogniser is sure that
  there is nothing (`_SURE`): of such names on abstracts one in five was right.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import re2

from fhir_coder.model import HPO, PROBLEM_TYPES, EntityType, kindred
from fhir_coder.nlp.dictionary import Mention
from fhir_coder.nlp.recogniser import Recognised, Span
from fhir_coder.nlp.senses import Sense
from fhir_coder.terminology.normalise import normalise
from fhir_coder.terminology.store import ConceptStore

_LISTED = re2.compile(r"(?i)\s*(?:,|;|/|\band\b|\bor\b)\s+")
_GOES_ON = re2.compile(r"(?i)^\s+(?:of|in|with|due|secondary|from|to)\b")
_SURE = 0.98
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
    parts = [part for span in recognised.spans for part in _parts(text, span)]
    starts = [part.start for part in parts]
    ends = [part.end for part in parts]
    kept: list[Mention] = []
    beaten: set[int] = set()
    inner: dict[int, list[Mention]] = {}
    for each in named:
        mention = each.mention
        over = range(bisect_right(ends, mention.start), bisect_left(starts, mention.end))
        if len(over) == 1 and _equal(mention, parts[over[0]]):
            kept.append(replace(mention, type=parts[over[0]].type))
            beaten.update(over)
        elif not over:
            if not _is_doubted(each, recognised):
                kept.append(mention)
        elif _wins(each, [parts[at] for at in over]):
            kept.append(mention)
            beaten.update(over)
        else:
            for at in over:
                inner.setdefault(at, []).append(mention)
    kept += [_recognised(text, part, inner.get(at, ()), store) for at, part in enumerate(parts) if at not in beaten]
    return sorted(kept, key=lambda mention: mention.start)


def _parts(text: str, span: Span) -> Iterator[Span]:
    """Yield a span, or the items of a list that was taken for one medication."""
    if span.type is not EntityType.MEDICATION:
        yield span
        return
    start = span.start
    for listed in _LISTED.finditer(text[span.start : span.end]):
        if span.start + listed.start() > start:
            yield replace(span, start=start, end=span.start + listed.start())
        start = span.start + listed.end()
    if span.end > start:
        yield replace(span, start=start)


def _equal(mention: Mention, span: Span) -> bool:
    return (mention.start, mention.end) == (span.start, span.end)


def _is_doubted(named: Named, recognised: Recognised) -> bool:
    mention = named.mention
    return (
        named.sense.type in PROBLEM_TYPES
        and mention.head is None
        and recognised.outside_of(mention.start, mention.end) > _SURE
    )


def _wins(named: Named, over: Sequence[Span]) -> bool:
    mention, sense = named.mention, named.sense
    if not _READ.isdisjoint(sense.attributes) or len(over) > 1:
        return True
    is_longer = mention.start <= over[0].start and over[0].end <= mention.end
    return is_longer and any(name.concept.system != HPO for name in sense.names)


def _recognised(text: str, span: Span, inner: Sequence[Mention], store: ConceptStore) -> Mention:
    """Return a span as a mention, with the names of its words or, where they have none, of what they say it is.

    "Acute bacterial endocarditis" is an endocarditis, and so is "endocarditis of the mitral valve"; a
    "hypertension-like symptom" is no hypertension.
    """
    key = normalise(text[span.start : span.end])
    names = tuple(name for name in store.names(key) if name.concept.type in kindred(span.type))
    if not names:
        for mention in inner:
            is_head = mention.end == span.end or _GOES_ON.match(text[mention.end : span.end])
            fitting = tuple(name for name in mention.names if name.concept.type in kindred(span.type))
            if mention.start >= span.start and is_head and fitting:
                return Mention(span.start, span.end, mention.key, fitting, span.type, text[mention.start : mention.end])
    return Mention(span.start, span.end, key, names, span.type)
