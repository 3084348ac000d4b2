"""Unannotated notes, marked by the dictionary: what real notes look like, for a model that has seen none annotated.

The marks are not sure: a name may be a part of a longer one, and what has no name is not marked. So they weigh less,
and only words that are hardly ever marked are taken for nothing (`targets.plain_words`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from fhir_coder.corpora.annotated import AnnotatedNote, Annotation
from fhir_coder.errors import TrainingError
from fhir_coder.model import TEST_TYPES, EntityType
from fhir_coder.nlp.reader import Reader
from fhir_coder.training.targets import TYPES, Corpus, plain_words

_RECOGNISED = {EntityType.VITAL_SIGN: EntityType.LAB_TEST}  # the recogniser's types have no vital signs


def silver(folder: Path, reader: Reader, annotated: Sequence[Corpus]) -> Corpus:
    """Return the `*.txt` of a folder (UTF-8) as a corpus. Raises `TrainingError` when there are none."""
    notes = list(_notes(folder, reader))
    if not notes:
        raise TrainingError(f"{folder} holds no .txt files: name the folder of the unannotated notes")
    return Corpus(name=folder.name, notes=notes, types=frozenset(TYPES), plain_words=plain_words(annotated))


def _notes(folder: Path, reader: Reader) -> Iterator[AnnotatedNote]:
    for path in sorted(folder.glob("*.txt")):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TrainingError(f"{path} cannot be read: {error}") from error
        entities = (reading.entity for reading in reader.read(text)[1] if reading.ambiguous is None)
        marks = (
            Annotation(start=one.start, end=one.end, label=str(one.type), type=_RECOGNISED.get(one.type, one.type))
            for one in entities
            # Without a value, what the dictionary calls a test may be a substance.
            if one.type not in TEST_TYPES or "value" in one.attributes
        )
        yield AnnotatedNote(id=path.stem, text=text, annotations=tuple(marks))
