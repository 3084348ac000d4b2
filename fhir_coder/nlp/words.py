"""The words of a text, the pieces that a model reads them in, and the windows that it reads at once.

A word is a run of letters and digits, or of one punctuation mark. Everything here takes time in proportion to the
text: a word longer than `LONGEST` characters is not read, and no more than `_MOST_PIECES` pieces of any other.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from fhir_coder.errors import SettingsError
from fhir_coder.hugging_face import set_environment

LONGEST = 50  # characters of a word; longer ones are sequences, keys or noise
_MOST_PIECES = 12
_REMEMBERED = 100_000  # words whose pieces are kept
_BLOCK = 20_000  # characters that are taken apart at once, so that a text of 10 MB needs little memory
_SEARCHED = 2_000  # characters before the end of a block in which a good place to end it is looked for
_WORD = re.compile(r"[^\W_]+|([^\w\s]|_)\1*")
_LETTER = re.compile(r"[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Window:
    """Words `first` to `last` (exclusive) are read at once; those from `own_first` to `own_last` are judged by it."""

    first: int
    last: int
    own_first: int
    own_last: int


@dataclass(frozen=True, slots=True)
class Words:
    """Words of a text: where they stand, as they are given to the model, and after which of them a sentence may end.

    `breaks` holds the position of the word that follows.
    """

    starts: Sequence[int]
    ends: Sequence[int]
    texts: Sequence[str]
    breaks: Sequence[int]


def blocks(text: str) -> Iterator[tuple[int, int]]:
    """Yield the parts of a text that are taken apart at once: all of it, unless it is very long."""
    start = 0
    while len(text) - start > _BLOCK:
        limit = start + _BLOCK
        end = text.rfind("\n", limit - _SEARCHED, limit) + 1 or text.rfind(" ", limit - _SEARCHED, limit) + 1 or limit
        yield start, end
        start = end
    yield start, len(text)


def read_words(text: str, start: int = 0, end: int | None = None) -> Words:
    """Return the words of `text[start:end]`; offsets are those of the text."""
    starts: list[int] = []
    ends: list[int] = []
    texts: list[str] = []
    breaks: list[int] = []
    previous = start  # end of the word before
    stop = False  # whether the word before ends a sentence
    for match in _WORD.finditer(text, start, len(text) if end is None else end):
        first, last = match.span()
        mark = match[1]
        if mark is None and last - first > LONGEST:
            _add_break(breaks, len(starts))
            previous, stop = last, False
            continue
        if starts:
            gap = text[previous:first]
            if "\n" in gap:
                if stop or "\n" in gap[gap.index("\n") + 1 :] or not text[first].islower():
                    _add_break(breaks, len(starts))
            elif stop and gap and not text[first].islower():
                _add_break(breaks, len(starts))
        stop = mark in (".", "!", "?", ";") and (len(ends) == 0 or ends[-1] - starts[-1] > 2)
        starts.append(first)
        ends.append(last)
        # The space before it belongs to a word for tokenizers of the GPT and RoBERTa kind; the others ignore it.
        space = " " if first > previous else ""
        texts.append(space + (text[first:last] if mark is None else mark))
        previous = last
    return Words(starts, ends, texts, breaks)


def _add_break(breaks: list[int], position: int) -> None:
    if position and (not breaks or breaks[-1] != position):
        breaks.append(position)


def windows(words: Words, sizes: Sequence[int], length: int, overlap: int) -> list[list[Window]]:
    """Return the windows over the words, at most `length` pieces each, in groups that can be judged on their own.

    A window ends where a sentence may end, if that is in its second half. Where there is no such place, the next one
    begins `overlap` pieces before its end, and the words of both belong to the one whose edge is further away.
    """
    before = [0, *accumulate(sizes)]
    groups: list[list[Window]] = []
    group: list[Window] = []
    first = own = 0
    while first < len(sizes):
        last = bisect_right(before, before[first] + length) - 1
        if last < len(sizes):
            place = bisect_right(words.breaks, last) - 1
            middle = bisect_left(before, before[first] + length // 2)
            if place >= 0 and words.breaks[place] > max(middle, own):
                last = words.breaks[place]
                group.append(Window(first, last, own, last))
                groups.append(group)
                group = []
                first = own = last
                continue
            following = max(bisect_left(before, before[last] - overlap), first + 1)
            own_last = max((following + last) // 2, own)
            if own < own_last:  # a window before a long word may end where the one before it did
                group.append(Window(first, last, own, own_last))
            first, own = following, own_last
        else:
            group.append(Window(first, len(sizes), own, len(sizes)))
            break
    return [*groups, group] if group else groups


class Pieces:
    """The pieces of words, by the tokenizer of a model's folder.

    Raises `SettingsError` when the folder holds no tokenizer.
    """

    def __init__(self, folder: Path) -> None:
        self._tokenizer = _tokenizer(folder)
        framed = self._tokenizer.encode("").ids
        self.begin: int = framed[0] if framed else 0
        self.end: int = framed[-1] if framed else 0
        self._known: dict[str, tuple[int, ...]] = {}

    def of(self, word: str) -> tuple[int, ...]:
        """Return the pieces of a word."""
        known = self._known.get(word)
        if known is None:
            known = tuple(self._tokenizer.encode(word, add_special_tokens=False).ids[:_MOST_PIECES])
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[word] = known
        return known

    def save(self, folder: Path) -> None:
        """Write the tokenizer into a model's folder."""
        self._tokenizer.save(str(folder / "tokenizer.json"))


def _tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        if (folder / "tokenizer.json").is_file():
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        else:  # older models have a vocabulary in a format of their own
            set_environment()
            from transformers import AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer
    except Exception as error:  # tokenizers raises bare Exception
        raise SettingsError(f"setting recogniser: no tokenizer can be loaded from {folder}: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def is_readable(words: Words, window: Window) -> bool:
    """Tell whether a window holds a Latin letter; all else (rows of digits, rules, emoji) names nothing."""
    return any(map(_LETTER.search, words.texts[window.first : window.last]))
