"""The ordinary words of notes (`mappings/common_words.csv`) that are no name of a concept by themselves."""

from __future__ import annotations

from functools import cache

from fhir_coder.tables import read_table
from fhir_coder.terminology.normalise import normalise


@cache
def common_words() -> frozenset[str]:
    """Return the normal forms of the words.

    Raises `TableError` when the table is malformed.
    """
    return frozenset(normalise(row["word"]) for row in read_table("common_words.csv", ("word",)))
