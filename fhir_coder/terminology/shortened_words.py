"""Words that notes cut short, and what they stand for (`mappings/shortened_words.csv`)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from fhir_coder.errors import TableError
from fhir_coder.tables import read_table, split


@cache
def shortened_words() -> Mapping[str, tuple[str, ...]]:
    """Return the whole words of each shortened one, in small letters.

    Raises `TableError` when a row has no words, or says again what another one says.
    """
    found: dict[str, tuple[str, ...]] = {}
    for row in read_table("shortened_words.csv", ("shortened", "words")):
        shortened, words = row["shortened"], split(row["words"])
        if not words or not shortened.isalpha() or shortened != shortened.casefold() or shortened in found:
            raise TableError(f"mappings/shortened_words.csv: {shortened!r} stands there twice, or for nothing")
        found[shortened] = words
    return found
