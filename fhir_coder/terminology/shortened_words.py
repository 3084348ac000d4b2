"""Words that notes cut short, and what they stand for (`mappings/shortened_words.csv`)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from fhir_coder.errors import TableError
from fhir_coder.tables import read_table, split


class Shortened(NamedTuple):
    """What a shortened word may stand for, and where it does so in a name.

    `leads`: also as its first word ("post MI" is after one); `goes_on`: behind others ("celiac dz", not "HIV neg").
    """

    words: tuple[str, ...]
    leads: bool
    goes_on: bool


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
        if row["leads"] not in ("yes", "no", "never"):
            raise TableError(f"mappings/shortened_words.csv: {shortened!r}: leads must be yes, no or never")
        found[shortened] = Shortened(words, row["leads"] == "yes", row["leads"] != "never")
    return found
