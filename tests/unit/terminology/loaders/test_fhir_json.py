"""FHIR R4 CodeSystem and ConceptMap: small resources, written here by hand, and what can be wrong with them."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.errors import TerminologyError
from fhir_coder.model import HCPCS, ICD10CM, LOINC, RXNORM, SNOMED
from fhir_coder.terminology.importer import store
from fhir_coder.terminology.loaders import fhir_json
from fhir_coder.terminology.release import Broader, Concept, Fact, Import, MapRow, Name, Options, Property, Release
from fhir_coder.terminology.source import Source
from fhir_coder.terminology.stored_release import StoredRelease

OWN = "http://hospital.example/codes"


def code_system(*concepts: dict[str, Any], **other: Any) -> dict[str, Any]:
    return {
        "resourceType": "CodeSystem",
        "url": OWN,
        "version": "3",
        "title": "Our codes",
        "status": "active",
        "content": "complete",
        "hierarchyMeaning": "is-a",
        "concept": list(concepts),
    } | other


def concept_map(*targets: dict[str, Any], **other: Any) -> dict[str, Any]:
    group = {"source": OWN, "target": SNOMED, "element": [{"code": "A", "target": list(targets)}]}
    return {
        "resourceType": "ConceptMap",
        "version": "1",
        "name": "OurMap",
        "status": "active",
        "group": [group],
    } | other


def write(folder: Path, resource: Any, name: str = "a.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(resource, indent=1), encoding="utf-8")
    return path


def load(folder: Path, resource: Any, options: Options | None = None) -> Import:
    return fhir_json.load(Source(write(folder, resource)), options or Options())


def read(folder: Path, resource: Any) -> list[Fact]:
    return [fact for _, fact in load(folder, resource).facts]


def coded(name: str, value: Any, kind: str = "String") -> dict[str, Any]:
    return {"code": name, f"value{kind}": value}


def test_a_code_system(tmp_path: Path) -> None:
    resource = code_system(
        {
            "code": "A",
            "display": "asthma",
            "property": [coded("entity-type", "disease", "Code"), coded("weight", 1.5, "Decimal")],
            "designation": [{"value": "bronchial asthma"}, {"language": "de", "value": "Asthma bronchiale"}],
            "concept": [{"code": "A1", "display": "asthma, allergic", "property": [coded("old", False, "Boolean")]}],
        },
        {"code": "B", "property": [coded("parent", "A", "Code"), coded("child", "C", "Code")]},
        {"code": "C", "display": "gone", "property": [coded("inactive", True, "Boolean")]},
        {"code": "D", "display": "group", "property": [coded("notSelectable", True, "Boolean")]},
    )
    imported = load(tmp_path, resource)
    assert imported.releases == (Release(system=OWN, version="3", title="Our codes"),)
    assert list(imported.facts) == [
        (0, fact)
        for fact in (
            Concept("A", "asthma", "disease"),
            Name("A", "asthma", "preferred", True),
            Name("A", "bronchial asthma", "synonym", True),
            Property("A", "entity-type", "disease"),
            Property("A", "weight", "1.5"),
            Concept("A1", "asthma, allergic", ""),
            Name("A1", "asthma, allergic", "preferred", False),
            Property("A1", "old", "false"),
            Broader("A1", "A"),
            Concept("B", "B", ""),
            Broader("B", "A"),
            Broader("C", "B"),
            Concept("C", "gone", "", "retired"),
            Name("C", "gone", "preferred", False),
            Property("C", "inactive", "true"),
            Concept("D", "group", "", "header"),
            Name("D", "group", "preferred", True),
            Property("D", "notSelectable", "true"),
        )
    ]
    assert imported.skipped == Counter({"names in other languages": 1})


def test_a_supplement(tmp_path: Path) -> None:
    resource = code_system(
        {"code": "J45", "display": "asthma", "property": [coded("entity-type", "disease", "Code")]},
        content="supplement",
        supplements=f"{ICD10CM}|2026",
    )
    imported = load(tmp_path, resource)
    assert imported.releases == (Release(system=ICD10CM, version="3", title="Our codes", kind="supplement"),)
    assert [fact for _, fact in imported.facts][:2] == [
        Concept("J45", "", "disease"),
        Name("J45", "asthma", "synonym", True),
    ]


@pytest.mark.parametrize(
    ("system", "code", "properties", "type_", "mention"),
    [
        (ICD10CM, "J45.909", [], "disease", True),
        (ICD10CM, "R05", [], "symptom", True),
        (ICD10CM, "Z87.891", [], "", False),
        (HCPCS, "E0100", [], "device", True),
        (HCPCS, "G0001", [], "", True),
        (LOINC, "2951-2", [coded("CLASS", "CHEM"), coded("CLASSTYPE", "1")], "lab-test", True),
        (LOINC, "2951-2", [{"code": "CLASSTYPE", "valueCoding": {"code": "LP1", "display": "1"}}], "lab-test", True),
        (LOINC, "8867-4", [coded("CLASS", "HRTRATE.ATOM")], "vital-sign", True),
        (RXNORM, "1191", [coded("TTY", "IN")], "", True),
        (SNOMED, "195967001", [], "", True),
        (SNOMED, "195967001", [coded("entity-type", "disease", "Code")], "disease", True),
        (ICD10CM, "Z87.891", [coded("entity-type", "symptom", "Code")], "symptom", False),
    ],
)
def test_types_by_code_system(
    tmp_path: Path, system: str, code: str, properties: list[dict[str, Any]], type_: str, mention: bool
) -> None:
    facts = read(tmp_path, code_system({"code": code, "display": "x", "property": properties}, url=system))
    assert facts[:2] == [Concept(code, "x", type_), Name(code, "x", "preferred", mention)]


@pytest.mark.parametrize("meaning", [None, "part-of", "grouped-by", "classified-with"])
def test_only_an_is_a_hierarchy_is_one(tmp_path: Path, meaning: str | None) -> None:
    resource = code_system({"code": "A", "concept": [{"code": "B", "property": [coded("parent", "A", "Code")]}]})
    if meaning is None:
        del resource["hierarchyMeaning"]
    else:
        resource["hierarchyMeaning"] = meaning
    imported = load(tmp_path, resource)
    assert [fact for _, fact in imported.facts][2:] == [Property("B", "parent", "A")]
    assert imported.skipped["steps of a hierarchy that is not stated to be is-a (hierarchyMeaning)"] == 1


@pytest.mark.parametrize(
    ("property_", "status"),
    [
        (coded("status", "DEPRECATED"), "retired"),
        (coded("status", "active"), "active"),
        (coded("deprecated", "2020-01-01", "DateTime"), "retired"),
        (coded("deprecated", False, "Boolean"), "active"),
        (coded("retirementDate", "2020-01-01", "DateTime"), "retired"),
        (coded("inaktiv", True, "Boolean"), "retired"),
        (coded("weight", None), "active"),
    ],
)
def test_status(tmp_path: Path, property_: dict[str, Any], status: str) -> None:
    """Properties have local names; what they mean is their URI."""
    meanings = [{"code": "inaktiv", "uri": "http://hl7.org/fhir/concept-properties#inactive", "type": "boolean"}]
    facts = read(tmp_path, code_system({"code": "A", "property": [property_]}, property=meanings))
    assert isinstance(facts[0], Concept)
    assert facts[0].status == status


def test_names_in_the_language_of_the_code_system(tmp_path: Path) -> None:
    concept = {
        "code": "A",
        "display": "Asthma bronchiale",
        "designation": [{"language": "en-US", "value": "asthma"}, {"value": "Bronchialasthma"}],
    }
    imported = load(tmp_path, code_system(concept, language="de"))
    assert [fact for _, fact in imported.facts][1:] == [
        Name("A", "Asthma bronchiale", "preferred", False),
        Name("A", "asthma", "synonym", True),
    ]
    assert imported.skipped == Counter({"names in other languages": 1})


def test_a_concept_map(tmp_path: Path) -> None:
    words = "equal equivalent wider subsumes narrower specializes inexact relatedto".split()
    targets = [{"code": word, "equivalence": word} for word in words]
    targets += [
        {"equivalence": "unmatched", "comment": "none fits"},
        {"code": "x", "equivalence": "disjoint"},
        {"code": "x", "equivalence": "equal", "dependsOn": [{"property": "sex", "value": "f"}]},
    ]
    resource = concept_map(*targets)
    resource["group"][0]["unmapped"] = {"mode": "fixed", "code": "y"}
    resource["group"][0]["element"].append({"code": "B"})
    imported = load(tmp_path, resource)
    assert imported.releases == (Release(system=OWN, version="1", title="OurMap", kind="map"),)
    rows = [fact for _, fact in imported.facts if isinstance(fact, MapRow)]
    assert rows[0] == MapRow(OWN, "A", SNOMED, "equal", "equivalent", "OurMap")
    assert rows[-1] == MapRow(OWN, "A", SNOMED, "", "unmatched", "OurMap", advice="none fits")
    assert [row.relationship for row in rows] == [
        *("equivalent", "equivalent", "wider", "wider", "narrower", "narrower", "inexact", "relatedto", "unmatched")
    ]
    assert imported.skipped == Counter(
        {
            "rules for codes that are not listed (ConceptMap.group.unmapped)": 1,
            "map rows that depend on, or make, another element": 1,
            "map rows that say what a code does not mean (disjoint)": 1,
            "codes that are mapped to nothing": 1,
        }
    )


def test_a_folder_and_a_zip_of_several(tmp_path: Path) -> None:
    write(tmp_path, code_system({"code": "A", "display": "asthma"}))
    write(tmp_path, concept_map({"code": "1", "equivalence": "equal"}), "b.json")
    write(tmp_path, concept_map({"code": "2", "equivalence": "equal"}, name="Other"), "c.json")
    write(tmp_path, {"resourceType": "ValueSet"}, "d.json")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in "abcd":
            archive.write(tmp_path / f"{name}.json", f"package/{name}.json")
    for path in (tmp_path, tmp_path / "all.zip"):
        source = Source(path)
        assert fhir_json.recognises(source)
        imported = fhir_json.load(source, Options())
        # Maps from one code system in one version are one release: they take the same place.
        assert [(each.title, each.kind) for each in imported.releases] == [
            ("Our codes", "complete"),
            ("OurMap, Other", "map"),
        ]
        assert [index for index, _ in imported.facts] == [0, 0, 1, 1]
        assert imported.skipped == Counter({"files that are neither CodeSystem nor ConceptMap": 1})
        source.close()


def test_as_it_is_stored(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (stored,) = store(
        load(tmp_path, code_system({"code": "A", "display": "asthma"})), tmp_path / "out", lambda *_: None
    )
    release = StoredRelease(stored.folder)
    assert [row.text for row in release.names_of("A")] == ["asthma"]
    release.close()


def test_what_the_user_says_counts(tmp_path: Path) -> None:
    resource = code_system({"code": "A"})
    assert load(tmp_path, resource, Options(version="9")).releases[0].version == "9"
    del resource["url"]
    assert load(tmp_path, resource, Options(system="urn:x")).releases[0].system == "urn:x"


DEEP: dict[str, Any] = {"code": "0"}
for level in range(1, 60):
    DEEP = {"code": str(level), "concept": [DEEP]}
R5 = {"code": "1", "relationship": "equivalent"}


@pytest.mark.parametrize(
    ("resource", "message"),
    [
        ({"resourceType": "Bundle"}, "column resourceType: the resourceType is neither CodeSystem nor ConceptMap"),
        ([], "line 1: this is no FHIR resource"),
        (code_system(version=None), "column CodeSystem.version: the version is missing: give --version"),
        (code_system(url=None), "column CodeSystem.url: the code system is missing"),
        (code_system(content="fragment"), "column CodeSystem.content: only a complete CodeSystem or a supplement"),
        (code_system(content="supplement"), "column CodeSystem.supplements: the code system is missing"),
        (code_system({"display": "x"}), r"column CodeSystem.concept\[0\].code: the code is missing"),
        (code_system({"code": "A", "display": " "}), r"column CodeSystem.concept\[0\].display: the display is no text"),
        (
            code_system({"code": "A"}, {"code": "A"}),
            r"column CodeSystem.concept\[1\].code: the code A stands there twice",
        ),
        (
            code_system({"code": "A", "designation": [{"value": ""}]}),
            r"column CodeSystem.concept\[0\].designation\[0\].value: the name is missing",
        ),
        (
            code_system({"code": "A", "property": [coded("entity-type", "illness")]}),
            r"column CodeSystem.concept\[0\].property: the entity-type is none of disease",
        ),
        (code_system({"code": "A", "concept": "B"}), r"column CodeSystem.concept\[0\].concept: this is no list"),
        (code_system({"code": "A", "concept": [DEEP]}), r"column CodeSystem.*: the hierarchy is deeper than 50 levels"),
        (concept_map(group=[]), r"column ConceptMap.group\[0\].source: the code system is missing"),
        (concept_map(group=[{"source": OWN}]), r"column ConceptMap.group\[0\]: a group has a source and a target"),
        (concept_map(R5), r"column ConceptMap.group\[0\].element\[0\].target\[0\].relationship: .* FHIR R5; convert"),
        (
            concept_map(group=[{"source": OWN, "target": OWN, "element": [{"code": "A", "noMap": True}]}]),
            r"column ConceptMap.group\[0\].element\[0\].noMap: this is a ConceptMap of FHIR R5",
        ),
        (
            concept_map(group=[{"source": OWN, "target": OWN, "element": [{}]}]),
            r"column ConceptMap.group\[0\].element\[0\].code: the code is missing",
        ),
        (concept_map({"code": "1", "equivalence": "like"}), r"target\[0\].equivalence: 'like' is no ConceptMapEquiv"),
        (concept_map({"code": "1"}), r"target\[0\].equivalence: 'None' is no ConceptMapEquivalence of R4"),
        (concept_map({"equivalence": "equal"}), r"target\[0\].code: the code is missing"),
    ],
)
def test_a_resource_that_cannot_be(tmp_path: Path, resource: Any, message: str) -> None:
    with pytest.raises(TerminologyError, match=rf"^a\.json, .*{message}"):
        read(tmp_path, resource)


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    path = write(tmp_path, code_system({"code": "A"}))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        TerminologyError, match=r"^a\.json, line \d+, column \d+: this is not JSON .* is the file cut off"
    ):
        fhir_json.load(Source(path), Options())


def test_json_that_is_nested_too_deeply(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'{"resourceType":"CodeSystem","concept":' + b"[" * 100_000)
    assert fhir_json.recognises(Source(path))
    with pytest.raises(TerminologyError, match=r"^a\.json, line 1, column \d+: this is not JSON"):
        fhir_json.load(Source(path), Options())


def test_a_code_system_that_is_there_twice(tmp_path: Path) -> None:
    write(tmp_path, code_system({"code": "A"}))
    write(tmp_path, code_system({"code": "B"}), "b.json")
    with pytest.raises(TerminologyError, match=r"^b\.json: a\.json has the same code system in the same version"):
        fhir_json.load(Source(tmp_path), Options())


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    write(tmp_path, {"resourceType": "ValueSet"})
    write(tmp_path, {"resourceType": "Patient"}, "b.json")
    assert not fhir_json.recognises(Source(tmp_path))
    with pytest.raises(TerminologyError, match=r"there is no CodeSystem and no ConceptMap of FHIR"):
        fhir_json.load(Source(tmp_path), Options())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "code display concept property designation value valueCode valueCoding language uri".split()
            )
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.lists(JSON, max_size=3), JSON, JSON)
def test_whatever_stands_there_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, concepts: list[Any], properties: Any, group: Any
) -> None:
    folder = tmp_path_factory.mktemp("fhir")
    for resource in (
        code_system(*concepts),
        code_system({"code": "A", "property": properties, "designation": properties}, property=properties),
        concept_map(group=[group]),
        concept_map(group),
    ):
        facts: list[Fact] = []
        with suppress(TerminologyError):
            facts = read(folder, resource)
        assert all(fact.text.strip() for fact in facts if isinstance(fact, Name))
