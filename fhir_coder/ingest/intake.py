"""What the reading of one input gave: a note, records, or the reason why there is neither."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fhir_coder.errors import InputError
from fhir_coder.model import Note


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """One input, read. It holds a note, records, an error, or else a remark that says why there is nothing."""

    source: str  # where it came from: "notes/a.txt", "bundle.json Bundle.entry[2]"
    note: Note | None = None
    # Transaction entries that are written as they are: the Patient, Encounter and Conditions of an ADT message.
    records: tuple[Mapping[str, Any], ...] = ()
    error: InputError | None = None
    remark: str = ""
    unread: tuple[InputError, ...] = ()  # parts of it that gave no text, though others did
    unmapped: tuple[str, ...] = ()  # fields with values that nothing is made of ("PID-10")
