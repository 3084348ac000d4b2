"""Which words are words of English, common or learned, and so no misspellings of others.

Hemostasis is two letters away from hemoptysis, hydration from dehydration, an osteotome from an osteotomy. Whoever
writes one means it, though no name of the releases has it.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import orjson
from english_words import get_english_words_set
from spellchecker import SpellChecker

from fhir_coder.linking.spelling import is_respelt

_ENDINGS = ("ing", "ed", "er", "ly", "s")
_ADJECTIVES = (("ic", "ia"), ("pathic", "pathy"))  # "anosmic" says anosmia; "osteotomic" does not say osteotomy


@cache
def _english() -> frozenset[str]:
    """Return the words of three lists, none of which holds usual misspellings.

    Webster's Second (1934), which has the learned words of medicine; the list of pyspellchecker, which has today's;
    and what the embedded tokenizer knows as a whole, counted in books and Wikipedia (Devlin 2019).
    """
    pieces = orjson.loads((files("fhir_coder") / "models" / "ner" / "tokenizer.json").read_bytes())["model"]["vocab"]
    learned = get_english_words_set(["web2"], alpha=True, lower=True)
    return frozenset(word for word in {*pieces, *learned, *SpellChecker().word_frequency.words()} if is_respelt(word))


def is_english(folded: str) -> bool:
    """Tell whether a folded word is one of English, or an inflection of one: "voiding" is no "vomiting"."""
    words = _english()
    stems = (folded.removesuffix(ending) for ending in _ENDINGS if folded.endswith(ending))
    return folded in words or any(stem in words or f"{stem}e" in words for stem in stems)


def is_adjective_of(folded: str, noun: str) -> bool:
    """Tell whether a folded word is the adjective of a noun: what is anosmic has anosmia."""
    return any(
        folded.endswith(adjective) and folded.removesuffix(adjective) == noun.removesuffix(ending) != noun
        for adjective, ending in _ADJECTIVES
    )
