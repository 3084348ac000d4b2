"""The tables by which HL7 v2 is read: `mappings/hl7v2_*.csv`.

Source: HL7 Version 2 to FHIR, 1.0.0, and the HL7 tables 0001, 0003, 0004, 0052, 0085, 0123, 0125, 0190, 0200, 0206,
0211, 0270, 0271-0273 and 0396.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, cast, get_args

from fhir_coder.errors import TableError
from fhir_coder.tables import read_table

_VALUES = "hl7v2_to_fhir.csv"
_SYSTEMS = "hl7v2_code_systems.csv"
_MESSAGES = "hl7v2_messages.csv"

Reader = Literal["document", "results", "admission", "merge", "referral", "order"]
Write = Literal["create", "update", "withdraw"]


@dataclass(frozen=True, slots=True)
class Target:
    """What a value of a field becomes: a code, and the system and display where it is a Coding."""

    system: str
    code: str
    display: str

    def coding(self) -> dict[str, str]:
        """Return the target as a FHIR Coding."""
        return {"system": self.system, "code": self.code, "display": self.display}


@dataclass(frozen=True, slots=True)
class Kind:
    """What a message of one type and event is for us."""

    reader: Reader
    relation: str  # code of DocumentReference.relatesTo to the document in TXA-13, or ""
    # Whether its document is new, takes the place of what has its number already, or is taken back.
    write: Write
    encounter: str  # status of the Encounter that the event tells, or ""


def mapped(field: str, value: str) -> Target | None:
    """Return what `value` of `field` ("PID-8") becomes, or None. Raises `TableError` when the table is wrong."""
    return _targets().get((field, value))


def kind_of(message_type: str, event: str) -> Kind | None:
    """Return how a message of MSH-9.1 and MSH-9.2 is read; None when it is not. Raises `TableError`."""
    return _kinds().get((message_type, event))


def code_system(name: str) -> str | None:
    """Return the URI of a coding system of table 0396 ("I10C"), or None. Raises `TableError`."""
    return _systems().get(name.upper())


@cache
def _targets() -> Mapping[tuple[str, str], Target]:
    targets: dict[tuple[str, str], Target] = {}
    for row in read_table(_VALUES, ("field", "value", "system", "code", "display")):
        key = (row["field"], row["value"])
        if not all(key) or key in targets:
            raise TableError(f"mappings/{_VALUES}: {row['field']} {row['value']} is empty or stands twice")
        if bool(row["system"]) != bool(row["display"]):
            raise TableError(f"mappings/{_VALUES}: {row['field']} {row['value']}: system and display go together")
        targets[key] = Target(row["system"], row["code"], row["display"])
    return targets


@cache
def _kinds() -> Mapping[tuple[str, str], Kind]:
    kinds: dict[tuple[str, str], Kind] = {}
    for row in read_table(_MESSAGES, ("type", "event", "reader", "relation", "write", "encounter")):
        key = (row["type"], row["event"])
        if not row["type"] or key in kinds:
            raise TableError(f"mappings/{_MESSAGES}: {'^'.join(key)} is empty or stands twice")
        if row["reader"] not in get_args(Reader) or row["write"] not in get_args(Write):
            raise TableError(f"mappings/{_MESSAGES}: {'^'.join(key)}: reader or write is none that there is")
        kinds[key] = Kind(cast(Reader, row["reader"]), row["relation"], cast(Write, row["write"]), row["encounter"])
    return kinds


@cache
def _systems() -> Mapping[str, str]:
    systems: dict[str, str] = {}
    for row in read_table(_SYSTEMS, ("name", "uri")):
        if not all(row.values()) or row["name"] in systems:
            raise TableError(f"mappings/{_SYSTEMS}: {row['name']} is empty or stands twice")
        systems[row["name"]] = row["uri"]
    return systems
