"""What a benchmark asks: names of the loaded releases, as they are, misspelt, abbreviated and paraphrased.

Each query is made from a name of one concept, and the code of that concept is the only right answer. Names that several
concepts of the system share are left out, and so is what became another name by being changed. The words that are
abbreviated and paraphrased are those of `mappings/lookup_queries.csv`, which no stage of the linking reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from random import Random
from typing import NamedTuple

from fhir_coder.errors import BenchmarkError, TableError
from fhir_coder.model import CODE_SYSTEMS
from fhir_coder.tables import read_table, split
from fhir_coder.terminology.normalise import normalise
from fhir_coder.terminology.store import ConceptStore

_TABLE = "lookup_queries.csv"
_LONGEST = 200  # characters of a name; longer ones are no descriptions that anybody types
_TRIES = 60  # names looked at for each query that is wanted
_SECOND_TYPO = 0.3
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_BESIDE = {
    letter: row[max(0, at - 1) : at] + row[at + 1 : at + 2]
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for at, letter in enumerate(row)
}
_WORD = re.compile(r"[A-Za-z]{4,}")


class Kind(StrEnum):
    """How a query differs from the name that it was made from."""

    EXACT = "exact"
    MISSPELT = "misspelt"
    ABBREVIATED = "abbreviated"
    PARAPHRASED = "paraphrased"


MIX: Mapping[Kind, float] = {Kind.EXACT: 0.5, Kind.MISSPELT: 0.2, Kind.ABBREVIATED: 0.15, Kind.PARAPHRASED: 0.15}
"""The share of each kind."""


@dataclass(frozen=True, slots=True)
class Query:
    """A description, and the code that is the right answer."""

    kind: Kind
    system: str  # short name
    text: str
    code: str


class _Rewrite(NamedTuple):
    """Words, and what may stand instead of them."""

    words: re.Pattern[str]
    abbreviated: tuple[str, ...]
    paraphrased: tuple[str, ...]


def make_queries(store: ConceptStore, system: str, count: int, seed: int | str) -> list[Query]:
    """Return queries of one code system (short name), in the shares of `MIX`, in random order and none twice.

    The same seed makes the same ones. They are fewer where the names of a system do not give so many of a kind; the
    other kinds do not take its place.

    Raises `BenchmarkError` when the system has no names to ask for.
    """
    random = Random(seed)  # noqa: S311 - to be the same each time
    names = _Names(store, system, random)
    seen: set[str] = set()
    made = []
    for kind, share in MIX.items():
        made += _of_kind(names, kind, round(count * share), seen)
    if not made:
        raise BenchmarkError(f"{system}: no release with names is loaded")
    random.shuffle(made)
    return made


def _of_kind(names: _Names, kind: Kind, count: int, seen: set[str]) -> list[Query]:
    made: list[Query] = []
    for text, code in names.some(count * _TRIES):
        if len(made) == count:
            break
        changed = _CHANGES[kind](text, names.random)
        key = normalise(changed)
        if key in seen or not key:
            continue
        if names.codes(key) == ({code} if kind is Kind.EXACT else set()):
            seen.add(key)
            made.append(Query(kind, names.system, changed, code))
    return made


class _Names:
    """The names of the codes that may be chosen of one system, at random."""

    def __init__(self, store: ConceptStore, system: str, random: Random) -> None:
        self._store = store
        self._uri = CODE_SYSTEMS[system]
        self.system = system
        self.random = random

    def some(self, most: int) -> Iterator[tuple[str, str]]:
        """Yield up to `most` names, each with its code; a name may come twice."""
        base = self._store.base(self._uri)
        last = base.last_row() if base else 0
        if base is None or not last:
            return
        for _ in range(most):
            row = base.name(self.random.randint(1, last))
            if row.status == "active" and len(row.text) <= _LONGEST and "\n" not in row.text:
                yield row.text, row.code

    def codes(self, key: str) -> set[str]:
        """Return the codes that have a name with this normal form."""
        return {name.concept.code for name in self._store.names(key) if name.concept.system == self._uri}


def _same(text: str, _: Random) -> str:
    return text


def _misspelt(text: str, random: Random) -> str:
    """Return the text with a typo in a word of four letters or more, at times with two."""
    for _ in range(2 if random.random() < _SECOND_TYPO else 1):
        words = [match.span() for match in _WORD.finditer(text)]
        if not words:
            return text
        start, end = random.choice(words)
        text = text[:start] + _typo(text[start:end], random) + text[end:]
    return text


def _typo(word: str, random: Random) -> str:
    """Return the word with two letters exchanged, one left out, doubled, or struck on the next key."""
    at = random.randrange(1, len(word) - 1)
    match random.randrange(4):
        case 0:
            return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        case 1:
            return word[:at] + word[at + 1 :]
        case 2:
            return word[:at] + word[at] + word[at:]
        case _:
            return word[:at] + random.choice(_BESIDE.get(word[at].lower(), _LETTERS)) + word[at + 1 :]


def _abbreviated(text: str, random: Random) -> str:
    return _rewritten(text, random, lambda rewrite: rewrite.abbreviated)


def _paraphrased(text: str, random: Random) -> str:
    return _rewritten(text, random, lambda rewrite: rewrite.paraphrased)


def _rewritten(text: str, random: Random, choices: Callable[[_Rewrite], Sequence[str]]) -> str:
    """Return the text with all words replaced for which there is something, the longest phrases first."""
    kept: list[str] = []
    for rewrite in _rewrites():
        if instead := choices(rewrite):
            # What was put in is set aside: it is not to be replaced in turn.
            chosen = random.choice(instead)
            text, times = rewrite.words.subn(f"\0{len(kept)}\0", text)
            kept += [chosen] * bool(times)
    return re.sub("\0(\\d+)\0", lambda match: kept[int(match[1])], text)


@cache
def _rewrites() -> tuple[_Rewrite, ...]:
    """Return the rows of the table, those of most words first. Raises `TableError`."""
    rows = read_table(_TABLE, ("words", "abbreviated", "paraphrased"))
    found: dict[str, _Rewrite] = {}
    for row in rows:
        words, abbreviated, paraphrased = row["words"], split(row["abbreviated"]), split(row["paraphrased"])
        if not words or words != words.lower() or words in found or not (abbreviated or paraphrased):
            raise TableError(f"mappings/{_TABLE}: {words!r} stands there twice, in capitals, or for nothing")
        pattern = re.compile(rf"(?<![\w-]){re.escape(words)}(?![\w-])", re.IGNORECASE)
        found[words] = _Rewrite(pattern, abbreviated, paraphrased)
    return tuple(found[words] for words in sorted(found, key=lambda words: (-len(words), words)))


_CHANGES: Mapping[Kind, Callable[[str, Random], str]] = {
    Kind.EXACT: _same,
    Kind.MISSPELT: _misspelt,
    Kind.ABBREVIATED: _abbreviated,
    Kind.PARAPHRASED: _paraphrased,
}
