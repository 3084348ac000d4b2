"""One normal form for names and note text, so that inflection, spelling and punctuation do not matter.

The same function serves the names of the store and the text of notes: what is changed is changed on
both sides, so a stem need not be a word ("diabetes" -> "diabete"), only the same for both.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# A word: letters or digits, kept together by inner apostrophes ("crohn's") and decimal points ("2.5"); "w/" and "w/o".
WORD = re.compile(r"(?<!\w)[wW]/(?:[oO](?!\w))?|[^\W_]+(?:['’.][^\W_]+)*", re.UNICODE)
_SHORT_FOR = {"w/": "with", "w/o": "without"}

_POSSESSIVE = re.compile(r"['’]s?$")

# Words that do not tell concepts apart when word order is ignored.
_EMPTY = frozenset(
    "the of a an and in on with to by for due unspecified nos nec specified elsewhere classified type".split()
)
_NUMERALS = {"i": "1", "ii": "2", "iii": "3", "iv": "4"}
_STAGED = frozenset({"type", "stage", "grade", "class"})

_SHORT = 2  # letters
_ABBREVIATION = 7  # letters; a longer name in capitals is a name that happens to be in capitals


_LONGEST_WORD = 64  # characters; longer ones are no words, and must not fill the cache
_NO_WORD = "\x00"  # equals no word of any name


@lru_cache(maxsize=1 << 18)
def _normalise_word(word: str) -> str:
    folded = unicodedata.normalize("NFKD", word).encode("ascii", "ignore").decode().lower()
    folded = _SHORT_FOR.get(folded) or _POSSESSIVE.sub("", folded).replace("'", "").replace(".", "")
    if not folded:  # a script without ASCII equivalents
        return _NO_WORD
    if len(folded) > 4:
        folded = folded.replace("ae", "e").replace("oe", "e")
        if folded.endswith("ies"):
            folded = folded[:-3] + "y"
        elif folded.endswith("s") and not folded.endswith(("ss", "us", "is")):
            folded = folded[:-1]
        if folded.endswith("our"):
            folded = folded[:-3] + "or"
    return folded


def normalise_word(word: str) -> str:
    """Return the normal form of one word: ASCII, lower case, American spelling, singular."""
    return _normalise_word(word) if len(word) <= _LONGEST_WORD else _NO_WORD


def normalise(text: str) -> str:
    """Return the normal form of a name or mention: its normalised words, joined by single spaces."""
    return " ".join([normalise_word(word) for word in WORD.findall(text)])


def content_words(words: list[str]) -> set[str]:
    """Return the words of a normal form that tell concepts apart; stages and types as numbers ("ii" is 2).

    At the end "a" is no article: vitamin A, hepatitis A.
    """
    if not _STAGED.isdisjoint(words):
        words = [
            _NUMERALS.get(word, word) if before in _STAGED else word
            for before, word in zip(["", *words], words, strict=False)
        ]
    return set(words) - _EMPTY | ({"a"} if words[-1:] == ["a"] else set())


def bag(key: str) -> str:
    """Return a normal form's content words in alphabetical order: the form for which word order does not matter."""
    return " ".join(sorted(content_words(key.split())))


def project(text: str) -> tuple[list[str], list[int], list[int]]:
    """Return a text's normalised words, and where each of them starts and ends in the text."""
    words: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for match in WORD.finditer(text):
        words.append(normalise_word(match.group()))
        starts.append(match.start())
        ends.append(match.end())
    return words, starts, ends


def is_abbreviation(name: str) -> bool:
    """Tell whether a name is an abbreviation: short, and with a capital that is not just its first letter."""
    letters = [character for character in name if character.isalpha()]
    if not letters or len(letters) > _ABBREVIATION or " " in name.strip():
        return False
    return any(character.isupper() for character in letters[1:]) or (len(letters) <= _SHORT and letters[0].isupper())
