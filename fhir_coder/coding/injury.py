"""Injuries that are named by their kind and their site apart: "fracture of the left distal radius"."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from fhir_coder.coding.evidence import site, words_of
from fhir_coder.model import Entity
from fhir_coder.tables import read_table


def injury_code(entity: Entity) -> tuple[str, str] | None:
    """Return the category of an injury at a site (`mappings/coding/injury_sites.csv`), and its source, or None.

    Of several sites that the words name ("distal radius", "radius") the one with the most words counts.
    """
    said, place = words_of(entity.text), words_of(site(entity))
    for (injury, where), found in _sites().items():
        if place and injury in said and where <= place:
            return found
    return None


@cache
def _sites() -> Mapping[tuple[str, frozenset[str]], tuple[str, str]]:
    rows = read_table("coding/injury_sites.csv", ("injury", "site", "code", "source"))
    rows.sort(key=lambda row: -len(row["site"].split()))
    return {(row["injury"], words_of(row["site"])): (row["code"], row["source"]) for row in rows}
