"""READ FIRST in this folder. A note with what a person says is in it; every reader makes these."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_coder.model import Assertion, EntityType


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """A span that a person marked: `note.text[start:end]`. Of a discontinuous one, the first to the last character."""

    start: int
    end: int
    label: str  # as the corpus has it
    type: EntityType | None  # None: a label that we have no type for
    assertion: Assertion | None = None  # None: the corpus does not say
    codes: tuple[str, ...] = ()  # as the corpus has them: "MESH:D003920"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedNote:
    """A note with its annotations, in the order of their start."""

    id: str
    text: str
    annotations: tuple[Annotation, ...] = ()
    codes: tuple[str, ...] = ()  # of the whole document
