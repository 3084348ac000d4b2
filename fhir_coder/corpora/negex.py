"""The sentences of NegEx and ConText: tables of concept, sentence, and what the sentence asserts of the concept.

github.com/chapmanbe/negex (Chapman 2001, Harkema 2009). A row is a note. The concept stands in capitals in its
sentence; a few were cut off by the authors' sentence splitter, and such a row has no annotation.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from fhir_coder.corpora.annotated import AnnotatedNote, Annotation
from fhir_coder.corpora.labels import assertion_values, read_assertion
from fhir_coder.corpora.source import Marked, Rules, note, read_text
from fhir_coder.errors import CorpusError

NEEDED = {"concept", "sentence", "negation"}
_SAID = ("negation", "temporality", "experiencer")


def columns(header: str) -> list[str]:
    """Return the columns of a table's first line."""
    return [cell.strip().casefold() for cell in header.strip().split("\t")]


def read(path: Path, rules: Rules) -> Iterator[AnnotatedNote]:
    """Yield a note per row. Raises `CorpusError`."""
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter="\t")
    line = 1
    try:
        header = columns("\t".join(next(reader, [])))
        if not set(header) >= NEEDED:
            raise CorpusError(f"the columns {', '.join(sorted(NEEDED))} are needed", place=f"{path.name}:1")
        for cells in reader:
            place = f"{path.name}:{line + 1}"
            line = reader.line_num
            if cells:
                if len(cells) != len(header):
                    raise CorpusError(f"{len(cells)} cells, expected {len(header)}", place=place)
                yield _note(dict(zip(header, cells, strict=True)), place, rules)
    except csv.Error as error:
        raise CorpusError(str(error), place=f"{path.name}:{line + 1}") from error


def _note(row: dict[str, str], place: str, rules: Rules) -> AnnotatedNote:
    text = row["sentence"]
    attributes = [(name, row[name].strip()) for name in _SAID if name in row]
    span = _find(row["concept"], text)
    found: list[Annotation | None] = []
    if any((name, value.casefold()) not in assertion_values() for name, value in attributes):
        rules.refuse("an assertion that is not in mappings/corpus_assertions.csv", place)
    elif span:
        marked = Marked(start=span[0], end=span[1], label="Concept", assertion=read_assertion(attributes))
        found.append(rules.annotation(text, marked, place))
    return note(place, text, found, place)


def _find(concept: str, sentence: str) -> tuple[int, int] | None:
    """Return where the concept stands: in capitals, else as it is first found."""
    words = concept.split()
    if not words:
        return None
    capitals, any_case = (
        re.compile(r"\s+".join(map(re.escape, written)), flags)
        for written, flags in (([word.upper() for word in words], 0), (words, re.IGNORECASE))
    )
    match = capitals.search(sentence) or any_case.search(sentence)
    return match.span() if match else None
