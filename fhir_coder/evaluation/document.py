"""One note, what a person says is in it beside what was found: all that the figures are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fhir_coder.corpora.annotated import AnnotatedNote
from fhir_coder.model import ICD10CM, Assertion, CodedNote, Entity, EntityType


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A span under the name of the type it is counted as."""

    start: int
    end: int
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What is compared. `assertions` are those (annotated, found) of annotations that an entity overlaps."""

    text: str
    annotated: tuple[Span, ...]
    found: tuple[Span, ...]
    assertions: tuple[tuple[Assertion, Assertion], ...]
    asserted: int  # annotations of which the corpus says what is asserted
    codes: tuple[str, ...]
    ranked: tuple[str, ...]  # codes found, the best first


def document(note: AnnotatedNote, coded: CodedNote, counted: Mapping[EntityType, str]) -> Document:
    """Return a note as it is compared, without types that are not counted; what is there twice is there once."""
    asserted = [one for one in note.annotations if one.assertion is not None]
    pairs = []
    for one in asserted:
        entity = _overlapping(one.start, one.end, coded.entities)
        if entity and one.assertion:
            pairs.append((one.assertion, entity.assertion))
    return Document(
        text=note.text,
        annotated=_spans(((one.start, one.end, one.type) for one in note.annotations), counted),
        found=_spans(((one.start, one.end, one.type) for one in coded.entities), counted),
        assertions=tuple(pairs),
        asserted=len(asserted),
        codes=note.codes,
        ranked=_ranked(coded.entities),
    )


def _spans(found: Iterable[tuple[int, int, EntityType | None]], counted: Mapping[EntityType, str]) -> tuple[Span, ...]:
    return tuple(
        sorted({Span(start, end, counted[type_]) for start, end, type_ in found if type_ and type_ in counted})
    )


def _overlapping(start: int, end: int, entities: Iterable[Entity]) -> Entity | None:
    """Return the entity, of whatever type, that has most of the span."""
    shared = [(min(end, one.end) - max(start, one.start), one) for one in entities]
    most, entity = max(shared, key=lambda pair: pair[0], default=(0, None))
    return entity if most > 0 else None


def _ranked(entities: Iterable[Entity]) -> tuple[str, ...]:
    """Return the ICD-10-CM codes of what the patient has or may have, by score, then by how often, then by place."""
    ranks: dict[str, tuple[float, int, int]] = {}
    for entity in entities:
        said, coding = entity.assertion, entity.coding(ICD10CM)
        is_had = not said.negated and said.certainty != "hypothetical" and said.temporality != "future"
        if coding and is_had and said.experiencer == "patient":
            score, mentions, place = ranks.get(coding.code, (0.0, 0, -entity.start))
            ranks[coding.code] = (max(score, coding.score), mentions + 1, place)
    return tuple(sorted(ranks, key=lambda code: ranks[code], reverse=True))
