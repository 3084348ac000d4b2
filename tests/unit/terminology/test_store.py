"""The concept store: the embedded releases as they are shipped, and how releases add up."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import simple_icd_10_cm as icd

from fhir_coder.model import CODE_SYSTEMS, HPO, ICD10CM, LOINC, RXNORM, SNOMED
from fhir_coder.terminology.map_rules import PatientContext
from fhir_coder.terminology.normalise import normalise
from fhir_coder.terminology.release import (
    Broader,
    Concept,
    MapRow,
    Measure,
    Name,
    Property,
)
from fhir_coder.terminology.store import ConceptStore
from fhir_coder.terminology.stored_release import StoredRelease

ENTRIES, DISTINCT = 98_225, 98_186  # of the package: a block of a single category is listed with the category's code
Make = Callable[..., StoredRelease]


def _release(store: ConceptStore, system: str) -> StoredRelease:
    release = store.base(system)
    assert release is not None
    return release


def test_icd10cm_is_complete(store: ConceptStore) -> None:
    listed = [code for code in icd.get_all_codes(True) if not code.isdigit() and "-" not in code]
    assert (len(listed), len(set(listed))) == (ENTRIES, DISTINCT)
    stored = {fact.code: fact for fact in _release(store, ICD10CM).facts() if isinstance(fact, Concept)}
    assert set(stored) == set(listed)
    assert all((stored[code].status == "active") == icd.is_leaf(code) for code in listed)


@pytest.mark.parametrize(
    ("code", "codable"), [("E11.9", True), ("I10", True), ("E11", False), ("S52.501A", True), ("S52.501", False)]
)
def test_icd10cm_code(store: ConceptStore, code: str, codable: bool) -> None:
    concept = store.concept(ICD10CM, code)
    assert concept is not None
    assert (concept.codable, concept.display) == (codable, icd.get_description(code))


def test_unknown_code(store: ConceptStore) -> None:
    assert store.concept(ICD10CM, "E11.99") is None
    assert store.concept("http://nobody.example", "1") is None
    assert store.names("no such name") == ()


def test_inclusion_terms_are_names(store: ConceptStore) -> None:
    terms = [(code, term) for code in ("I10", "E11", "J45", "R07.9", "K21.9") for term in _terms(code)]
    assert ("I10", "high blood pressure") in terms
    for code, term in terms:
        assert code in {name.concept.code for name in store.names(normalise(term))}, term


def _terms(code: str) -> list[str]:
    return [*icd.get_inclusion_term(code), *icd.get_includes(code)]


def test_children_and_parents(store: ConceptStore) -> None:
    header = store.concept(ICD10CM, "E11")
    assert header is not None
    children = store.children(header)
    assert {child.code for child in children} == set(icd.get_children("E11"))
    assert all(store.parents(child) == (header,) for child in children)


def test_maps_of_the_starter_lead_to_codable_icd10cm_codes(store: ConceptStore) -> None:
    rows = [
        fact for fact in _release(store, SNOMED).facts() if isinstance(fact, MapRow) and fact.target_system == ICD10CM
    ]
    assert len(rows) > 2000
    targets = [store.concept(ICD10CM, row.target_code) for row in rows]
    assert [row for row, target in zip(rows, targets, strict=True) if target is None or not target.codable] == []


def test_cross_references_of_hpo_are_maps(store: ConceptStore) -> None:
    assert [concept.code for concept, _ in store.mapped(HPO, "HP:0000822", SNOMED)] == ["38341003"]  # hypertension


def test_a_map_read_backwards_says_so(store: ConceptStore) -> None:
    ((concept, row),) = store.mapped(SNOMED, "38341003", ICD10CM)
    assert (concept.code, row.origin, row.derived) == ("I10", "starter", False)
    backwards = store.mapped(ICD10CM, "I10", SNOMED)
    assert backwards
    assert all(row.derived and row.origin == "starter (inverse)" for _, row in backwards)


def test_hpo_is_never_emitted(store: ConceptStore) -> None:
    assert all(fact.status == "header" for fact in _release(store, HPO).facts() if isinstance(fact, Concept))


def test_the_starter_tables_are_large_enough(store: ConceptStore) -> None:
    sizes = {
        system: sum(isinstance(fact, Concept) and fact.status == "active" for fact in _release(store, system).facts())
        for system in CODE_SYSTEMS.values()
    }
    assert sizes[SNOMED] >= 4_000
    assert sizes[RXNORM] >= 2_400
    assert sizes[LOINC] >= 1_200
    assert sizes[CODE_SYSTEMS["hcpcs"]] >= 3_400


def test_measures(store: ConceptStore) -> None:
    assert [measure.unit for measure in store.measures("2823-3")] == ["mmol/L"]  # potassium
    assert store.measures("none") == ()


def test_names_are_looked_for_by_their_normal_form(store: ConceptStore) -> None:
    index = store.mention_index()
    for name in ("hypertension", "HTN", "lisinopril", "shortness of breath"):
        words = normalise(name).split()
        assert (0, len(words) - 1) in index.find(words)
    assert (0, 2) not in index.find(normalise("history of stroke").split())


def test_words_in_any_order(store: ConceptStore) -> None:
    assert store.names_by_bag("breast cancer")


def test_loinc_test_is_there(store: ConceptStore) -> None:
    concept = store.concept(LOINC, "4548-4")
    assert concept is not None
    assert concept.type == "lab-test"
    assert ("category", "laboratory") in store.properties(concept)


# How releases add up.


FLU = (Concept("1", "Influenza", "", "active"), Name("1", "Influenza", "preferred", True))


def test_a_starter_table_adds_to_an_imported_release(make: Make) -> None:
    """It gives everyday names, types and chronicity to the release's codes, and nothing to codes it does not have."""
    starter = make(
        SNOMED,
        "complete",
        Concept("1", "The flu", "disease", "active", True),
        Name("1", "grippe", "synonym", True),
        Concept("2", "Not in the release", "disease"),
        Name("2", "grippe of another kind", "synonym", True),
        version="starter",
    )
    store = ConceptStore([make(SNOMED, "complete", *FLU, version="2026"), starter])
    concept = store.concept(SNOMED, "1")
    assert concept is not None
    assert (concept.display, concept.version) == ("Influenza", "2026")
    assert (concept.type, concept.chronic) == ("disease", True)
    assert store.concept(SNOMED, "2") is None
    assert [name.concept.code for name in store.names("grippe")] == ["1"]
    assert store.names("grippe of another kind") == ()
    assert [name.text for name in store.names_of(concept)] == ["Influenza", "grippe"]


