"""The starter tables under `mappings/starter`: what everyday notes mention most.

They are small on purpose and verified row by row. Once the user imports a full release of a system, its starter table
goes on to add everyday names, types and chronicity to the release's codes.
"""

from __future__ import annotations

from collections.abc import Iterator

from fhir_coder.errors import TableError
from fhir_coder.model import HCPCS, ICD10CM, LOINC, RXNORM, SNOMED, EntityType
from fhir_coder.tables import folder, read_table, split
from fhir_coder.terminology.release import Concept, Fact, Import, MapRow, Measure, Name, Property, Release
from fhir_coder.terminology.store import COMBINATION, STARTER

_SNOMED_COLUMNS = ("code", "type", "display", "names", "icd10cm", "chronic")
_RXNORM_COLUMNS = ("code", "kind", "display", "mention", "names", "brands", "ingredients")
_LOINC_COLUMNS = ("code", "type", "category", "display", "names", "unit", "low", "high")
_ICD10CM_COLUMNS = ("code", "type", "names", "source")
_HCPCS_COLUMNS = ("code", "type", "display", "names", "snomed")


def tables(system: str) -> tuple[str, ...]:
    """Return the names, under `mappings/`, of the tables of a code system."""
    if system == SNOMED:
        entries = folder("mappings").joinpath("starter", "snomed").iterdir()
        return tuple(sorted(f"starter/snomed/{entry.name}" for entry in entries))
    one = {ICD10CM: "icd10cm", RXNORM: "rxnorm", LOINC: "loinc", HCPCS: "hcpcs"}[system]
    return (f"starter/{one}.csv",)


def load(system: str) -> Import:
    """Return the starter release of a code system, with the version that `mappings/starter/releases.csv` states.

    Raises `TableError` when a table is malformed.
    """
    stated = {row["system"]: row for row in read_table("starter/releases.csv", ("system", "version", "title"))}
    if system not in stated:
        raise TableError(f"mappings/starter/releases.csv: no row for {system}")
    release = Release(system=system, version=stated[system]["version"], title=stated[system]["title"])
    facts = {ICD10CM: _icd10cm, SNOMED: _snomed, RXNORM: _rxnorm, LOINC: _loinc, HCPCS: _hcpcs}[system]
    return Import(releases=(release,), facts=((0, fact) for fact in facts()))


def _names(code: str, display: str, others: str, brands: str = "", *, mention: bool = True) -> Iterator[Name]:
    """Yield the names of a row; `mention` tells whether the display is looked for in notes, too."""
    yield Name(code, display, "preferred", mention)
    for text in split(others):
        yield Name(code, text, "synonym", True)
    for text in split(brands):
        yield Name(code, text, "brand", True)


def _type(row: dict[str, str], table: str, *, may_be_empty: bool = False) -> str:
    """Return the entity type; a code that is no entity of a note has none, where a table allows it."""
    if may_be_empty and not row["type"]:
        return ""
    try:
        return EntityType(row["type"])
    except ValueError as error:
        raise TableError(f"mappings/{table}: {row['code']}: unknown type {row['type']!r}") from error


def _icd10cm() -> Iterator[Fact]:
    """Yield how notes call codes that the tabular list calls otherwise, or whose name it gives to another code, too."""
    (table,) = tables(ICD10CM)
    for row in read_table(table, _ICD10CM_COLUMNS):
        yield Concept(row["code"], "", _type(row, table))
        for text in split(row["names"]):
            yield Name(row["code"], text, "synonym", True)


def _snomed() -> Iterator[Fact]:
    for table in tables(SNOMED):
        for row in read_table(table, _SNOMED_COLUMNS):
            code = row["code"]
            yield Concept(code, row["display"], _type(row, table), "active", row["chronic"] == "yes")
            yield from _names(code, row["display"], row["names"])
            if row["icd10cm"]:
                yield MapRow(SNOMED, code, ICD10CM, row["icd10cm"], "relatedto", STARTER)


def _rxnorm() -> Iterator[Fact]:
    for table in tables(RXNORM):
        for row in read_table(table, _RXNORM_COLUMNS):
            # A combination whose own RXCUI no source confirms is recognised, but never emitted: it keeps
            # the codes of its ingredients as an internal key that is not a code.
            code = row["code"] or COMBINATION + row["ingredients"].replace("|", "+")
            yield Concept(code, row["display"], EntityType.MEDICATION, "active" if row["code"] else "header")
            # "glucose" and "potassium" are how a laboratory calls its analytes: as drugs they have other names.
            mention = row["mention"] != "no"
            yield from _names(code, row["display"], row["names"], row["brands"], mention=mention)
            for ingredient in split(row["ingredients"]):
                yield MapRow(RXNORM, code, RXNORM, ingredient, "has-ingredient", STARTER)


def _loinc() -> Iterator[Fact]:
    for table in tables(LOINC):
        for row in read_table(table, _LOINC_COLUMNS):
            code = row["code"]
            yield Concept(code, row["display"], _type(row, table, may_be_empty=True))
            yield from _names(code, row["display"], row["names"])
            yield Property(code, "category", row["category"])
            if row["unit"]:
                low, high = (float(row[end]) if row[end] else None for end in ("low", "high"))
                yield Measure(code, row["unit"], low, high)


def _hcpcs() -> Iterator[Fact]:
    for table in tables(HCPCS):
        for row in read_table(table, _HCPCS_COLUMNS):
            code = row["code"]
            yield Concept(code, row["display"], _type(row, table, may_be_empty=True))
            yield from _names(code, row["display"], row["names"])
            if row["snomed"]:
                yield MapRow(HCPCS, code, SNOMED, row["snomed"], "relatedto", STARTER)
