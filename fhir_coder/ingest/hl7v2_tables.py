"""The map from HL7 v2 table values to FHIR codes, `mappings/hl7v2_to_fhir.csv`.

Source: HL7 Version 2 to FHIR, 1.0.0, and the HL7 tables 0001, 0004, 0190, 0200, 0211, 0270, 0271-0273.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from fhir_coder.errors import TableError
from fhir_coder.tables import read_table

_TABLE = "hl7v2_to_fhir.csv"
_COLUMNS = ("field", "value", "system", "code", "display")


@dataclass(frozen=True, slots=True)
class Target:
    """What a value of a field becomes: a code, and the system and display where it is a Coding."""

    system: str
    code: str
    display: str

    def coding(self) -> dict[str, str]:
        """Return the target as a FHIR Coding."""
        return {"system": self.system, "code": self.code, "display": self.display}


def mapped(field: str, value: str) -> Target | None:
    """Return what `value` of `field` ("PID-8") becomes, or None. Raises `TableError` when the table is wrong."""
    return _targets().get((field, value))


@cache
def _targets() -> dict[tuple[str, str], Target]:
    targets: dict[tuple[str, str], Target] = {}
    for row in read_table(_TABLE, _COLUMNS):
        key = (row["field"], row["value"])
        if not all(key) or key in targets:
            raise TableError(f"mappings/{_TABLE}: {row['field']} {row['value']} is empty or stands twice")
        if bool(row["system"]) != bool(row["display"]):
            raise TableError(f"mappings/{_TABLE}: {row['field']} {row['value']}: system and display go together")
        targets[key] = Target(row["system"], row["code"], row["display"])
    return targets
