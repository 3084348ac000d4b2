"""A coded note for people and programs: a table for the terminal, and the JSON of the command line and `/v1/code`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from fhir_coder.model import CODE_SYSTEMS, Candidate, CodedNote, Entity, Relation, Words

_SHORT_NAMES = {uri: name for name, uri in CODE_SYSTEMS.items()}


def as_dict(coded: CodedNote) -> dict[str, Any]:
    """Return a coded note as plain JSON data: note, sections, entities, relations, remarks."""
    note = coded.note
    return {
        "note": {
            "id": note.id,
            "subject": note.subject,
            "encounter": note.encounter,
            "document": note.document,
            "date": note.date.isoformat() if note.date else None,
            "text": note.text,
            "attachment": note.attachment,
            "origins": [asdict(origin) for origin in note.origins],
            "passed_over": [asdict(each) for each in note.passed_over],
        },
        "sections": [asdict(section) for section in coded.sections],
        "entities": [_entity(entity) for entity in coded.entities],
        "relations": [_relation(relation) for relation in coded.relations],
        "remarks": [asdict(remark) for remark in coded.remarks],
    }


def table(coded: CodedNote) -> Table:
    """Return a table of the entities: span, type, assertion, system, code, display, score."""
    title = Text(coded.note.id) if coded.note.id else None
    result = Table(title=title, title_justify="left", header_style="bold", expand=False)
    for column, options in _COLUMNS.items():
        result.add_column(column, **options)
    for entity in coded.entities:
        for row in _rows(entity):
            result.add_row(*row)
    return result


_COLUMNS: dict[str, dict[str, Any]] = {
    "Span": {"justify": "right", "no_wrap": True},
    "Text": {"max_width": 30},
    "Type": {"no_wrap": True},
    "Assertion": {"max_width": 22},
    "System": {"no_wrap": True},
    "Code": {"no_wrap": True},
    "Display": {"max_width": 44},
    "Score": {"justify": "right", "no_wrap": True},
}


def _rows(entity: Entity) -> list[tuple[Text, ...]]:
    said = _said(entity)
    words = f"{entity.text} ({said})" if said else entity.text
    first = (f"{entity.start}-{entity.end}", " ".join(words.split()), entity.type.value, assertion_words(entity))
    if not entity.codings:
        return [_texts(*first, "", "-", entity.abstained or "", "")]
    rows = []
    for position, coding in enumerate(entity.codings):
        left = first if position == 0 else ("", "", "", "")
        system = _SHORT_NAMES.get(coding.system, coding.system)
        rows.append(_texts(*left, system, coding.code, coding.display, f"{coding.score:.2f}"))
    return rows


def _texts(*cells: str) -> tuple[Text, ...]:
    return tuple(Text(cell) for cell in cells)


def assertion_words(entity: Entity) -> str:
    """Return what is asserted of an entity in a few words: "negated", "family: mother", "present"."""
    assertion = entity.assertion
    words = []
    if assertion.experiencer != "patient":
        relative = entity.attributes.get("relative")
        words.append(f"{assertion.experiencer}: {relative}" if relative else assertion.experiencer)
    if assertion.negated:
        words.append("negated")
    if assertion.certainty != "certain":
        words.append(assertion.certainty)
    if assertion.temporality != "current":
        words.append(assertion.temporality)
    if entity.attributes.get("allergy"):
        words.append("allergy")
    return ", ".join(words) or "present"


def _said(entity: Entity) -> str:
    """Return the value of a test or the dosage of a medication in words."""
    attributes = entity.attributes
    if "systolic" in attributes:
        return f"{attributes['systolic']}/{attributes['diastolic']} {attributes['unit']}"
    if "value" in attributes:
        return f"{attributes.get('comparator', '')}{attributes['value']} {attributes.get('unit', '')}".strip()
    return str(attributes.get("value_text") or attributes.get("sig") or "")


def _entity(entity: Entity) -> dict[str, Any]:
    return {
        "text": entity.text,
        "start": entity.start,
        "end": entity.end,
        "type": entity.type.value,
        "section": entity.section,
        "assertion": asdict(entity.assertion),
        "cues": [asdict(cue) for cue in entity.cues],
        "attributes": dict(entity.attributes),
        "codings": [asdict(coding) for coding in entity.codings],
        "candidates": [asdict(candidate) for candidate in entity.candidates],
        "abstained": entity.abstained,
    }


def _relation(relation: Relation) -> dict[str, Any]:
    return {
        "subject": _span(relation.subject),
        "predicate": relation.predicate,
        "object": _span(relation.object),
        "score": relation.score,
    }


def _span(end: Entity | Words) -> dict[str, Any]:
    return {"text": end.text, "start": end.start, "end": end.end}


def candidate_table(text: str, candidates: tuple[Candidate, ...]) -> Table:
    """Return a table of the candidates of a lookup."""
    result = Table(title=Text(text), title_justify="left", header_style="bold")
    for column in ("Code", "Display", "Matched", "Stage"):
        result.add_column(column)
    result.add_column("Score", justify="right")
    for found in candidates:
        result.add_row(*_texts(found.code, found.display, found.matched, found.stage, f"{found.score:.2f}"))
    return result
