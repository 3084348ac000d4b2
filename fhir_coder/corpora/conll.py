"""CoNLL: a token and its tag per line (IOB1, IOB2, IOBES, BILOU), a blank line after a sentence.

Tjong Kim Sang and De Meulder 2003. The token is the first column, the tag the last; TABs separate the columns,
or spaces where a line has no TAB. -DOCSTART- begins a note; in a file without it every sentence is a note. The text is
rebuilt: one space between tokens, a line feed between sentences.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fhir_coder.corpora.annotated import AnnotatedNote
from fhir_coder.corpora.source import Marked, Rules, note, numbered_lines
from fhir_coder.errors import CorpusError

_TAG = re.compile(r"([BIESLU])-(\S+)|O")
_BEGINS = "BSU"
_ENDS = "ESLU"


@dataclass(slots=True)
class _Sentence:
    """Tokens as (token, tag, line)."""

    tokens: list[tuple[str, str, int]] = field(default_factory=list)


def read(path: Path, rules: Rules) -> Iterator[AnnotatedNote]:
    """Yield the notes of a CoNLL file. Raises `CorpusError`."""
    sentences: list[_Sentence] = [_Sentence()]
    document = 0  # how many -DOCSTART- were read
    for number, line in numbered_lines(path):
        if line.startswith("-DOCSTART-"):
            if any(sentence.tokens for sentence in sentences):
                yield _note(path, sentences, rules)
            sentences = [_Sentence()]
            document += 1
        elif line.strip():
            sentences[-1].tokens.append(_token(line, path, number))
        elif sentences[-1].tokens:
            if document:
                sentences.append(_Sentence())
            else:
                yield _note(path, sentences, rules)
                sentences = [_Sentence()]
    if any(sentence.tokens for sentence in sentences):
        yield _note(path, sentences, rules)


def _token(line: str, path: Path, number: int) -> tuple[str, str, int]:
    cells = line.split("\t") if "\t" in line else line.split()
    if len(cells) < 2 or not cells[0] or not _TAG.fullmatch(cells[-1].strip()):
        raise CorpusError("not a token and its tag (O, B-..., I-..., E-..., S-...)", place=f"{path.name}:{number}")
    return cells[0], cells[-1].strip(), number


def _note(path: Path, sentences: list[_Sentence], rules: Rules) -> AnnotatedNote:
    text = ""
    marked: list[tuple[Marked, int]] = []
    for sentence in filter(lambda one: one.tokens, sentences):
        text += "\n" if text else ""
        open_: tuple[str, int, int] | None = None  # label, start, line of the span that goes on
        end = len(text)
        for position, (token, tag, number) in enumerate(sentence.tokens):
            start = len(text) + (position > 0)
            kind, _, label = tag.partition("-")
            if open_ and (kind == "O" or kind in _BEGINS or label != open_[0]):
                marked.append((Marked(start=open_[1], end=end, label=open_[0]), open_[2]))
                open_ = None
            text += f" {token}" if position else token
            end = len(text)
            if kind != "O" and open_ is None:
                open_ = (label, start, number)
            if open_ and kind in _ENDS:
                marked.append((Marked(start=open_[1], end=end, label=label), open_[2]))
                open_ = None
        if open_:
            marked.append((Marked(start=open_[1], end=end, label=open_[0]), open_[2]))
    first = next(sentence.tokens[0][2] for sentence in sentences if sentence.tokens)
    place = f"{path.name}:{first}"
    found = [rules.annotation(text, one, f"{path.name}:{number}") for one, number in marked]
    return note(place, text, found, place)
