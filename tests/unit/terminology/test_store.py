"""The concept store as it is shipped."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path

import pytest
import simple_icd_10_cm as icd

from fhir_coder.errors import TerminologyError
from fhir_coder.model import CODE_SYSTEMS, HPO, ICD10CM, LOINC, RXNORM, SNOMED
from fhir_coder.terminology.hpo import obo_path
from fhir_coder.terminology.normalise import normalise
from fhir_coder.terminology.store import ConceptStore

ENTRIES, DISTINCT = 98_225, 98_186  # of the package: a block of a single category is listed with the category's code


@pytest.fixture(scope="module")
def rows(store: ConceptStore) -> sqlite3.Connection:
    """The store's file, for questions that the store itself has no answer to."""
    return sqlite3.connect(f"{store.path.resolve().as_uri()}?mode=ro", uri=True)


def _icd(rows: sqlite3.Connection) -> dict[str, bool]:
    query = "SELECT code, codable FROM concept JOIN release ON release.id = concept.release WHERE system = ?"
    return {code: bool(codable) for code, codable in rows.execute(query, (ICD10CM,))}


def test_icd10cm_is_complete(rows: sqlite3.Connection) -> None:
    listed = [code for code in icd.get_all_codes(True) if not code.isdigit() and "-" not in code]
    assert (len(listed), len(set(listed))) == (ENTRIES, DISTINCT)
    stored = _icd(rows)
    assert set(stored) == set(listed)
    assert all(codable == icd.is_leaf(code) for code, codable in stored.items())


@pytest.mark.parametrize(
    ("code", "codable"), [("E11.9", True), ("I10", True), ("E11", False), ("S52.501A", True), ("S52.501", False)]
)
def test_icd10cm_code(store: ConceptStore, code: str, codable: bool) -> None:
    concept = store.concept(ICD10CM, code)
    assert concept is not None
    assert (concept.codable, concept.display) == (codable, icd.get_description(code))


def test_unknown_code(store: ConceptStore) -> None:
    assert store.concept(ICD10CM, "E11.99") is None
    assert store.names("no such name") == ()


def test_inclusion_terms_are_names(store: ConceptStore) -> None:
    terms = [(code, term) for code in ("I10", "E11", "J45", "R07.9", "K21.9") for term in _terms(code)]
    assert ("I10", "high blood pressure") in terms
    for code, term in terms:
        assert code in {name.concept.code for name in store.names(normalise(term))}, term


def _terms(code: str) -> list[str]:
    return [*icd.get_inclusion_term(code), *icd.get_includes(code)]


def test_children(store: ConceptStore) -> None:
    header = store.concept(ICD10CM, "E11")
    assert header is not None
    children = store.children(header)
    assert {child.code for child in children} == set(icd.get_children("E11"))
    assert all(child.parent == "E11" for child in children)


def test_maps_lead_to_codable_icd10cm_codes(rows: sqlite3.Connection) -> None:
    stored = _icd(rows)
    targets = [code for (code,) in rows.execute("SELECT target_code FROM map WHERE target_system = ?", (ICD10CM,))]
    assert targets
    assert [code for code in targets if not stored.get(code)] == []


def test_cross_references_of_hpo_are_maps(store: ConceptStore, rows: sqlite3.Connection) -> None:
    (count,) = rows.execute("SELECT count(*) FROM map WHERE source_system = ?", (HPO,)).fetchone()
    text = obo_path().read_text(encoding="utf-8")
    assert 2000 < count <= text.count("xref: SNOMEDCT_US:")
    assert [concept.code for concept, _ in store.mapped(HPO, "HP:0000822", SNOMED)] == ["38341003"]  # hypertension


def test_a_map_read_backwards_says_so(store: ConceptStore) -> None:
    assert [(concept.code, origin) for concept, origin in store.mapped(SNOMED, "38341003", ICD10CM)] == [
        ("I10", "starter")
    ]
    backwards = store.mapped(ICD10CM, "I10", SNOMED)
    assert backwards
    assert all("(inverse)" in origin for _, origin in backwards)


def test_every_release_says_where_it_is_from(store: ConceptStore) -> None:
    releases = store.releases()
    assert {release["system"] for release in releases} == {*CODE_SYSTEMS.values(), HPO}
    for release in releases:
        assert release["version"]
        assert release["source"]
        assert len(release["sha256"]) == 64
        assert 0 < release["concepts"] <= release["names"]
    assert {release["system"]: release["concepts"] for release in releases}[ICD10CM] == DISTINCT


def test_hpo_is_never_emitted(rows: sqlite3.Connection) -> None:
    query = "SELECT system, codable, count(*) FROM concept JOIN release ON release.id = concept.release GROUP BY 1, 2"
    codable = Counter({(system, codable): count for system, codable, count in rows.execute(query)})
    assert codable[HPO, 1] == 0
    assert codable[RXNORM, 1] > 1500


def test_measures(store: ConceptStore) -> None:
    assert [measure.unit for measure in store.measures("2823-3")] == ["mmol/L"]  # potassium
    assert store.measures("none") == ()


def test_names_are_looked_for_by_their_normal_form(store: ConceptStore) -> None:
    keys = set(store.mention_keys())
    assert {normalise(name) for name in ("hypertension", "HTN", "lisinopril", "shortness of breath")} <= keys
    assert normalise("history of stroke") not in keys


def test_name_of_a_row(store: ConceptStore) -> None:
    row = next(store.all_names())
    name = store.name(row.row)
    assert (name.concept.system, name.concept.code, name.text) == (row.system, row.code, row.text)


def test_words_in_any_order(store: ConceptStore) -> None:
    found = {name.concept.code for name in store.names_by_bag("breast cancer")}
    assert found


@pytest.mark.parametrize("content", [None, b"", b"no database"])
def test_what_is_no_store(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "concepts.sqlite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TerminologyError, match=r"concepts\.sqlite"):
        ConceptStore(path)


def test_loinc_test_is_there(store: ConceptStore) -> None:
    concept = store.concept(LOINC, "4548-4")
    assert concept is not None
    assert concept.type == "lab-test"
