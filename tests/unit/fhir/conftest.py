"""Builders of small coded notes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from fhir_coder.model import RXNORM, SNOMED, Assertion, Candidate, CodedNote, Coding, Entity, EntityType, Note

Make = Callable[..., Any]


@pytest.fixture
def make_entity() -> Make:
    """Return a builder: make_entity("HTN", at=3, code="38341003", certainty="possible", dose=5)."""

    def build(
        text: str,
        kind: EntityType = EntityType.DISEASE,
        *,
        at: int = 0,
        code: str | None = None,
        system: str | None = None,
        section: str | None = None,
        assertion: Assertion | None = None,
        **attributes: Any,
    ) -> Entity:
        codings: tuple[Coding, ...] = ()
        candidates: tuple[Candidate, ...] = ()
        if code:
            system = system or (RXNORM if kind is EntityType.MEDICATION else SNOMED)
            codings = (
                Coding(
                    system=system, code=code, display=text, version="2026", score=0.9, stage="exact", reason="the name"
                ),
            )
            candidates = tuple(
                Candidate(
                    system=system, code=each, display=text, version="2026", score=0.9, matched=text, stage="exact"
                )
                for each in (code, "999")
            )
        return Entity(
            text=text,
            start=at,
            end=at + len(text),
            type=kind,
            section=section,
            assertion=assertion or Assertion(),
            attributes=attributes,
            codings=codings,
            candidates=candidates,
        )

    return build


@pytest.fixture
def make_note() -> Make:
    """Return a builder of a CodedNote from entities; keywords go to the Note."""

    def build(*entities: Entity, **more: Any) -> CodedNote:
        given = {
            "text": "x" * 500,
            "subject": "Patient/7",
            "document": "DocumentReference/9",
            "date": datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
        }
        return CodedNote(note=Note(**(given | more)), entities=entities)

    return build
