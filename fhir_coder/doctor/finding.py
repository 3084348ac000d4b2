"""What the doctor finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from fhir_coder.settings import Settings

State = Literal["ok", "warning", "failure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at. It holds no password and nothing of a note."""

    subject: str  # "releases", "FHIR server"
    state: State
    found: str
    advice: str = ""  # what to do about it


Examination = Callable[[Settings], Iterator[Finding]]


def ok(subject: str, found: str) -> Finding:
    """Return a finding of something that is as it should be."""
    return Finding(subject=subject, state="ok", found=found)


def warning(subject: str, found: str, advice: str) -> Finding:
    """Return a finding of something that works, and should be looked at."""
    return Finding(subject=subject, state="warning", found=found, advice=advice)


def failure(subject: str, found: str, advice: str) -> Finding:
    """Return a finding of something that keeps the program from its work."""
    return Finding(subject=subject, state="failure", found=found, advice=advice)
