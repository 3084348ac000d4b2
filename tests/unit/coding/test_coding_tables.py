"""The tables under mappings/coding: every code is in the store, and what is emitted may be coded."""

from __future__ import annotations

import re

import pytest

from fhir_coder.coding.axes import CATEGORY, values
from fhir_coder.coding.codes import alternatives
from fhir_coder.coding.combine import rows
from fhir_coder.coding.context import words
from fhir_coder.model import ICD10CM
from fhir_coder.tables import read_table, split
from fhir_coder.terminology.store import ConceptStore


def _is_leaf(store: ConceptStore, code: str) -> bool:
    concept = store.concept(ICD10CM, code)
    return concept is not None and concept.codable


def _has_any(store: ConceptStore, prefix: str) -> bool:
    """Tell whether some code begins so: "O1" is no code, and O10 is below it."""
    if store.concept(ICD10CM, prefix):
        return True
    base = store.base(ICD10CM)
    assert base is not None
    return any(code.startswith(prefix) for code, _ in base.codes(1_000_000) or [])


@pytest.mark.parametrize(
    ("table", "columns", "leaf"),
    [
        ("patient_codes.csv", ("code", "when", "use", "source"), "code"),
        ("patient_codes.csv", ("code", "when", "use", "source"), "use"),
        ("detail_codes.csv", ("code", "axis", "value", "use", "source"), "code"),
        ("detail_codes.csv", ("code", "axis", "value", "use", "source"), "use"),
        ("history_codes.csv", ("codes", "history", "source"), "history"),
        ("family_history_codes.csv", ("codes", "history", "source"), "history"),
        ("screening_codes.csv", ("codes", "screening", "source"), "screening"),
    ],
)
def test_codes_may_be_coded(store: ConceptStore, table: str, columns: tuple[str, ...], leaf: str) -> None:
    wrong = [row for row in read_table(f"coding/{table}", columns) if not _is_leaf(store, row[leaf])]
    assert wrong == []


def test_combinations_lead_from_codes_to_codes(store: ConceptStore) -> None:
    led = [(code, row.code(code, "")) for row in rows() for code in row.base if row.result != ".*"]
    wrong = [(code, result) for code, result in led if not _is_leaf(store, result)]
    wrong += [(code, "") for row in rows() for code in row.base if not _is_leaf(store, code)]
    assert wrong == []


@pytest.mark.parametrize("kind", ["patient_edits", "combinations", "history_codes", "family_history_codes", "injury"])
def test_categories_are_there(store: ConceptStore, kind: str) -> None:
    if kind == "patient_edits":
        prefixes = [
            c
            for row in read_table("coding/patient_edits.csv", ("codes", "only", "source"))
            for c in split(row["codes"])
        ]
    elif kind == "combinations":
        columns = ("base", "with", "words", "result", "partner", "link", "source")
        cells = [row["with"] for row in read_table("coding/combinations.csv", columns)]
        prefixes = [code for cell in cells for group in alternatives(cell) for code in group]
    elif kind == "injury":
        prefixes = [row["code"] for row in read_table("coding/injury_sites.csv", ("injury", "site", "code", "source"))]
    else:
        prefixes = [
            c for row in read_table(f"coding/{kind}.csv", ("codes", "history", "source")) for c in split(row["codes"])
        ]
    assert [prefix for prefix in sorted(set(prefixes)) if not _has_any(store, prefix)] == []


def test_displays_of_the_axes_are_said_somewhere(store: ConceptStore) -> None:
    """A word of the table that no display has is a typing error."""
    base = store.base(ICD10CM)
    assert base is not None
    displays: dict[str, str] = {}
    for code, status in base.codes(1_000_000) or []:
        concept = store.concept(ICD10CM, code)
        if status == "active" and concept:
            displays[code[:CATEGORY]] = displays.get(code[:CATEGORY], "") + "\n" + concept.display.lower()
    everything = "\n".join(displays.values())
    for value in values():
        text = "\n".join(displays.get(each, "") for each in value.categories) if value.categories else everything
        plain = re.sub(r"\s*\([^()]*\)", "", text)
        assert any(phrase in plain for phrase in value.display), value


def test_contexts_have_words() -> None:
    assert words("screening").search("Screening for diabetes")
    assert not words("pregnant").search("pregnancy")
