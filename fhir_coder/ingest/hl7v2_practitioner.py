"""The people of an HL7 v2 message: authors, authenticators, those who treat.

Source: HL7 Version 2 to FHIR guide 1.0.0, XCN and CNN data type maps.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_coder.ingest.hl7v2 import Message, Segment
from fhir_coder.ingest.hl7v2_types import Json, cx, entry, filled, human_name, present


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is named: how others refer to him, and his Practitioner where he has an identifier."""

    reference: Json
    entry: Json | None = None


def people(message: Message, segment: Segment | None, number: int) -> tuple[Person, ...]:
    """Return those of an XCN field: 1 id, 2-6 name, 9 assigning authority (else the sender), 13 type of the id."""
    return tuple(
        person for raw in message.repetitions(segment, number) if (person := _person(message, raw)) is not None
    )


def people_in_subcomponents(message: Message, segment: Segment | None, number: int) -> tuple[Person, ...]:
    """Return those of an NDL field, whose first component is a CNN: 1 id, 2-6 name, 9 assigning authority."""
    marks = message.delimiters
    swapped = str.maketrans({marks.subcomponent: marks.component})
    # The subcomponents of a CNN are the components of an XCN, but for the type of its id.
    raws = (raw.split(marks.component, 1)[0].translate(swapped) for raw in message.repetitions(segment, number))
    return tuple(person for raw in raws if (person := _person(message, raw)) is not None)


def entries_of(persons: tuple[Person, ...]) -> list[Json]:
    """Return the Practitioners, each once."""
    found = {person.entry["fullUrl"]: person.entry for person in persons if person.entry is not None}
    return list(found.values())


def _person(message: Message, raw: str) -> Person | None:
    identifier = cx(message, raw, authority_at=9, type_at=13)
    name = human_name(message, raw, 2)
    display = " ".join((*name.get("given", [])[:1], name["family"])) if "family" in name else ""
    if "value" not in identifier:
        return Person({"display": display}) if display else None
    if "system" not in identifier:
        return Person(filled({"identifier": {"value": identifier["value"]}, "display": display}))
    resource = {"resourceType": "Practitioner", "identifier": [identifier], "name": present([name])}
    made = entry(filled(resource), identifier)
    return Person(filled({"reference": made["fullUrl"], "display": display}), made)
