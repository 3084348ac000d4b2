"""What stands in a message and nothing is made of: the report of what was not mapped.

`mappings/hl7v2_fields.csv` names each field that is read and the FHIR element that it goes into; every other one
that holds a value is reported by its place ("PID-10", "ZPI-2"), never by its value.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from fhir_coder.errors import TableError
from fhir_coder.ingest.hl7v2 import Message
from fhir_coder.tables import read_table

_TABLE = "hl7v2_fields.csv"
_MOST_FIELDS = 60  # more than any segment of the standard has


def unmapped_fields(message: Message) -> tuple[str, ...]:
    """Return the places of the fields with values that nothing is made of, each once, in order.

    Raises `TableError` when the table is wrong.
    """
    taken = _taken()
    nothing: frozenset[int] = frozenset()
    found: dict[str, None] = {}
    for segment in message.segments:
        known = taken.get(segment.name, nothing)
        for number, value in enumerate(segment.fields, start=1):
            if value and number not in known and value != '""':
                found[f"{segment.name}-{number}"] = None
    return tuple(found)


def counted_place(place: str) -> str:
    """Return a place as it may be counted for long: that of a segment that is read, else "other".

    Any name and number may come in; what is counted must be of a few kinds.
    """
    segment, _, number = place.partition("-")
    return place if segment in _taken() and int(number) <= _MOST_FIELDS else "other"


@cache
def _taken() -> Mapping[str, frozenset[int]]:
    fields: dict[str, set[int]] = {}
    for row in read_table(_TABLE, ("segment", "field", "element")):
        if not row["field"].isdigit() or not row["element"] or int(row["field"]) in fields.get(row["segment"], ()):
            raise TableError(
                f"mappings/{_TABLE}: {row['segment']}-{row['field']} is no field, is empty or stands twice"
            )
        fields.setdefault(row["segment"], set()).add(int(row["field"]))
    return {segment: frozenset(numbers) for segment, numbers in fields.items()}
