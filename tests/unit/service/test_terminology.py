"""The terminology operations over HTTP, on a small store of hand-written facts. Every answer is checked as R4B."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_coder.model import HPO, ICD10CM, LOINC, RXNORM, SNOMED
from fhir_coder.service.terminology_expand import filter_words
from fhir_coder.service.terminology_translate import MAPS
from fhir_coder.terminology import importer, writer
from fhir_coder.terminology.release import Broader, Concept, Fact, Import, MapRow, Name, Property, Release
from fhir_coder.terminology.store import ConceptStore
from fhir_coder.terminology.stored_release import StoredRelease

EDITION = "http://snomed.info/sct/731000124108"
RELEASES = (
    Release(system=SNOMED, version=f"{EDITION}/version/20260301", title="SNOMED CT, small"),
    Release(system=ICD10CM, version="2026", title="ICD-10-CM, small"),
    Release(system=RXNORM, version="2026-01", title="RxNorm, small"),
    Release(system=HPO, version="2026-02", title="HPO, small"),
    Release(system=SNOMED, version="2026-11", title="Everyday names", kind="supplement"),
    Release(system=LOINC, version="1", title="LOINC names without a release", kind="supplement"),
)
SNOMED_VERSION, ICD_MAP = RELEASES[0].version, "SNOMED CT to ICD-10-CM map 2026"
FEMALE, MALE = "IFA 248152002 | Female (finding) |", "IFA 248153007 | Male (finding) |"
CHILD = "IFA 445518008 | Age at onset of clinical finding (observable entity) | < 18.0 years"


def _map(code: str, target: str, group: int = 1, priority: int = 1, rule: str = "TRUE", advice: str = "") -> MapRow:
    return MapRow(SNOMED, code, ICD10CM, target, "relatedto", ICD_MAP, group, priority, rule, advice)


FACTS: list[tuple[int, Fact]] = [
    (0, Concept("38341003", "Hypertensive disorder", "disease")),
    (0, Name("38341003", "Hypertensive disorder", "preferred", True)),
    (0, Name("38341003", "Hypertension", "synonym", True)),
    (0, _map("38341003", "I10", advice="ALWAYS I10")),
    (0, Concept("59621000", "Essential hypertension", "disease")),
    (0, Name("59621000", "Essential hypertension", "preferred", True)),
    (0, Broader("59621000", "38341003")),
    (0, Concept("8619003", "Infertility", "disease")),
    (0, Name("8619003", "Infertility", "preferred", True)),
    (0, _map("8619003", "N97.9", 1, 1, FEMALE)),
    (0, _map("8619003", "N46.9", 1, 2, MALE)),
    (0, Concept("195967001", "Asthma", "disease")),
    (0, Name("195967001", "Asthma", "preferred", True)),
    (0, _map("195967001", "J45.901", 1, 1, CHILD)),
    (0, _map("195967001", "J45.909", 1, 2, "OTHERWISE TRUE")),
    (0, Concept("13445001", "Ménière's disease", "disease")),
    (0, Name("13445001", "Ménière's disease", "preferred", True)),
    (0, _map("13445001", "", advice="MAP CONCEPT IS OUTSIDE SCOPE")),
    (0, Concept("155295004", "High blood pressure, old concept", "disease", "retired")),
    (0, Name("155295004", "High blood pressure, old concept", "preferred", False)),
    (0, MapRow(SNOMED, "155295004", SNOMED, "38341003", "replaced-by", "SNOMED CT historical association SAME AS")),
    (1, Concept("E11", "Type 2 diabetes mellitus", "disease", "header")),
    (1, Name("E11", "Type 2 diabetes mellitus", "preferred", True)),
    (1, Concept("E11.9", "Type 2 diabetes mellitus without complications", "disease")),
    (1, Name("E11.9", "Type 2 diabetes mellitus without complications", "preferred", True)),
    (1, Broader("E11.9", "E11")),
    (1, Concept("I10", "Essential (primary) hypertension", "disease")),
    (1, Name("I10", "Essential (primary) hypertension", "preferred", True)),
    (1, Name("I10", "high blood pressure", "synonym", True)),
    (1, Name("I10", "Hypertension (arterial) (benign)", "index", True)),
    (1, Property("I10", "excludes1", "hypertension of the newborn (P29.2)")),
    *((1, Concept(code, f"Thing {code}", "disease")) for code in ("N97.9", "N46.9", "J45.901", "J45.909")),
    (1, Concept("R77", "Ratio < 3", "")),
    (1, Name("R77", "Ratio < 3", "preferred", False)),
    (2, Concept("29046", "lisinopril", "medication")),
    (2, Name("29046", "lisinopril", "preferred", True)),
    (2, Name("29046", "Zestril", "brand", True)),
    (2, Concept("196472", "Zestril", "medication")),
    (2, Name("196472", "Zestril", "preferred", True)),
    (2, MapRow(RXNORM, "196472", RXNORM, "29046", "tradename-of", "rxnorm")),
    (2, Concept("ingredients:1+2", "a / b", "medication", "header")),
    (2, Name("ingredients:1+2", "lisinopril / nothing", "preferred", True)),
    (2, MapRow(RXNORM, "ingredients:1+2", RXNORM, "29046", "has-ingredient", "starter")),
    (3, Concept("HP:0000822", "Hypertension", "disease", "header")),
    (3, Name("HP:0000822", "Hypertension", "preferred", True)),
    (3, MapRow(HPO, "HP:0000822", SNOMED, "38341003", "relatedto", "hp")),
    (3, MapRow(HPO, "HP:0000822", SNOMED, "999", "relatedto", "hp")),
    (4, Name("38341003", "HTN", "synonym", True)),
    (4, Name("404", "HTN of nobody", "synonym", True)),
    (5, Name("1-8", "a name", "synonym", True)),
]

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConceptStore]:
    folder = tmp_path_factory.mktemp("store")
    importer.store(Import(releases=RELEASES, facts=FACTS), folder, lambda *_: None)
    store = ConceptStore([StoredRelease(folder / str(index)) for index in range(len(RELEASES))])
    yield store
    store.close()


@pytest.fixture
def client(serve: Any, small_store: ConceptStore) -> Any:
    return serve(store=small_store).client


@pytest.fixture
def ask(client: Any) -> Ask:
    """Call an operation by GET, or by POST where there is a body, and check status and answer."""

    def call(path: str, status: int = 200, body: Any = None, **query: Any) -> dict[str, Any]:
        method = "GET" if body is None else "POST"
        response = client.request(method, f"/fhir/{path}", params=query, json=body)
        assert response.status_code == status, response.text
        return checked(response)

    return call


def checked(response: Any) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/fhir+json"
    resource: dict[str, Any] = response.json()
    get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    assert (resource["resourceType"] == "OperationOutcome") == (response.status_code >= 400)
    if response.status_code >= 400:
        assert resource["issue"][0]["diagnostics"]
    return resource


def posted(*listed: tuple[str, str, Any]) -> dict[str, Any]:
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": name, element: value} for name, element, value in listed],
    }


def dependency(element: str, **concept: Any) -> tuple[str, str, Any]:
    parts = [{"name": "element", "valueUri": element}, {"name": "concept", "valueCodeableConcept": concept}]
    return ("dependency", "part", parts)


def value(parameter: dict[str, Any]) -> Any:
    (found,) = (value for name, value in parameter.items() if name != "name")
    return found


def values(resource: dict[str, Any], name: str) -> list[Any]:
    return [value(parameter) for parameter in resource["parameter"] if parameter["name"] == name]


def one(resource: dict[str, Any], name: str) -> Any:
    (found,) = values(resource, name)
    return found


def parts(listed: list[dict[str, Any]]) -> dict[str, Any]:
    return {part["name"]: value(part) for part in listed}


def properties(resource: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(each["code"], each["value"]) for each in map(parts, values(resource, "property"))]


def matches(resource: dict[str, Any]) -> list[tuple[str, str, str]]:
    found = [parts(match) for match in values(resource, "match")]
    assert all(match.keys() == {"equivalence", "concept", "source"} for match in found)
    assert one(resource, "result") == bool(found)
    return [(m["equivalence"], m["concept"]["code"], m["source"].removeprefix(MAPS)) for m in found]


def codes(value_set: dict[str, Any]) -> list[str]:
    return [contained["code"] for contained in value_set["expansion"].get("contains", [])]


def test_lookup(ask: Ask) -> None:
    found = ask("CodeSystem/$lookup", system=SNOMED, code="38341003")
    assert one(found, "name") == "SNOMED CT, small"
    assert one(found, "version") == SNOMED_VERSION
    assert one(found, "display") == "Hypertensive disorder"
    assert [parts(each)["value"] for each in values(found, "designation")] == ["Hypertension", "HTN"]
    assert properties(found) == [("inactive", False), ("child", "59621000")]
    assert parts(values(found, "property")[1])["description"] == "Essential hypertension"


def test_lookup_by_coding_and_by_property(ask: Ask) -> None:
    coding = {"system": ICD10CM, "code": "I10"}
    found = ask("CodeSystem/$lookup", body=posted(("coding", "valueCoding", coding)))
    assert [parts(each)["value"] for each in values(found, "designation")] == ["high blood pressure"]
    assert properties(found) == [("inactive", False), ("excludes1", "hypertension of the newborn (P29.2)")]
    wanted = [("property", "valueCode", "inactive"), ("property", "valueCode", "lang.x")]
    found = ask("CodeSystem/$lookup", body=posted(("coding", "valueCoding", coding), *wanted))
    assert (properties(found), values(found, "designation")) == ([("inactive", False)], [])


def test_lookup_tells_headers_and_retired_concepts(ask: Ask) -> None:
    header = ask("CodeSystem/$lookup", system=ICD10CM, code="E11")
    assert properties(header) == [("inactive", False), ("notSelectable", True), ("child", "E11.9")]
    assert properties(ask("CodeSystem/$lookup", system=SNOMED, code="155295004")) == [("inactive", True)]
    # Nothing of HPO is emitted, which does not make its terms abstract.
    assert properties(ask("CodeSystem/$lookup", system=HPO, code="HP:0000822")) == [("inactive", False)]


@pytest.mark.parametrize("version", [SNOMED_VERSION, EDITION])
def test_an_edition_without_a_date_is_the_loaded_version(ask: Ask, version: str) -> None:
    assert one(ask("CodeSystem/$lookup", system=SNOMED, code="38341003", version=version), "version") == SNOMED_VERSION


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        ({"system": ICD10CM, "code": "I10.0"}, "code"),
        ({"system": ICD10CM, "code": "i10"}, "code"),
        ({"system": RXNORM, "code": "ingredients:1+2"}, "code"),
        ({"system": "http://example.org", "code": "1"}, "code"),
        ({"system": LOINC, "code": "1-8"}, "code"),  # a supplement alone is no code system
        ({"system": ICD10CM, "code": "I10", "version": "2025"}, "code"),
        ({"system": SNOMED, "code": "38341003", "version": "http://snomed.info/sct/7310001241"}, "code"),
        ({"system": ICD10CM, "code": "I10", "displayLanguage": "de"}, "displayLanguage"),
    ],
)
def test_lookup_of_what_is_not_there(ask: Ask, asked: dict[str, str], place: str) -> None:
    (issue,) = ask("CodeSystem/$lookup", 404, **asked)["issue"]
    assert (issue["code"], issue["expression"]) == ("not-found", [place])


@pytest.mark.parametrize(
    ("url", "asked", "result", "said"),
    [
        (ICD10CM, {"code": "I10"}, True, ""),
        (ICD10CM, {"code": "I10", "display": "HIGH  blood pressure"}, True, ""),
        (ICD10CM, {"code": "I10", "display": "low blood pressure"}, False, "not a name of I10"),
        (ICD10CM, {"code": "I10", "display": "Hypertension (arterial) (benign)"}, False, "not a name"),
        (ICD10CM, {"code": "R77", "display": "Ratio > 3"}, False, "not a name"),
        (SNOMED, {"code": "38341003", "display": "htn"}, True, ""),
        (SNOMED, {"code": "13445001", "display": "Me\u0301nie\u0300re's disease"}, True, ""),
        (RXNORM, {"code": "29046", "display": "Zestril"}, False, "not a name"),
        (ICD10CM, {"code": "E11"}, False, "abstract=true"),
        (ICD10CM, {"code": "E11", "abstract": "true"}, True, ""),
        (HPO, {"code": "HP:0000822"}, True, ""),
        (SNOMED, {"code": "155295004"}, True, "replaced by 38341003 (Hypertensive disorder)"),
        (ICD10CM, {"code": "nothing"}, False, "not in"),
        (RXNORM, {"code": "ingredients:1+2"}, False, "not in"),
    ],
)
def test_validate_code(ask: Ask, url: str, asked: dict[str, str], result: bool, said: str) -> None:
    of_code_system = ask("CodeSystem/$validate-code", url=url, **asked)
    assert one(of_code_system, "result") == result
    assert said in "".join(values(of_code_system, "message"))
    assert bool(values(of_code_system, "message")) == bool(said)
    assert [*values(of_code_system, "code"), *values(of_code_system, "system")] in ([], [asked["code"], url])
    for form in ("?fhir_vs", "/vs"):  # the system is inferred
        of_value_set = ask("ValueSet/$validate-code", url=url + form, **asked)
        assert of_value_set == of_code_system
    assert ask("ValueSet/$validate-code", url=f"{url}?fhir_vs", system=url, **asked) == of_code_system


def test_validate_code_gives_the_display_even_of_a_wrong_one(ask: Ask) -> None:
    found = ask("CodeSystem/$validate-code", url=ICD10CM, code="I10", display="x")
    assert (one(found, "display"), one(found, "version")) == ("Essential (primary) hypertension", "2026")


def test_validate_coding_and_codeable_concept(ask: Ask) -> None:
    icd, other = {"system": ICD10CM, "code": "I10"}, {"system": "http://example.org", "code": "1"}
    snomed = {"system": SNOMED, "code": "0"}
    path, vs = "CodeSystem/$validate-code", ("url", "valueUri", f"{ICD10CM}?fhir_vs")
    assert one(ask(path, body=posted(("coding", "valueCoding", icd))), "result")
    concept = ("codeableConcept", "valueCodeableConcept", {"coding": [other, snomed, icd], "text": "htn"})
    found = ask(path, body=posted(concept))
    assert (one(found, "result"), one(found, "code"), one(found, "system")) == (True, "I10", ICD10CM)
    assert not one(ask(path, body=posted(concept, ("url", "valueUri", SNOMED))), "result")
    assert one(ask("ValueSet/$validate-code", body=posted(concept, vs)), "result")
    assert one(ask("ValueSet/$validate-code", body=posted(vs, ("coding", "valueCoding", {"code": "I10"}))), "result")
    found = ask("ValueSet/$validate-code", body=posted(vs, ("coding", "valueCoding", snomed)))
    assert not one(found, "result")
    assert f"not of {ICD10CM}" in one(found, "message")
    ask(path, 404, body=posted(("codeableConcept", "valueCodeableConcept", {"coding": [other]})))


@pytest.mark.parametrize(
    ("path", "asked", "status", "place"),
    [
        ("CodeSystem/$validate-code", {"code": "I10"}, 422, "url"),
        ("CodeSystem/$validate-code", {"url": ICD10CM}, 422, "code"),
        ("CodeSystem/$validate-code", {"url": "http://example.org", "code": "1"}, 404, "url"),
        ("CodeSystem/$validate-code", {"url": ICD10CM, "code": "I10", "version": "1"}, 404, "version"),
        ("CodeSystem/$validate-code", {"url": ICD10CM, "code": "I10", "abstract": "1"}, 422, "abstract"),
        ("CodeSystem/$validate-code", {"url": ICD10CM, "coding": "a|b"}, 422, "coding"),
        ("CodeSystem/$validate-code", {"url": ICD10CM, "code": "x" * 1001}, 413, "code"),
        ("CodeSystem/$validate-code", {"system": ICD10CM, "code": "I10"}, 422, "system"),
        ("ValueSet/$validate-code", {"code": "I10"}, 422, "url"),
        ("ValueSet/$validate-code", {"url": ICD10CM, "code": "I10"}, 404, "url"),
        ("ValueSet/$validate-code", {"url": f"{SNOMED}?fhir_vs=isa/1", "code": "1"}, 404, "url"),
        ("ValueSet/$validate-code", {"url": "http://example.org?fhir_vs", "code": "1"}, 404, "url"),
        ("ValueSet/$validate-code", {"url": f"{ICD10CM}?fhir_vs|2025", "code": "I10"}, 404, "url"),
        ("ValueSet/$validate-code", {"url": f"{ICD10CM}/vs", "code": "I10", "systemVersion": "1"}, 404, "code"),
        ("ValueSet/$expand", {"filter": "a"}, 422, "url"),
        ("ValueSet/$expand", {"url": f"{ICD10CM}/vs", "count": "-1"}, 422, "count"),
        ("ValueSet/$expand", {"url": f"{ICD10CM}/vs", "count": "²"}, 422, "count"),
        ("ValueSet/$expand", {"url": f"{ICD10CM}/vs", "count": "9" * 5000}, 422, "count"),
        ("ValueSet/$expand", {"url": f"{ICD10CM}/vs", "filter": "!?"}, 422, "filter"),
        ("ValueSet/$expand", {"url": f"{ICD10CM}/vs", "filter": "a\x00b"}, 422, "filter"),
        ("ValueSet/$expand", {"url": f"{ICD10CM}/vs", "filter": "a" * 201}, 413, "filter"),
        ("ValueSet/$expand", {"url": f"{ICD10CM}/vs", "filter": " ".join(map(str, range(21)))}, 413, "filter"),
        ("ValueSet/$expand", {"url": f"{ICD10CM}/vs", "system-version": "a"}, 422, "system-version"),
        ("ConceptMap/$translate", {"code": "I10"}, 422, "system"),
        ("ConceptMap/$translate", {"system": "http://example.org", "code": "1"}, 404, "code"),
        (
            "ConceptMap/$translate",
            {"system": ICD10CM, "code": "I10", "targetsystem": "http://x.org"},
            404,
            "targetsystem",
        ),
        ("ConceptMap/$translate", {"system": ICD10CM, "code": "I10", "target": "http://x.org/vs"}, 404, "target"),
        ("ConceptMap/$translate", {"system": ICD10CM, "code": "I10", "url": "http://x.org"}, 404, "url"),
        ("ConceptMap/$translate", {"system": ICD10CM, "code": "I10", "source": SNOMED}, 422, "code"),
        (
            "ConceptMap/$translate",
            {"system": ICD10CM, "code": "I10", "target": SNOMED, "targetsystem": RXNORM},
            422,
            "targetsystem",
        ),
        ("ConceptMap/$translate", {"system": SNOMED, "code": "1", "dependency": "age"}, 422, "dependency"),
        ("metadata", {"mode": "normative"}, 422, "mode"),
        ("metadata", {"_format": "xml"}, 406, "_format"),
        ("CodeSystem/$lookup", {"system": ICD10CM, "code": "I10", "_format": "application/fhir+xml"}, 406, "_format"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    ask: Ask, path: str, asked: dict[str, str], status: int, place: str
) -> None:
    (issue,) = ask(path, status, **asked)["issue"]
    assert issue["expression"] == [place]


@pytest.mark.parametrize(
    ("listed", "status", "place"),
    [
        ([("code", "valueInteger", 1)], 422, "Parameters.parameter[0]"),
        ([("code", "valueCode", 1)], 400, "Parameters.parameter[0].valueCode"),
        ([("code", "resource", {"resourceType": "Patient"})], 422, "Parameters.parameter[0]"),
        ([("coding", "valueString", "I10")], 422, "Parameters.parameter[0]"),
        ([("coding", "valueCoding", "I10")], 400, "Parameters.parameter[0].valueCoding"),
        ([("coding", "valueCoding", {"system": ICD10CM})], 422, "Parameters.parameter[0]"),
        ([("coding", "valueCoding", {"system": ICD10CM, "code": 1})], 400, "Parameters.parameter[0].code"),
        ([("codeableConcept", "valueCodeableConcept", {"text": "a"})], 422, "Parameters.parameter[0].coding"),
        ([("codeableConcept", "valueCodeableConcept", {"coding": []})], 422, "Parameters.parameter[0].coding"),
        ([("codeableConcept", "valueCodeableConcept", {"coding": [1]})], 400, "Parameters.parameter[0].coding[0]"),
        ([("codeableConcept", "valueCodeableConcept", {"coding": [{}] * 51})], 422, "Parameters.parameter[0].coding"),
        ([("abstract", "valueString", "true")], 422, "Parameters.parameter[0]"),
        ([("abstract", "valueBoolean", "true")], 422, "Parameters.parameter[0].valueBoolean"),
        ([("codeSystem", "resource", {})], 422, "Parameters.parameter[0]"),
        ([("code", "valueCode", "a"), ("code", "valueCode", "a")], 422, "Parameters.parameter[1]"),
        (
            [("code", "valueCode", "a"), ("coding", "valueCoding", {"system": ICD10CM, "code": "a"})],
            422,
            "Parameters.parameter[1]",
        ),
        (
            [("coding", "valueCoding", {"system": ICD10CM, "code": "a"}), ("display", "valueString", "a")],
            422,
            "Parameters.parameter[1]",
        ),
    ],
)
def test_types_of_parameters(ask: Ask, listed: list[tuple[str, str, Any]], status: int, place: str) -> None:
    (issue,) = ask("CodeSystem/$validate-code", status, body=posted(*listed))["issue"]
    assert issue["expression"] == [place]


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"resourceType": "Parameters", "parameter": {}},
        {"resourceType": "Parameters", "parameter": [1]},
        {"resourceType": "Parameters", "parameter": [{"name": 1}]},
        {"resourceType": "Parameters", "parameter": [{"name": "code"}]},
        {"resourceType": "Parameters", "parameter": [{"name": "code", "valueCode": "a", "valueString": "a"}]},
    ],
)
def test_bodies_that_are_no_parameters(ask: Ask, body: Any) -> None:
    assert ask("ValueSet/$expand", 400, body=body)["issue"][0]["code"] == "structure"


def test_get_and_post_answer_alike(client: Any, ask: Ask) -> None:
    listed = (("system", "valueUri", SNOMED), ("code", "valueCode", "38341003"))
    by_get = ask("CodeSystem/$lookup", system=SNOMED, code="38341003", _format="application/fhir+json", _pretty="true")
    assert ask("CodeSystem/$lookup", body=posted(*listed)) == by_get
    # Part of them in the query string, and with the elements that other clients choose.
    assert ask("CodeSystem/$lookup", body=posted(("system", "valueCanonical", SNOMED)), code="38341003") == by_get
    plus = client.get(f"/fhir/CodeSystem/$lookup?system={SNOMED}&code=38341003&_format=application/fhir+json")
    assert checked(plus) == by_get


@pytest.mark.parametrize(
    ("system", "text", "expected"),
    [
        (SNOMED, "hypertension", ["38341003", "59621000"]),
        (SNOMED, "HYPERT", ["38341003", "59621000"]),
        (SNOMED, "hyp ess", ["59621000"]),
        (SNOMED, "htn", ["38341003"]),  # a name of the supplement; the one of a code that is not there is left out
        (SNOMED, "meniere", ["13445001"]),
        (SNOMED, "MÉNIÈRE'S", ["13445001"]),
        (SNOMED, "me\u0301nie", ["13445001"]),
        (SNOMED, "pertension", []),
        (ICD10CM, "arterial hyp", ["I10"]),  # an entry of the index
        (ICD10CM, "2 diabetes", ["E11", "E11.9"]),
        (RXNORM, "zes", ["196472", "29046"]),
        (RXNORM, "nothing", []),  # our own key is no code
        (SNOMED, '"hypertension" OR NOT -asthma* (', []),
        (SNOMED, 'hypertension"', ["38341003", "59621000"]),
        (SNOMED, "text:hypertension", []),
        (SNOMED, "hypertension😀 ", ["38341003", "59621000"]),
    ],
)
def test_the_filter_of_an_expansion(ask: Ask, system: str, text: str, expected: list[str]) -> None:
    found = ask("ValueSet/$expand", url=f"{system}?fhir_vs", filter=text)
    assert codes(found) == expected
    assert found["expansion"]["total"] == len(expected)


def test_what_an_expansion_says_of_its_concepts(ask: Ask) -> None:
    found = ask("ValueSet/$expand", url=f"{SNOMED}?fhir_vs", filter="hypertension", includeDesignations="true")
    assert found["expansion"]["contains"][0] == {
        "system": SNOMED,
        "version": SNOMED_VERSION,
        "code": "38341003",
        "display": "Hypertensive disorder",
        "designation": [{"value": "Hypertension"}, {"value": "HTN"}],
    }
    assert "designation" not in found["expansion"]["contains"][1]
    assert {"name": "version", "valueUri": f"{SNOMED}|{SNOMED_VERSION}"} in found["expansion"]["parameter"]
    (header,) = ask("ValueSet/$expand", url=f"{ICD10CM}/vs", filter="type diab", count=1)["expansion"]["contains"]
    assert (header["code"], header["abstract"]) == ("E11", True)


def test_active_only_leaves_out_retired_concepts_but_not_headers(ask: Ask) -> None:
    url = f"{SNOMED}?fhir_vs"
    (retired,) = ask("ValueSet/$expand", url=url, filter="high old")["expansion"]["contains"]
    assert (retired["code"], retired["inactive"]) == ("155295004", True)
    active = ask("ValueSet/$expand", url=url, filter="high old", activeOnly="true")
    assert (codes(active), active["expansion"]["total"]) == ([], 0)
    assert codes(ask("ValueSet/$expand", url=f"{ICD10CM}/vs", filter="diabetes", activeOnly="true")) == ["E11", "E11.9"]


def test_pages_of_an_expansion_add_up(ask: Ask) -> None:
    whole = ask("ValueSet/$expand", url=f"{ICD10CM}?fhir_vs")
    assert codes(whole) == sorted(fact.code for index, fact in FACTS if index == 1 and isinstance(fact, Concept))
    pages = [ask("ValueSet/$expand", url=f"{ICD10CM}?fhir_vs", offset=at, count=3) for at in range(0, 12, 3)]
    assert [code for page in pages for code in codes(page)] == codes(whole)
    assert {page["expansion"]["total"] for page in pages} == {len(codes(whole))}
    counted = ask("ValueSet/$expand", url=f"{ICD10CM}?fhir_vs", count=0)
    assert ("contains" in counted["expansion"], counted["expansion"]["total"]) == (False, len(codes(whole)))


@pytest.mark.parametrize(
    "url", [f"{EDITION}?fhir_vs", f"{SNOMED_VERSION}?fhir_vs", f"{SNOMED}?fhir_vs|{SNOMED_VERSION}"]
)
def test_a_value_set_may_name_its_version(ask: Ask, url: str) -> None:
    assert codes(ask("ValueSet/$expand", url=url, filter="asthma")) == ["195967001"]


def test_a_part_is_not_taken_for_the_whole(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fhir_coder.service.terminology_expand._MOST", 1)
    asked = {"url": f"{SNOMED}?fhir_vs", "filter": "hypertension"}
    (issue,) = ask("ValueSet/$expand", 422, **asked)["issue"]
    assert issue["code"] == "too-costly"
    assert codes(ask("ValueSet/$expand", **asked, offset=1)) == ["59621000"]
    assert codes(ask("ValueSet/$expand", **asked, count=1)) == ["38341003"]
    assert codes(ask("ValueSet/$expand", **asked, count=9, offset=1)) == ["59621000"]
    assert ask("ValueSet/$expand", 422, **asked, count=2)["issue"][0]["code"] == "too-costly"
    monkeypatch.setattr("fhir_coder.service.terminology_expand._MOST_NAMES", 1)
    assert ask("ValueSet/$expand", 422, **asked, count=1)["issue"][0]["code"] == "too-costly"
    assert ask("ValueSet/$expand", 422, url=f"{SNOMED}?fhir_vs", count=1)["issue"][0]["code"] == "too-costly"


def test_translate(ask: Ask) -> None:
    for target in ({"targetsystem": ICD10CM}, {"target": f"{ICD10CM}?fhir_vs"}, {"target": ICD10CM}, {}):
        found = ask("ConceptMap/$translate", system=SNOMED, code="38341003", **target)
        assert matches(found)[0] == ("relatedto", "I10", "snomed-ct-to-icd-10-cm-map-2026")
        assert "I10: ALWAYS I10" in one(found, "message")
    assert [code for _, code, _ in matches(found)] == ["I10", "HP:0000822"]
    concept = parts(values(found, "match")[0])["concept"]
    assert concept == {
        "system": ICD10CM,
        "version": "2026",
        "code": "I10",
        "display": "Essential (primary) hypertension",
    }


def test_a_map_read_backwards_says_so(ask: Ask) -> None:
    found = ask("ConceptMap/$translate", system=ICD10CM, code="I10", targetsystem=SNOMED)
    assert matches(found) == [("relatedto", "38341003", "snomed-ct-to-icd-10-cm-map-2026-inverse")]
    assert "is derived" in one(found, "message")


def test_reverse(ask: Ask) -> None:
    # Source and target change places: what is sought is the source's.
    for sought in ({"source": SNOMED}, {"targetsystem": SNOMED}, {"target": ICD10CM, "source": f"{SNOMED}?fhir_vs"}):
        found = ask("ConceptMap/$translate", system=ICD10CM, code="I10", reverse="true", **sought)
        assert matches(found) == [("relatedto", "38341003", "snomed-ct-to-icd-10-cm-map-2026")]
        assert values(found, "message") == []
    found = ask("ConceptMap/$translate", system=SNOMED, code="38341003", source=SNOMED, reverse="true")
    assert [(equivalence, code) for equivalence, code, _ in matches(found)] == [("equivalent", "155295004")]


def test_translate_by_the_map_that_an_answer_names(ask: Ask) -> None:
    asked = {"system": SNOMED, "code": "38341003"}
    assert [code for _, code, _ in matches(ask("ConceptMap/$translate", **asked, url=f"{MAPS}hp-inverse"))] == [
        "HP:0000822"
    ]
    found = ask("ConceptMap/$translate", **asked, url=f"{MAPS}another")
    assert (matches(found), "no map" in one(found, "message")) == ([], True)


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        ("8619003", [dependency("Patient.gender", text="female")], ["N97.9"]),
        ("8619003", [dependency("http://example.org/x#gender", coding=[{"code": "248153007"}])], ["N46.9"]),
        ("8619003", [dependency("sex", coding=[{"code": "M"}])], ["N46.9"]),
        ("195967001", [dependency("age", text="12 a")], ["J45.901"]),
        ("195967001", [dependency("http://snomed.info/id/424144002", text="17 a")], ["J45.901"]),
        ("195967001", [dependency("age", text="18 a")], ["J45.909"]),
        ("195967001", [dependency("age", text="3 mo")], ["J45.901"]),
        ("195967001", [dependency("age", text="64 a"), dependency("445518008", text="5 a")], ["J45.901"]),
    ],
)
def test_rules_of_sex_and_age(ask: Ask, code: str, said: list[Any], expected: list[str]) -> None:
    asked = [("system", "valueUri", SNOMED), ("code", "valueCode", code), ("targetsystem", "valueUri", ICD10CM)]
    found = ask("ConceptMap/$translate", body=posted(*asked, *said))
    assert [code for _, code, _ in matches(found)] == expected


@pytest.mark.parametrize("said", [[], [dependency("gender", text="unknown")]])
def test_a_rule_that_cannot_be_told_names_the_choice(ask: Ask, said: list[Any]) -> None:
    asked = [("system", "valueUri", SNOMED), ("code", "valueCode", "8619003"), ("targetsystem", "valueUri", ICD10CM)]
    found = ask("ConceptMap/$translate", body=posted(*asked, *said))
    assert matches(found) == []
    assert "sex is not known; it is one of N97.9, N46.9; say" in one(found, "message")


@pytest.mark.parametrize(
    "wrong",
    [
        dependency("Medication.dosage", text="1"),  # ends in age
        dependency("gender", text="femal"),
        dependency("gender", coding=[]),
        dependency("gender", coding=[{}]),
        dependency("gender", coding=1),
        dependency("gender"),
        dependency("age", text="12"),
        dependency("age", text="² a"),
        dependency("age", text="0 a"),
        dependency("age", text="-1 d"),
        dependency("age", text="9" * 900 + " a"),
        ("dependency", "part", []),
        ("dependency", "part", {}),
        ("dependency", "part", [{"name": "element", "valueUri": "age"}]),
        ("dependency", "part", [{"name": "elements", "valueUri": "age"}]),
        ("dependency", "valueString", "age"),
    ],
)
def test_dependencies_that_cannot_be_read(client: Any, wrong: tuple[str, str, Any]) -> None:
    body = posted(("system", "valueUri", SNOMED), ("code", "valueCode", "8619003"), wrong)
    response = client.post("/fhir/ConceptMap/$translate", json=body)
    assert response.status_code in (400, 422)
    assert checked(response)["issue"][0]["expression"][0].startswith("Parameters.parameter[2]")


def test_relations_within_a_code_system(ask: Ask) -> None:
    found = ask("ConceptMap/$translate", system=SNOMED, code="155295004", targetsystem=SNOMED)
    assert [(equivalence, code) for equivalence, code, _ in matches(found)] == [("equivalent", "38341003")]
    assert "replaced by 38341003" in one(found, "message")
    found = ask("ConceptMap/$translate", system=RXNORM, code="196472", targetsystem=RXNORM)
    assert matches(found) == [("wider", "29046", "rxnorm")]
    found = ask("ConceptMap/$translate", system=RXNORM, code="29046", targetsystem=RXNORM)
    assert matches(found) == []  # that a brand has an ingredient does not name the brand of the ingredient
    found = ask("ConceptMap/$translate", system=RXNORM, code="29046", targetsystem=RXNORM, reverse="true")
    assert matches(found) == [("narrower", "196472", "rxnorm")]  # and our own key is no code


def test_what_leads_nowhere_is_explained(ask: Ask) -> None:
    found = ask("ConceptMap/$translate", system=SNOMED, code="13445001", targetsystem=ICD10CM)
    assert (matches(found), "OUTSIDE SCOPE" in one(found, "message")) == ([], True)
    found = ask("ConceptMap/$translate", system=HPO, code="HP:0000822", targetsystem=SNOMED)
    assert [code for _, code, _ in matches(found)] == ["38341003"]
    assert "leads to 999, which is not in the loaded release" in one(found, "message")
    found = ask("ConceptMap/$translate", system=ICD10CM, code="I99999")
    assert (matches(found), "not in" in one(found, "message")) == ([], True)
    found = ask("ConceptMap/$translate", system=ICD10CM, code="E11.9", targetsystem=RXNORM)
    assert (matches(found), "no map" in one(found, "message")) == ([], True)


def test_all_codings_of_a_concept_are_translated(ask: Ask) -> None:
    coding = [
        {"system": "http://example.org", "code": "1"},
        {"system": SNOMED, "code": "38341003"},
        {"system": SNOMED, "code": "0"},
        {"system": HPO, "code": "HP:0000822"},
    ]
    concept = ("codeableConcept", "valueCodeableConcept", {"coding": coding})
    found = ask("ConceptMap/$translate", body=posted(concept, ("targetsystem", "valueUri", ICD10CM)))
    assert [code for _, code, _ in matches(found)] == ["I10"]
    from_hpo = ("source", "valueUri", f"{HPO}?fhir_vs")
    found = ask("ConceptMap/$translate", body=posted(concept, from_hpo, ("targetsystem", "valueUri", SNOMED)))
    assert [code for _, code, _ in matches(found)] == ["38341003"]


def test_too_many_matches_are_cut_and_said_to_be(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fhir_coder.service.terminology_translate._MOST", 1)
    found = ask("ConceptMap/$translate", system=SNOMED, code="38341003")
    assert len(matches(found)) == 1
    assert "the first 1 of 2" in one(found, "message")


def test_terminology_capabilities(ask: Ask) -> None:
    found = ask("metadata", mode="terminology", _format="json")
    assert found["resourceType"] == "TerminologyCapabilities"
    listed = {each["uri"]: [version["code"] for version in each["version"]] for each in found["codeSystem"]}
    assert listed == {SNOMED: [SNOMED_VERSION], ICD10CM: ["2026"], RXNORM: ["2026-01"], HPO: ["2026-02"]}
    assert ask("metadata")["resourceType"] == ask("metadata", mode="full")["resourceType"] == "CapabilityStatement"


def test_without_any_release_nothing_is_known(serve: Any) -> None:
    client = serve().client
    assert checked(client.get("/fhir/metadata?mode=terminology"))["codeSystem"] == []
    assert client.get(f"/fhir/CodeSystem/$lookup?system={ICD10CM}&code=I10").status_code == 404


def test_a_filter_of_10_mb(client: Any) -> None:
    body = posted(("url", "valueUri", f"{ICD10CM}/vs"), ("filter", "valueString", "a" * 10_000_000))
    assert checked(client.post("/fhir/ValueSet/$expand", json=body))["issue"][0]["code"] == "too-long"


OPERATIONS = (
    "CodeSystem/$lookup",
    "CodeSystem/$validate-code",
    "ValueSet/$validate-code",
    "ValueSet/$expand",
    "ConceptMap/$translate",
)
_HYPOTHESIS = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40) | st.sampled_from(
    [
        SNOMED,
        ICD10CM,
        f"{SNOMED}?fhir_vs",
        "38341003",
        "8619003",
        "I10",
        "female",
        "12 a",
        "true",
        "1",
        'a" OR "b*',
        "^a",
    ]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["system", "code", "version", "display", "coding", "text", "name", "valueUri"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
_NAMES = st.sampled_from(
    [
        *("url", "system", "code", "version", "display", "coding", "codeableConcept", "filter", "offset", "count"),
        *("dependency", "element", "concept", "reverse", "target", "source", "targetsystem", "property", "abstract"),
        *("activeOnly", "includeDesignations", "displayLanguage"),
    ]
)
_PARAMETER = st.fixed_dictionaries(
    {"name": _NAMES},
    optional=dict.fromkeys(
        "valueUri valueCode valueString valueBoolean valueInteger valueCoding valueCodeableConcept part".split(), _JSON
    ),
)


@_HYPOTHESIS
@given(text=_TEXT)
def test_any_filter_is_answered(client: Any, text: str) -> None:
    response = client.get("/fhir/ValueSet/$expand", params={"url": f"{SNOMED}?fhir_vs", "filter": text})
    assert response.status_code in (200, 413, 422)
    checked(response)


@_HYPOTHESIS
@given(words=st.lists(st.sampled_from(["Hyp", "hypertensive", "DISORDER", "hypertension", "htn"]), min_size=1))
def test_a_filter_finds_a_concept_by_the_beginnings_of_a_name(client: Any, words: list[str]) -> None:
    response = client.get(
        "/fhir/ValueSet/$expand", params={"url": f"{SNOMED}?fhir_vs", "filter": " ".join(words)[:200]}
    )
    names = ["hypertensive disorder", "hypertension", "htn"]
    matching = any(
        all(any(word.startswith(part.lower()) for word in name.split()) for part in words[:15]) for name in names
    )
    if len(" ".join(words)) <= 200 and len(words) <= 15:
        assert ("38341003" in codes(checked(response))) == matching


@_HYPOTHESIS
@given(operation=st.sampled_from(OPERATIONS), query=st.lists(st.tuples(_NAMES, _TEXT), max_size=5))
def test_any_query_is_answered(client: Any, operation: str, query: list[tuple[str, str]]) -> None:
    response = client.get(f"/fhir/{operation}", params=query)
    assert response.status_code in (200, 400, 404, 413, 422)
    checked(response)


@_HYPOTHESIS
@given(operation=st.sampled_from(OPERATIONS), listed=st.lists(_PARAMETER | _JSON, max_size=4) | _JSON)
def test_any_parameters_are_answered(client: Any, operation: str, listed: Any) -> None:
    body = json.dumps({"resourceType": "Parameters", "parameter": listed})
    response = client.post(f"/fhir/{operation}", content=body, headers={"Content-Type": "application/fhir+json"})
    assert response.status_code in (200, 400, 404, 413, 422)
    checked(response)


def test_no_character_is_an_error_to_fts5() -> None:
    words = sqlite3.connect(":memory:")
    words.execute(writer._FULL_TEXT)
    for number in range(0x80, sys.maxunicode + 1):
        for word in filter_words(f"a{chr(number)}b"):
            if not word.isascii():
                words.execute("SELECT rowid FROM words WHERE words MATCH ?", (f'"{word}"*',)).fetchall()
    words.close()


def test_no_word_of_a_request_is_logged(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    ask("ValueSet/$expand", url=f"{SNOMED}?fhir_vs", filter="CANARY")
    ask("ValueSet/$expand", 404, url="CANARY", filter="CANARY")
    ask("CodeSystem/$validate-code", url=ICD10CM, code="I10", display="CANARY")
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("fhir_coder")]
    assert "CANARY" not in " ".join(ours)
