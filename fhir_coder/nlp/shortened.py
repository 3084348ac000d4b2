"""Problems whose first word is cut short: "pulm edema" is no edema of the skin.

No release has the short forms among its names, so that the dictionary finds what stands behind them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fhir_coder.model import PROBLEM_TYPES, kindred
from fhir_coder.nlp.dictionary import Mention
from fhir_coder.terminology.normalise import is_abbreviation, normalise
from fhir_coder.terminology.shortened_words import shortened_words
from fhir_coder.terminology.store import ConceptStore

_LONGEST = 12  # letters
_WORD_BEFORE = re.compile(r"(?<![\w-])([A-Za-z]+)\.?[ ]$")


def with_shortened(text: str, mentions: Sequence[Mention], store: ConceptStore) -> list[Mention]:
    """Return the mentions, those of problems with the shortened word before them where both together are a name."""
    longer: list[Mention] = []
    for mention in mentions:
        found = _longer(text, mention, store)
        is_free = found is not None and (not longer or longer[-1].end <= found.start)
        longer.append(found if found and is_free else mention)
    return longer


def _longer(text: str, mention: Mention, store: ConceptStore) -> Mention | None:
    """Return a mention with the word before its name written out; None where that is no name, or two."""
    name = mention.head or text[mention.start : mention.end]
    kinds = kindred(mention.type) if mention.type else PROBLEM_TYPES
    if not _is_problem(mention) or not text.endswith(name, mention.start, mention.end):
        return None
    begin = mention.end - len(name)
    word = _WORD_BEFORE.search(text[max(0, begin - _LONGEST - 2) : begin])
    if word is None or is_abbreviation(word[1]):
        return None
    shortened = shortened_words().get(word[1].casefold())
    found = []
    for long in shortened.words if shortened and shortened.leads else ():
        head = f"{long} {name}"
        key = normalise(head)
        if names := tuple(each for each in store.names(key) if each.concept.type in kinds):
            start = min(mention.start, begin - len(word.group()))
            found.append(Mention(start, mention.end, key, names, mention.type, head=head))
    return found[0] if len(found) == 1 else None


def _is_problem(mention: Mention) -> bool:
    if mention.type:
        return mention.type in PROBLEM_TYPES
    return any(name.concept.type in PROBLEM_TYPES for name in mention.names)
