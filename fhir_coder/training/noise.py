"""Untidy copies of tidy text: typos, abbreviations, lost punctuation and lost small words, with their targets."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from fhir_coder.training.name_noise import misspelt

_LOST = frozenset("a an the is are was were has had have been be this that there which who his her".split())
_MARKS = frozenset(".,;:()-'")
_SHORT = {
    "with": ("w", "/"),
    "without": ("w", "/", "o"),
    "patient": ("pt",),
    "patients": ("pts",),
    "history": ("hx",),
    "treatment": ("tx",),
    "symptoms": ("sx",),
    "symptom": ("sx",),
    "diagnosis": ("dx",),
    "and": ("&",),
    "before": ("prior", "to"),
    "after": ("s", "/", "p"),
    "year": ("yr",),
    "years": ("yrs",),
    "weeks": ("wks",),
    "right": ("r",),
    "left": ("l",),
    "bilateral": ("b", "/", "l"),
    "chronic": ("chr",),
    "acute": ("ac",),
    "severe": ("sev",),
    "increased": ("incr",),
    "decreased": ("decr",),
    "negative": ("neg",),
    "positive": ("pos",),
    "function": ("fxn",),
    "disease": ("dz",),
    "fracture": ("fx",),
    "cancer": ("ca",),
    "bleeding": ("bldg",),
    "pressure": ("press",),
    "follow": ("f", "/", "u"),
    "emergency": ("er",),
    "hospital": ("hosp",),
    "extremity": ("ext",),
    "abdominal": ("abd",),
}
_MISSPELT = 0.05  # of the words


def roughened(words: Sequence[str], targets: Sequence[int], random: Random) -> tuple[list[str], list[int]]:
    """Return the words with typos, abbreviations and gaps, as hurried people write.

    Only a word with the target of a neighbour may go or become several: it does not begin a mark.
    """
    lose_marks, lose_words, shorten = random.random(), random.random(), random.random()
    out: list[str] = []
    kept: list[int] = []
    for position, (word, target) in enumerate(zip(words, targets, strict=True)):
        bare = word.strip().lower()
        space = word[: len(word) - len(word.lstrip())]
        inner = target in (*targets[max(0, position - 1) : position], *targets[position + 1 : position + 2])
        if inner and ((bare in _MARKS and lose_marks < 0.4) or (bare in _LOST and lose_words < 0.4)):
            continue
        parts = _SHORT.get(bare) if shorten < 0.4 else None
        # What becomes several words must not begin a mark: only its first word would.
        if parts and (len(parts) == 1 or inner):
            out.extend((space + parts[0], *parts[1:]))
            kept.extend([target] * len(parts))
            continue
        out.append(space + misspelt(bare, random) if random.random() < _MISSPELT and len(bare) > 3 else word)
        kept.append(target)
    return out, kept
