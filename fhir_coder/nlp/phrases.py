"""Fixed phrases of a table ("twice daily", "by mouth", "mg/dL"), found in text whatever its case and spacing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from ahocorasick_rs import AhoCorasick, Implementation, MatchKind

Meaning = TypeVar("Meaning")


@dataclass(frozen=True, slots=True)
class Phrase(Generic[Meaning]):
    """A phrase that was found: its span, and what the table says it means."""

    start: int
    end: int
    meaning: Meaning


class Phrases(Generic[Meaning]):
    """A table of phrases. Of several at one place the longest counts; a phrase never ends inside a word."""

    def __init__(self, meanings: Mapping[str, Meaning]) -> None:
        self._meanings: dict[str, Meaning] = {}
        for name, meaning in meanings.items():
            self._meanings.setdefault(_folded(name), meaning)
        self._names = list(self._meanings)
        self._longest = max(map(len, self._names))
        self._matcher = AhoCorasick(
            self._names, matchkind=MatchKind.Standard, implementation=Implementation.ContiguousNFA
        )

    def search(self, text: str) -> Phrase[Meaning] | None:
        """Return the first phrase in a text, or None."""
        folded = _folded(text)
        best = None
        for pattern, start, end in self._matcher.find_matches_as_indexes(folded, overlapping=True):
            if _is_inside_word(folded, start, end) or (best and (start, -end) >= (best[1], -best[2])):
                continue
            best = (pattern, start, end)
        return Phrase(best[1], best[2], self._meanings[self._names[best[0]]]) if best else None

    def find_all(self, text: str) -> list[Phrase[Meaning]]:
        """Return all phrases of a text, in order; of those that overlap the first, then the longest."""
        folded = _folded(text)
        found = [
            (start, -end, pattern)
            for pattern, start, end in self._matcher.find_matches_as_indexes(folded, overlapping=True)
            if not _is_inside_word(folded, start, end)
        ]
        phrases: list[Phrase[Meaning]] = []
        taken = 0
        for start, end, pattern in sorted(found):
            if start >= taken:
                taken = -end
                phrases.append(Phrase(start, taken, self._meanings[self._names[pattern]]))
        return phrases

    def at(self, text: str, start: int) -> Phrase[Meaning] | None:
        """Return the longest phrase that begins at `start`, or None."""
        folded = _folded(text[start : start + self._longest + 1])
        for length in range(min(self._longest, len(folded)), 0, -1):
            meaning = self._meanings.get(folded[:length])
            if meaning is not None and not _is_inside_word(folded, 0, length):
                return Phrase(start, start + length, meaning)
        return None


_SPACES = {code: " " for code in range(0x3001) if chr(code).isspace()}  # U+3000 is the last of them


def _folded(text: str) -> str:
    """Return a text of the same length in lower case with plain spaces."""
    folded = text.lower().translate(_SPACES)
    # A few capitals have a longer lower case ("İ"): offsets must hold, so such a text keeps its case.
    return folded if len(folded) == len(text) else text


def _is_inside_word(text: str, start: int, end: int) -> bool:
    before, after = text[start - 1 : start] if start else "", text[end : end + 1]
    begins_inside = before.isalnum() and text[start].isalnum()
    return begins_inside or (text[end - 1].isalnum() and (after.isalnum() or after == "/"))
