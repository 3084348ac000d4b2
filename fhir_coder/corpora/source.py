"""What every reader needs: files read within bounds, labels given their types, offsets checked against the text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fhir_coder.corpora.annotated import AnnotatedNote, Annotation
from fhir_coder.corpora.labels import label_types
from fhir_coder.errors import CorpusError
from fhir_coder.model import Assertion, EntityType

MAX_FILE_BYTES = 200_000_000
MAX_NOTE_CHARS = 1_000_000
MAX_FILES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """A span as a file has it, before it is checked. `end` is after its last character."""

    start: int
    end: int
    label: str
    written: str | None = None  # the words that the file says stand there; None: it does not say
    pieces: tuple[tuple[int, int], ...] = ()  # of a discontinuous one
    assertion: Assertion | None = None
    codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """How to read: types of labels besides those of the table, and where faults go."""

    labels: Mapping[str, EntityType | None] = field(default_factory=dict)
    faults: list[str] | None = None  # None: the first fault ends the reading

    def refuse(self, message: str, place: str) -> None:
        """Raise `CorpusError`, or note the fault and go on without what is wrong."""
        if self.faults is None:
            raise CorpusError(message, place=place)
        self.faults.append(f"{place}: {message}")

    def annotation(self, text: str, marked: Marked, place: str) -> Annotation | None:
        """Return the span as an annotation of the text, or None when it is faulty and faults do not end the reading.

        Raises `CorpusError`.
        """
        if marked.label in self.labels:
            type_ = self.labels[marked.label]
        elif (types := label_types().get(marked.label.casefold())) is not None:
            type_ = types[0] if types else None
        else:
            self.refuse("the label is neither in mappings/corpus_labels.csv nor among the labels given", place)
            return None
        pieces = marked.pieces or ((marked.start, marked.end),)
        if not all(0 <= start < end <= len(text) for start, end in pieces):
            self.refuse(f"span {marked.start}-{marked.end} is not inside the text ({len(text)} characters)", place)
            return None
        found = " ".join(text[start:end] for start, end in pieces)
        if marked.written is not None and found.split() != marked.written.split():
            self.refuse(f"the words at {marked.start}-{marked.end} are not those that the file gives", place)
            return None
        return Annotation(
            start=marked.start,
            end=marked.end,
            label=marked.label,
            type=type_,
            assertion=marked.assertion,
            codes=marked.codes,
        )


def note(id_: str, text: str, found: list[Annotation | None], place: str, codes: tuple[str, ...] = ()) -> AnnotatedNote:
    """Return a note, its annotations in order. Raises `CorpusError` when the text is too long."""
    if len(text) > MAX_NOTE_CHARS:
        raise CorpusError(f"a note of {len(text):,} characters; {MAX_NOTE_CHARS:,} are read", place=place)
    kept = sorted((one for one in found if one), key=lambda one: (one.start, one.end, one.label))
    return AnnotatedNote(id=id_, text=text, annotations=tuple(kept), codes=codes)


def read_bytes(path: Path) -> bytes:
    """Return a file. Raises `CorpusError` when it cannot be read or is too large."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CorpusError(error.strerror or "cannot be read", place=path.name) from error
    if len(content) > MAX_FILE_BYTES:
        raise CorpusError(f"more than {MAX_FILE_BYTES:,} bytes; split the file", place=path.name)
    return content


def read_text(path: Path) -> str:
    """Return a file as text, its line ends as they are. Raises `CorpusError`."""
    content = read_bytes(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CorpusError("not UTF-8", place=f"{path.name}:{line}") from error


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (number, line without its end). Only line feeds end lines: notes hold other separators. `CorpusError`."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        yield number, line.removesuffix("\r")


def files_in(folder: Path, pattern: str) -> list[Path]:
    """Return the files of a folder by name. Raises `CorpusError` when there are too many."""
    found = sorted(folder.glob(pattern))
    if len(found) > MAX_FILES:
        raise CorpusError(f"{len(found):,} files; {MAX_FILES:,} are read", place=folder.name)
    return found
