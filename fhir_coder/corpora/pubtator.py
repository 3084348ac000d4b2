"""PubTator: `id|t|title`, `id|a|abstract`, and under them annotations separated by TABs; blank lines between notes.

https://www.ncbi.nlm.nih.gov/research/pubtator3/tutorial; BC5CDR (Li 2016), NCBI Disease (Dogan 2014) and BioRED (Luo
2022) are published so. Offsets count title and abstract with one character between them. Lines of relations (the second
column is no number) are no annotations and are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fhir_coder.corpora.annotated import AnnotatedNote
from fhir_coder.corpora.source import Marked, Rules, note, numbered_lines
from fhir_coder.errors import CorpusError

TITLE = re.compile(r"([^|\t]{1,200})\|t\|(.*)", re.DOTALL)
_ABSTRACT = re.compile(r"([^|\t]{1,200})\|a\|(.*)", re.DOTALL)
_NUMBER = re.compile(r"[0-9]{1,9}")
_SEVERAL_IDS = re.compile(r"(?:[A-Z]+:)?[A-Z]?[0-9]{4,}(?:[|+](?:[A-Z]+:)?[A-Z]?[0-9]{4,})+")  # not "c|DEL||32"
_NO_ID = {"", "-", "-1"}


@dataclass(slots=True)
class _Record:
    id: str
    place: str
    title: str
    abstract: str = ""
    marked: list[tuple[Marked, str]] = field(default_factory=list)


def read(path: Path, rules: Rules) -> Iterator[AnnotatedNote]:
    """Yield the notes of a PubTator file. Raises `CorpusError`."""
    record: _Record | None = None
    for number, line in numbered_lines(path):
        place = f"{path.name}:{number}"
        if title := TITLE.fullmatch(line):
            if record:
                yield _note(record, rules)
            record = _Record(title[1], place, title[2])
        elif not line.strip():
            continue
        elif record is None:
            raise CorpusError("the file does not begin with a title (id|t|...)", place=place)
        elif abstract := _ABSTRACT.fullmatch(line):
            record.abstract = abstract[2]
        else:
            _take(record, line.split("\t"), place, rules)
    if record:
        yield _note(record, rules)


def _take(record: _Record, cells: list[str], place: str, rules: Rules) -> None:
    if cells[0] != record.id:
        rules.refuse("the line belongs to another note than the one it stands under", place)
    elif len(cells) in (4, 5) and not _NUMBER.fullmatch(cells[1]):
        return  # a relation
    elif len(cells) < 5 or not (_NUMBER.fullmatch(cells[1]) and _NUMBER.fullmatch(cells[2])):
        rules.refuse("neither an annotation (id, start, end, words, label, code) nor a relation", place)
    else:
        codes = _codes(cells[5]) if len(cells) > 5 else ()
        marked = Marked(start=int(cells[1]), end=int(cells[2]), written=cells[3], label=cells[4], codes=codes)
        record.marked.append((marked, place))


def _codes(cell: str) -> tuple[str, ...]:
    parts = re.split(r"[|+]", cell) if _SEVERAL_IDS.fullmatch(cell) else cell.split(",")
    return tuple(part.strip() for part in parts if part.strip() not in _NO_ID)


def _note(record: _Record, rules: Rules) -> AnnotatedNote:
    # A line feed between title and abstract, so that no sentence runs over both. Offsets are the
    # same as with a space, and words are compared without regard to which white space is between them.
    text = f"{record.title}\n{record.abstract}"
    found = [rules.annotation(text, marked, place) for marked, place in record.marked]
    return note(record.id, text, found, record.place)
