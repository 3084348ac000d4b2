"""Words that notes cut short, and what they stand for (`mappings/shortened_words.csv`)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from fhir_coder.errors import TableError
from fhir_coder.tables import read_table, split


class Shortened(NamedTuple):
    """What a shortened word may stand for; whether it is nothing else where it leads to a name ("post MI" is)."""

    words: tuple[str, ...]
    leads: bool


@cache
def shortened_words() -> Mapping[str, Shortened]:
    """Return the shortened words, in small letters.

    Raises `TableError` when a row has no words, or says again what another one says.
    """
    found: dict[str, Shortened] = {}
    for row in read_table("shortened_words.csv", ("shortened", "words", "leads")):
        shortened, words = row["shortened"], split(row["words"])
        if not words or not shortened.isalpha() or shortened != shortened.casefold() or shortened in found:
            raise TableError(f"mappings/shortened_words.csv: {shortened!r} stands there twice, or for nothing")
        if row["leads"] not in ("yes", "no"):
            raise TableError(f"mappings/shortened_words.csv: {shortened!r}: leads must be yes or no")
        found[shortened] = Shortened(words, row["leads"] == "yes")
    return found
