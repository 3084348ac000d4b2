"""What we hold about SNOMED CT's own words: `mappings/terminology/snomed_*.csv`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import cast, get_args

from fhir_coder.errors import TableError
from fhir_coder.model import EntityType
from fhir_coder.tables import read_table
from fhir_coder.terminology.release import Relationship

_LONGEST_MENTION = 6  # words
_UNSPOKEN = ("(", ",", "[", " - ")


@cache
def types() -> Mapping[str, str]:
    """Return the entity type by semantic tag, "" for what is never an entity of a note."""
    rows = read_table("terminology/snomed_types.csv", ("semantic_tag", "type"))
    for row in rows:
        if row["type"] not in ("", *EntityType):
            raise TableError(f"mappings/terminology/snomed_types.csv: unknown type {row['type']!r}")
    return {row["semantic_tag"]: row["type"] for row in rows}


@cache
def associations() -> Mapping[str, tuple[str, Relationship | None]]:
    """Return name and meaning of the historical associations by reference set; some lead to no concept."""
    relationships = _relationships("snomed_associations.csv", "refset")
    return {refset: (name, relationship) for refset, name, relationship in relationships}


@cache
def correlations() -> Mapping[str, Relationship]:
    """Return the meaning of the extended map's correlationId."""
    relationships = _relationships("snomed_correlations.csv", "correlation")
    return {code: relationship for code, _, relationship in relationships if relationship}


def is_mention(text: str) -> bool:
    """Tell whether a clinician would write a name so: short, without comma or parentheses, not one of all findings.

    "COPD - Chronic obstructive pulmonary disease" is how SNOMED CT spells out an abbreviation: nobody writes that.
    """
    if text.count(" ") >= _LONGEST_MENTION or any(sign in text for sign in _UNSPOKEN):
        return False
    lower = text.lower()
    if lower == text.upper():  # numbers only
        return False
    starts, ends, wholes = _not_mentioned()
    return not (lower.startswith(starts) or lower.endswith(ends) or lower in wholes)


@cache
def _not_mentioned() -> tuple[tuple[str, ...], tuple[str, ...], frozenset[str]]:
    rows = read_table("terminology/snomed_not_mentioned.csv", ("place", "text"))
    for row in rows:
        if row["place"] not in ("start", "end", "whole"):
            raise TableError(f"mappings/terminology/snomed_not_mentioned.csv: unknown place {row['place']!r}")
    return (
        tuple(row["text"] + " " for row in rows if row["place"] == "start"),
        tuple(" " + row["text"] for row in rows if row["place"] == "end"),
        frozenset(row["text"] for row in rows if row["place"] != "start"),
    )


def _relationships(table: str, key: str) -> list[tuple[str, str, Relationship | None]]:
    rows = read_table(f"terminology/{table}", (key, "name", "relationship"))
    for row in rows:
        if row["relationship"] not in ("", *get_args(Relationship)):
            raise TableError(f"mappings/terminology/{table}: unknown relationship {row['relationship']!r}")
    return [(row[key], row["name"], cast(Relationship, row["relationship"]) or None) for row in rows]
