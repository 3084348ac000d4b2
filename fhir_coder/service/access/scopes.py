"""What a caller may do, written as SMART system scopes, versions 1 and 2.

Source: https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from fhir_coder.errors import AccessError

_SCOPE = re.compile(r"system/(\*|[A-Z][A-Za-z]{0,63})\.(?:(read|write|\*)|(?=.)(c?r?u?d?s?))")
_VERSION_1 = {"read": "rs", "write": "cud", "*": "cruds"}
EVERYTHING = "system/*.cruds"


@dataclass(frozen=True, slots=True)
class Need:
    """What is asked of a caller: all of the `letters` (of create, read, update, delete, search) on a resource type."""

    resource: str
    letters: str

    def __str__(self) -> str:
        return f"system/{self.resource}.{self.letters}"


@dataclass(frozen=True, slots=True)
class Scopes:
    """The scopes that a caller was granted, as pairs of resource type ("*": any) and letter."""

    granted: frozenset[tuple[str, str]]

    @classmethod
    def parse(cls, scopes: Iterable[str]) -> Scopes:
        """Return what `scopes` grant.

        What is no system scope grants nothing: `patient/` and `user/` scopes speak of less than this service does,
        and so do those with a query (`system/Observation.rs?category=laboratory`).
        """
        return cls(frozenset(pair for scope in scopes for pair in _pairs(scope)))

    def grant(self, need: Need) -> bool:
        """Return whether all that is needed was granted."""
        return all({(need.resource, letter), ("*", letter)} & self.granted for letter in need.letters)


def require_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes as they are. Raises `AccessError` for one that would grant nothing."""
    listed = tuple(scopes)
    for scope in listed:
        if not _pairs(scope):
            raise AccessError(f"{scope!r} is no system scope; say system/DocumentReference.cruds or the like")
    return listed


def _pairs(scope: str) -> list[tuple[str, str]]:
    match = _SCOPE.fullmatch(scope)
    if match is None:
        return []
    resource, first, second = match.groups()
    return [(resource, letter) for letter in (_VERSION_1[first] if first else second)]
