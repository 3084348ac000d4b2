"""What the reading of one input gave: a note, or the error that says why there is none."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_coder.errors import InputError
from fhir_coder.model import Note


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """One input, read. Exactly one of `note` and `error` is given."""

    source: str  # where it came from: "notes/a.txt", "bundle.json Bundle.entry[2]"
    note: Note | None = None
    error: InputError | None = None
