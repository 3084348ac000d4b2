"""What rules of age and sex need to know of a Patient resource."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal


def sex_of(patient: Mapping[str, Any]) -> Literal["female", "male"] | None:
    """Return the administrative gender where it is female or male; `other` and `unknown` tell a map nothing."""
    gender = patient.get("gender")
    return gender if gender in ("female", "male") else None


def birth_date_of(patient: Mapping[str, Any]) -> date | None:
    """Return the date of birth where it is known to the day."""
    stated = patient.get("birthDate")
    try:
        return date.fromisoformat(stated) if isinstance(stated, str) else None
    except ValueError:  # a year, a month, or no date
        return None
