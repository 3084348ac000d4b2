"""From which score on a code is chosen, for each code system."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from fhir_coder.errors import TableError
from fhir_coder.model import CODE_SYSTEMS
from fhir_coder.tables import read_table

_TABLE = "coding/thresholds.csv"

Thresholds = Mapping[str, float]
"""Code system (URI) -> the least score (0..1) of a code that is chosen."""


def thresholds(given: float | None = None) -> Thresholds:
    """Return `given` for every code system; without it, what the table has.

    The table says beside each threshold how many of the codes from there on were wrong, and of how many descriptions
    none was chosen (`benchmarks/calibration.py`). Raises `TableError`.
    """
    if given is not None:
        return dict.fromkeys(CODE_SYSTEMS.values(), given)
    return _table()


@cache
def _table() -> Thresholds:
    rows = read_table(_TABLE, ("system", "threshold", "wrong", "abstained", "descriptions"))
    found = {CODE_SYSTEMS[row["system"]]: float(row["threshold"]) for row in rows if row["system"] in CODE_SYSTEMS}
    if len(rows) != len(found) or found.keys() != set(CODE_SYSTEMS.values()):
        raise TableError(f"mappings/{_TABLE}: it has one row for each of {', '.join(CODE_SYSTEMS)}")
    if not all(0 <= threshold <= 1 for threshold in found.values()):
        raise TableError(f"mappings/{_TABLE}: a threshold is a number from 0 to 1")
    return found
