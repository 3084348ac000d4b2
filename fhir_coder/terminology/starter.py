"""The starter tables under `mappings/starter`: what an everyday note of general medicine mentions.

They are small on purpose, verified row by row, and replaced by full releases that the user imports.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from fhir_coder.errors import TableError
from fhir_coder.model import HCPCS, ICD10CM, LOINC, RXNORM, SNOMED, EntityType
from fhir_coder.tables import folder, read_table, split
from fhir_coder.terminology.release import Concept, MapRow, Measure, Name, Release

_SNOMED_COLUMNS = ("code", "type", "display", "names", "icd10cm", "chronic")
_RXNORM_COLUMNS = ("code", "kind", "display", "names", "brands", "ingredients")
_LOINC_COLUMNS = ("code", "type", "display", "names", "unit", "low", "high")
_HCPCS_COLUMNS = ("code", "type", "display", "names", "snomed")


def load() -> list[Release]:
    """Return the four starter releases, with the versions that `mappings/starter/releases.csv` states.

    Raises `TableError` when a table is malformed.
    """
    loaders: dict[str, Callable[[], Release]] = {
        SNOMED: _snomed,
        RXNORM: _rxnorm,
        LOINC: _loinc,
        HCPCS: _hcpcs,
    }
    return [load_one() for load_one in loaders.values()]


def _release(
    system: str,
    tables: tuple[str, ...],
    concepts: list[Concept],
    *,
    maps: tuple[MapRow, ...] = (),
    measures: tuple[Measure, ...] = (),
    ingredients: tuple[tuple[str, str], ...] = (),
) -> Release:
    stated = {row["system"]: row for row in read_table("starter/releases.csv", ("system", "version", "title"))}
    if system not in stated:
        raise TableError(f"mappings/starter/releases.csv: no row for {system}")
    content = b"".join(folder("mappings").joinpath("starter", *name.split("/")).read_bytes() for name in tables)
    return Release(
        system=system,
        version=stated[system]["version"],
        title=stated[system]["title"],
        source=", ".join(f"mappings/starter/{name}" for name in tables),
        sha256=sha256(content).hexdigest(),
        concepts=concepts,
        maps=maps,
        measures=measures,
        ingredients=ingredients,
    )


def _names(display: str, others: str, brands: str = "") -> tuple[Name, ...]:
    names = {display: Name(text=display, kind="preferred", mention=True)}
    for text in split(others):
        names.setdefault(text, Name(text=text, kind="synonym", mention=True))
    for text in split(brands):
        names.setdefault(text, Name(text=text, kind="brand", mention=True))
    return tuple(names.values())


def _type(row: dict[str, str], table: str) -> EntityType:
    try:
        return EntityType(row["type"])
    except ValueError as error:
        raise TableError(f"mappings/starter/{table}: {row['code']}: unknown type {row['type']!r}") from error


def _snomed() -> Release:
    tables = sorted(f"snomed/{entry.name}" for entry in folder("mappings").joinpath("starter", "snomed").iterdir())
    concepts, maps = [], []
    for table in tables:
        for row in read_table(f"starter/{table}", _SNOMED_COLUMNS):
            concepts.append(
                Concept(
                    code=row["code"],
                    display=row["display"],
                    type=_type(row, table),
                    names=_names(row["display"], row["names"]),
                    chronic=row["chronic"] == "yes",
                )
            )
            if row["icd10cm"]:
                maps.append(_map(SNOMED, row["code"], ICD10CM, row["icd10cm"]))
    return _release(SNOMED, tuple(tables), concepts, maps=tuple(maps))


def _rxnorm() -> Release:
    rows = read_table("starter/rxnorm.csv", _RXNORM_COLUMNS)
    concepts = [
        Concept(
            # A combination whose own RXCUI no source confirms is recognised, but never emitted: it keeps
            # the codes of its ingredients as an internal key that is not a code.
            code=row["code"] or f"ingredients:{row['ingredients'].replace('|', '+')}",
            display=row["display"],
            type=EntityType.MEDICATION,
            names=_names(row["display"], row["names"], row["brands"]),
            codable=bool(row["code"]),
        )
        for row in rows
    ]
    ingredients = tuple(
        (concept.code, ingredient)
        for concept, row in zip(concepts, rows, strict=True)
        for ingredient in split(row["ingredients"])
    )
    return _release(RXNORM, ("rxnorm.csv",), concepts, ingredients=ingredients)


def _loinc() -> Release:
    rows = read_table("starter/loinc.csv", _LOINC_COLUMNS)
    concepts = [
        Concept(
            code=row["code"],
            display=row["display"],
            type=_type(row, "loinc.csv"),
            names=_names(row["display"], row["names"]),
        )
        for row in rows
    ]
    measures = tuple(
        Measure(
            code=row["code"],
            unit=row["unit"],
            low=float(row["low"]) if row["low"] else None,
            high=float(row["high"]) if row["high"] else None,
        )
        for row in rows
    )
    return _release(LOINC, ("loinc.csv",), concepts, measures=measures)


def _hcpcs() -> Release:
    rows = read_table("starter/hcpcs.csv", _HCPCS_COLUMNS)
    concepts = [
        Concept(
            code=row["code"],
            display=row["display"],
            type=_type(row, "hcpcs.csv"),
            names=_names(row["display"], row["names"]),
        )
        for row in rows
    ]
    maps = tuple(_map(HCPCS, row["code"], SNOMED, row["snomed"]) for row in rows if row["snomed"])
    return _release(HCPCS, ("hcpcs.csv",), concepts, maps=maps)


def _map(source_system: str, source_code: str, target_system: str, target_code: str) -> MapRow:
    return MapRow(
        source_system=source_system,
        source_code=source_code,
        target_system=target_system,
        target_code=target_code,
        origin="starter",
    )