def test_a_supplement_alone_names_nothing(make: Make) -> None:
    store = ConceptStore([make(SNOMED, "supplement", Name("1", "grippe", "synonym", True))])
    assert store.base(SNOMED) is None
    assert store.names("grippe") == ()
    assert store.layers(SNOMED) == ()


def test_measures_with_plausible_values_go_first(make: Make) -> None:
    base = make(LOINC, "complete", Concept("1", "Sodium", ""), Measure("1", "meq/L", None, None))
    starter = make(LOINC, "complete", Concept("1", "Sodium", ""), Measure("1", "mmol/L", 1.0, 300.0))
    assert [measure.unit for measure in ConceptStore([base, starter]).measures("1")] == ["mmol/L", "meq/L"]


def test_a_publishers_map_goes_before_the_starters(make: Make) -> None:
    icd = make(ICD10CM, "complete", Concept("A", "a", ""), Concept("B", "b", ""))
    snomed = make(SNOMED, "complete", *FLU, MapRow(SNOMED, "1", ICD10CM, "A", "relatedto", "starter"))
    official = make(SNOMED, "map", MapRow(SNOMED, "1", ICD10CM, "B", "relatedto", "NLM"))
    assert [concept.code for concept, _ in ConceptStore([icd, snomed]).mapped(SNOMED, "1", ICD10CM)] == ["A"]
    assert [concept.code for concept, _ in ConceptStore([icd, snomed, official]).mapped(SNOMED, "1", ICD10CM)] == ["B"]


def test_rules_of_a_map_are_evaluated(make: Make) -> None:
    female = "IFA 248152002 | Female (finding) |"
    snomed = make(
        SNOMED,
        "complete",
        *FLU,
        MapRow(SNOMED, "1", ICD10CM, "A", "relatedto", "NLM", 1, 1, female),
        MapRow(SNOMED, "1", ICD10CM, "B", "relatedto", "NLM", 1, 2, "OTHERWISE TRUE"),
    )
    store = ConceptStore([make(ICD10CM, "complete", Concept("A", "a", ""), Concept("B", "b", "")), snomed])

    def codes(patient: PatientContext) -> list[str]:
        return [concept.code for concept, _ in store.mapped(SNOMED, "1", ICD10CM, patient)]

    assert codes(PatientContext(sex="female")) == ["A"]
    assert codes(PatientContext(sex="male")) == ["B"]
    assert codes(PatientContext()) == []
    (choice,) = store.choices(SNOMED, "1", ICD10CM, PatientContext())
    assert "sex" in choice.reason


@pytest.mark.parametrize(
    ("targets", "expected"),
    [(("2",), "2"), (("2", "3"), None), (("4",), None), (("9",), None), ((), None)],
    ids=["one", "split in two", "itself retired", "unknown", "none"],
)
def test_replacement_of_a_retired_concept(make: Make, targets: tuple[str, ...], expected: str | None) -> None:
    concepts = [
        Concept("1", "Old", "", "retired"),
        Concept("2", "New", ""),
        Concept("3", "Newer", ""),
        Concept("4", "Old, too", "", "retired"),
    ]
    rows = [MapRow(SNOMED, "1", SNOMED, target, "replaced-by", "us") for target in targets]
    store = ConceptStore([make(SNOMED, "complete", *concepts, *rows)])
    old = store.concept(SNOMED, "1")
    assert old is not None
    assert not old.codable
    found = store.replacement(old)
    assert (found.code if found else None) == expected


def test_properties_and_hierarchy(make: Make) -> None:
    facts = (*FLU, Concept("2", "Infection", ""), Broader("1", "2"), Broader("1", "gone"), Property("1", "TTY", "IN"))
    store = ConceptStore([make(SNOMED, "complete", *facts)])
    flu = store.concept(SNOMED, "1")
    assert flu is not None
    assert [parent.code for parent in store.parents(flu)] == ["2"]
    assert store.properties(flu) == (("TTY", "IN"),)
