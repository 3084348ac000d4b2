from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

from fhir_coder.fhir.bundle import to_bundle
from fhir_coder.fhir.checks import check
from fhir_coder.fhir.elements import IPS, OURS, US_CORE
from fhir_coder.model import ICD10CM, LOINC, RXNORM, SNOMED, Assertion, Coding, EntityType, Relation

DRUG, LAB, VITAL, DEVICE = EntityType.MEDICATION, EntityType.LAB_TEST, EntityType.VITAL_SIGN, EntityType.DEVICE

POSSIBLE = Assertion(certainty="possible")
HYPOTHETICAL = Assertion(certainty="hypothetical")
PLANNED = Assertion(temporality="future")
HISTORICAL = Assertion(temporality="historical")
NEGATED = Assertion(negated=True)
FAMILY = Assertion(experiencer="family")
OTHER = Assertion(experiencer="other")


def resources(coded: Any, **options: Any) -> list[dict[str, Any]]:
    """Return the derived resources, after all that can be said against the Bundle."""
    bundle = to_bundle(coded, **options)
    check(bundle)
    Bundle.model_validate(bundle)
    return [each["resource"] for each in bundle["entry"] if each["resource"]["resourceType"] != "Provenance"]


def only(coded: Any, **options: Any) -> dict[str, Any]:
    """Return the single derived resource."""
    (resource,) = resources(coded, **options)
    return resource


def writes_nothing(coded: Any) -> bool:
    """Say whether the note gives no entry at all, not even a Provenance."""
    return "entry" not in to_bundle(coded)


def code(concept: dict[str, Any]) -> str:
    """Return the code of a CodeableConcept with one coding."""
    (coding,) = concept["coding"]
    return str(coding["code"])


def spans(resource: dict[str, Any]) -> list[tuple[int, int]]:
    """Return offset and length of every derivation-reference extension."""
    found = []
    for extension in resource["extension"]:
        if extension["url"].endswith("/derivation-reference"):
            parts = {part["url"]: part for part in extension["extension"]}
            assert parts["reference"]["valueReference"] == {"reference": "DocumentReference/9"}
            assert parts["path"]["valueString"].startswith("DocumentReference.content")
            found.append((parts["offset"]["valueInteger"], parts["length"]["valueInteger"]))
    return found


@pytest.mark.parametrize(
    ("assertion", "clinical", "verification"),
    [
        (Assertion(), "active", "unconfirmed"),
        (POSSIBLE, "active", "provisional"),
        (HISTORICAL, "inactive", "unconfirmed"),
        (Assertion(temporality="historical", certainty="possible"), "inactive", "provisional"),
    ],
)
def test_condition_status_follows_the_assertion(
    make_entity: Any, make_note: Any, assertion: Assertion, clinical: str, verification: str
) -> None:
    condition = only(make_note(make_entity("HTN", code="38341003", assertion=assertion)))
    assert condition["resourceType"] == "Condition"
    assert code(condition["clinicalStatus"]) == clinical
    assert code(condition["verificationStatus"]) == verification
    assert code(condition["category"][0]) == "problem-list-item"
    assert condition["subject"] == {"reference": "Patient/7"}
    assert condition["evidence"] == [{"detail": [{"reference": "DocumentReference/9"}]}]


@pytest.mark.parametrize(
    "assertion", [NEGATED, HYPOTHETICAL, PLANNED, OTHER, Assertion(negated=True, experiencer="family")]
)
@pytest.mark.parametrize("type_", [EntityType.DISEASE, EntityType.SYMPTOM, DEVICE])
def test_what_the_text_does_not_say_of_the_patient_is_not_written(
    make_entity: Any, make_note: Any, assertion: Assertion, type_: EntityType
) -> None:
    assert writes_nothing(make_note(make_entity("stroke", type_, assertion=assertion)))


def test_what_may_be_several_kinds_of_things_is_not_written(make_entity: Any, make_note: Any) -> None:
    assert writes_nothing(make_note(make_entity("MS", EntityType.DISEASE, ambiguous=True)))


def test_what_only_the_recogniser_takes_for_something_is_written_with_a_code_or_as_an_allergy(
    make_entity: Any, make_note: Any
) -> None:
    assert writes_nothing(make_note(make_entity("strict i/o", recognised=0.7)))
    assert only(make_note(make_entity("metformen", DRUG, code="6809", recognised=0.9)))["resourceType"] == (
        "MedicationStatement"
    )
    allergy = only(make_note(make_entity("sulfa drugs", DRUG, recognised=0.9, allergy=True)))
    assert allergy["code"] == {"text": "sulfa drugs"}


@pytest.mark.parametrize("type_", [EntityType.PROCEDURE, EntityType.ANATOMY, EntityType.GENE])
def test_types_without_a_resource(make_entity: Any, make_note: Any, type_: EntityType) -> None:
    assert writes_nothing(make_note(make_entity("BRCA1", type_)))


@pytest.mark.parametrize(
    ("assertion", "action", "status"),
    [
        (Assertion(), None, "active"),
        (POSSIBLE, None, "unknown"),
        (HISTORICAL, None, "completed"),
        (HYPOTHETICAL, None, "intended"),
        (PLANNED, None, "intended"),
        (PLANNED, "start", "intended"),
        (PLANNED, "continue", "active"),
        (PLANNED, "stop", "unknown"),
        (Assertion(), "start", "active"),
        (Assertion(), "increase", "active"),
        (Assertion(), "stop", "stopped"),
        (HISTORICAL, "stop", "stopped"),
        (Assertion(), "hold", "on-hold"),
    ],
)
def test_medication_status(make_entity: Any, make_note: Any, assertion: Assertion, action: str, status: str) -> None:
    more = {"action": action} if action else {}
    statement = only(make_note(make_entity("aspirin", DRUG, code="1191", assertion=assertion, **more)))
    assert statement["status"] == status
    assert statement["_effectiveDateTime"]["extension"][0]["valueCode"] == "unknown"
    assert statement["dateAsserted"] == "2026-03-01T09:30:00+00:00"
    assert statement["derivedFrom"] == [{"reference": "DocumentReference/9"}]


@pytest.mark.parametrize("assertion", [NEGATED, FAMILY, OTHER])
def test_medication_that_is_not_taken_is_not_written(make_entity: Any, make_note: Any, assertion: Assertion) -> None:
    assert writes_nothing(make_note(make_entity("Advil", DRUG, assertion=assertion)))


def test_dosage(make_entity: Any, make_note: Any) -> None:
    drug = make_entity(
        "metformin",
        DRUG,
        dose=500,
        dose_high=1000,
        unit="mg",
        ucum="mg",
        form="tablet",
        route="oral",
        frequency="twice daily",
        timing={"frequency": 2, "period": 1, "periodUnit": "d"},
        duration="7 days",
        duration_value=7,
        duration_unit="d",
        as_needed=True,
        sig="500-1000 mg PO BID prn x 7 days",
    )
    (dosage,) = only(make_note(drug))["dosage"]
    milligrams = {"unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}
    assert code(dosage.pop("route")) == "26643006"
    assert dosage == {
        "text": "500-1000 mg PO BID prn x 7 days",
        "timing": {
            "repeat": {
                "frequency": 2,
                "period": 1,
                "periodUnit": "d",
                "boundsDuration": {"value": 7, "unit": "d", "system": "http://unitsofmeasure.org", "code": "d"},
            },
            "code": {"text": "twice daily"},
        },
        "asNeededBoolean": True,
        "doseAndRate": [{"doseRange": {"low": {"value": 500} | milligrams, "high": {"value": 1000} | milligrams}}],
    }


def test_dosage_of_an_unknown_route_and_unit_stays_text(make_entity: Any, make_note: Any) -> None:
    drug = make_entity("cream", DRUG, dose=2, form="puffs", route="by magic", as_needed=True, reason="itching")
    (dosage,) = only(make_note(drug))["dosage"]
    assert dosage == {
        "asNeededCodeableConcept": {"text": "itching"},
        "route": {"text": "by magic"},
        "doseAndRate": [{"doseQuantity": {"value": 2, "unit": "puffs"}}],
    }


def test_pieces_that_mean_nothing_alone_are_no_dosage(make_entity: Any, make_note: Any) -> None:
    assert "dosage" not in only(make_note(make_entity("aspirin", DRUG, form="tablet", as_needed=False, unit="mg")))


@pytest.mark.parametrize(
    ("mentions", "doses"),
    [
        ([{}, {"dose": 10}], [10]),  # the mention that has it gives it
        ([{"dose": 10}, {"dose": 10, "unit": "mg"}], [10]),
        ([{"dose": 10}, {"dose": 20}], [10, 20]),  # which one holds is not for us to say
        ([{"dose": 10}, {"dose": 20, "action": "increase"}], [20]),
        ([{"dose": 10}, {"action": "decrease"}, {"dose": 5}], [5]),
    ],
)
def test_dosages_of_several_mentions(
    make_entity: Any, make_note: Any, mentions: list[dict[str, Any]], doses: list[int]
) -> None:
    drugs = [make_entity("lisinopril", DRUG, at=50 * i, **given) for i, given in enumerate(mentions)]
    statement = only(make_note(*drugs))
    assert [each["doseAndRate"][0]["doseQuantity"]["value"] for each in statement["dosage"]] == doses
    assert len(spans(statement)) == len(drugs)


def test_the_last_action_of_a_medication_holds(make_entity: Any, make_note: Any) -> None:
    taken = make_entity("aspirin", DRUG, at=0, dose=81)
    stopped = make_entity("aspirin", DRUG, at=50, assertion=HISTORICAL, action="stop")
    again = make_entity("aspirin", DRUG, at=90, action="start")
    assert only(make_note(taken, stopped))["status"] == "stopped"
    assert only(make_note(taken, stopped, again))["status"] == "active"


@pytest.mark.parametrize(
    ("attributes", "value"),
    [
        (
            {"value": 7.2, "unit": "%"},
            {"valueQuantity": {"value": 7.2, "unit": "%", "system": "http://unitsofmeasure.org", "code": "%"}},
        ),
        ({"value": 0, "unit_text": "units"}, {"valueQuantity": {"value": 0, "unit": "units"}}),
        ({"value": 5, "comparator": "<"}, {"valueQuantity": {"value": 5, "comparator": "<"}}),
        ({"value_text": "negative"}, {"valueCodeableConcept": {"text": "negative"}}),
    ],
)
def test_lab_value(make_entity: Any, make_note: Any, attributes: dict[str, Any], value: dict[str, Any]) -> None:
    result = only(make_note(make_entity("A1c", LAB, code="4548-4", system=LOINC, **attributes)))
    assert {name: each for name, each in result.items() if name.startswith("value")} == value
    assert code(result["category"][0]) == "laboratory"
    assert result["status"] == "final"
    assert result["effectiveDateTime"] == "2026-03-01T09:30:00+00:00"
    assert result["meta"]["profile"] == [US_CORE + "us-core-observation-lab", OURS + "coded-laboratory-observation"]


def test_a_test_without_a_value_is_not_written(make_entity: Any, make_note: Any) -> None:
    assert writes_nothing(make_note(make_entity("A1c", LAB), make_entity("BP", VITAL, systolic=120)))


def test_a_lab_test_without_loinc_is_one_too(make_entity: Any, make_note: Any) -> None:
    """The binding to LOINC is extensible: where there is no code, there is text."""
    assert US_CORE + "us-core-observation-lab" in only(make_note(make_entity("A1c", LAB, value=7)))["meta"]["profile"]


def test_an_earlier_value_has_no_time(make_entity: Any, make_note: Any) -> None:
    result = only(make_note(make_entity("A1c", LAB, value=7, assertion=HISTORICAL)))
    assert "effectiveDateTime" not in result
    assert result["_effectiveDateTime"]["extension"][0]["valueCode"] == "unknown"


def test_a_preliminary_note_gives_preliminary_results(make_entity: Any, make_note: Any) -> None:
    assert only(make_note(make_entity("A1c", LAB, value=7), doc_status="preliminary"))["status"] == "preliminary"


@pytest.mark.parametrize(
    ("loinc", "unit", "profile"),
    [
        ("8867-4", "/min", "us-core-heart-rate"),
        ("8310-5", "Cel", "us-core-body-temperature"),
        ("59408-5", "%", "us-core-pulse-oximetry"),
        ("8302-2", "cm", "us-core-body-height"),
        ("8302-2", "m", "us-core-vital-signs"),  # a unit that the profile does not allow
        ("8310-5", None, "us-core-vital-signs"),
        ("72514-3", "{score}", "us-core-vital-signs"),
    ],
)
def test_vital_sign_profile(make_entity: Any, make_note: Any, loinc: str, unit: str, profile: str) -> None:
    result = only(make_note(make_entity("vital", VITAL, code=loinc, system=LOINC, value=37, unit=unit)))
    assert code(result["category"][0]) == "vital-signs"
    assert result["meta"]["profile"] == [US_CORE + profile, OURS + "coded-vital-sign"]


@pytest.mark.parametrize("loinc", ["85354-9", "8480-6"])
def test_blood_pressure_is_a_panel(make_entity: Any, make_note: Any, loinc: str) -> None:
    panel = only(make_note(make_entity("BP", VITAL, code=loinc, system=LOINC, systolic=142, diastolic=88)))
    assert code(panel["code"]) == "85354-9"
    assert [(code(each["code"]), each["valueQuantity"]["value"]) for each in panel["component"]] == [
        ("8480-6", 142),
        ("8462-4", 88),
    ]
    assert {each["valueQuantity"]["code"] for each in panel["component"]} == {"mm[Hg]"}
    assert "valueQuantity" not in panel
    assert panel["meta"]["profile"][0].endswith("us-core-blood-pressure")


def test_uncoded_blood_pressure_has_no_codes(make_entity: Any, make_note: Any) -> None:
    panel = only(make_note(make_entity("BP", VITAL, systolic=142, diastolic=88)))
    assert panel["code"] == {"text": "BP"}
    assert all("coding" not in each["code"] for each in panel["component"])
    assert panel["meta"]["profile"][0] == US_CORE + "us-core-vital-signs"


@pytest.mark.parametrize(
    ("assertion", "status", "use"),
    [(Assertion(), "active", "active"), (POSSIBLE, "unknown", None), (HISTORICAL, "inactive", "completed")],
)
def test_device(make_entity: Any, make_note: Any, assertion: Assertion, status: str, use: str | None) -> None:
    device, *uses = resources(make_note(make_entity("pacemaker", DEVICE, code="14106009", assertion=assertion)))
    assert (device["status"], device["patient"]) == (status, {"reference": "Patient/7"})
    assert device["meta"]["profile"] == [IPS + "Device-uv-ips", OURS + "coded-device"]
    assert [each["status"] for each in uses] == ([use] if use else [])


def test_use_of_a_device(make_entity: Any, make_note: Any) -> None:
    line = make_entity(
        "PICC", DEVICE, body_site="arm", laterality="right", onset="placed in 2018", onset_date="2018",
        abatement="removed on 3/1", abatement_date="2020-03-01",
    )  # fmt: skip
    bundle = to_bundle(make_note(line))
    check(bundle)
    device, use = bundle["entry"][0], bundle["entry"][1]["resource"]
    assert use["device"] == {"reference": device["fullUrl"]}
    assert use["timingPeriod"] == {"start": "2018", "end": "2020-03-01"}
    assert (use["bodySite"]["text"], code(use["bodySite"])) == ("right arm", "53120007")
    assert (device["resource"]["status"], use["status"]) == ("inactive", "completed")
    assert bundle["entry"][1]["fullUrl"] in str(bundle["entry"][2]["resource"]["target"])


@pytest.mark.parametrize(
    ("relative", "role", "text"),
    [
        ("mother", "MTH", "mother"),
        ("maternal grandmother", "MGRMTH", "maternal grandmother"),
        ("Dad", "FTH", "Dad"),
        ("second cousin twice removed", "FAMMEMB", "second cousin twice removed"),
        (None, "FAMMEMB", "family member"),
    ],
)
def test_family_history(make_entity: Any, make_note: Any, relative: str | None, role: str, text: str) -> None:
    more = {"relative": relative} if relative else {}
    history = only(make_note(make_entity("diabetes", code="73211009", assertion=FAMILY, **more)))
    assert history["resourceType"] == "FamilyMemberHistory"
    assert history["status"] == "partial"
    assert (code(history["relationship"]), history["relationship"]["text"]) == (role, text)
    assert [code(each["code"]) for each in history["condition"]] == ["73211009"]


def test_allergy(make_entity: Any, make_note: Any) -> None:
    drug = make_entity("penicillin", DRUG, code="70618", allergy=True, assertion=HISTORICAL)
    allergy = only(make_note(drug))
    assert allergy["resourceType"] == "AllergyIntolerance"
    assert (code(allergy["clinicalStatus"]), code(allergy["verificationStatus"])) == ("active", "unconfirmed")
    assert (code(allergy["code"]), allergy["category"]) == ("70618", ["medication"])


def test_allergy_to_something_else_is_text(make_entity: Any, make_note: Any) -> None:
    allergy = only(make_note(make_entity("peanuts", EntityType.SYMPTOM, code="91935009", allergy=True)))
    assert allergy["code"] == {"text": "peanuts"}
    assert allergy["category"] == ["food"]


def test_reactions_of_an_allergy(make_entity: Any, make_note: Any) -> None:
    text = "Penicillin (severe hives, swelling), peanuts (anaphylaxis), rash to sulfa"
    told = [
        make_entity(words, kind, at=text.index(words), section="allergies", code=words[:5], **more)
        for words, kind, more in (
            ("Penicillin", DRUG, {"allergy": True}),
            ("hives", EntityType.SYMPTOM, {"reaction": True, "severity": "severe"}),
            ("swelling", EntityType.SYMPTOM, {"reaction": True, "severity": "life-threatening"}),
            ("anaphylaxis", EntityType.SYMPTOM, {"reaction": True}),  # of what is no entity
            ("rash", EntityType.SYMPTOM, {"reaction": True}),
            ("sulfa", DRUG, {"allergy": True}),
        )
    ]
    penicillin, sulfa = resources(make_note(*told, text=text))
    assert [(code(each["manifestation"][0]), each.get("severity")) for each in penicillin["reaction"]] == [
        ("hives", "severe"),
        ("swell", "severe"),
    ]
    assert penicillin["criticality"] == "high"
    assert [each["manifestation"][0]["text"] for each in sulfa["reaction"]] == ["rash"]
    assert "criticality" not in sulfa


def test_a_problem_whose_code_states_an_allergy_is_one(make_entity: Any, make_note: Any) -> None:
    """ "Allergic to PCN (anaphylaxis)" is no disease that the patient has, nor is what the drug did once."""
    text = "Allergic to PCN (anaphylaxis)"
    stated = make_entity("Allergic to PCN", at=0, code="Z88.0", system=ICD10CM)
    reaction = make_entity("anaphylaxis", at=text.index("ana"), code="39579001")
    allergy = only(make_note(stated, reaction, text=text))
    assert allergy["resourceType"] == "AllergyIntolerance"
    assert (code(allergy["code"]), allergy["category"]) == ("Z88.0", ["medication"])
    assert [each["manifestation"][0]["text"] for each in allergy["reaction"]] == ["anaphylaxis"]


def test_an_allergy_of_a_relative_is_not_the_patients(make_entity: Any, make_note: Any) -> None:
    family = Assertion(experiencer="family")
    stated = make_entity("penicillin allergy", code="Z88.0", system=ICD10CM, assertion=family, relative="mother")
    assert only(make_note(stated))["resourceType"] == "FamilyMemberHistory"


def test_no_known_allergies_and_reactions_are_not_written(make_entity: Any, make_note: Any) -> None:
    none_known = make_entity("penicillin", DRUG, allergy=True, assertion=NEGATED)
    reaction = make_entity("hives", EntityType.SYMPTOM, section="allergies")
    assert writes_nothing(make_note(none_known, reaction))


def test_mentions_of_one_concept_are_one_resource(make_entity: Any, make_note: Any) -> None:
    first = make_entity("HTN", at=10, code="38341003")
    second = make_entity("hypertension", at=40, code="38341003", severity="severe")
    condition = only(make_note(second, first))
    assert spans(condition) == [(10, 3), (40, 12)]
    assert condition["code"]["text"] == "HTN"
    assert condition["severity"]["text"] == "severe"
    assert condition["severity"]["coding"][0]["code"] == "24484000"


def test_uncoded_mentions_are_one_when_the_words_are(make_entity: Any, make_note: Any) -> None:
    coded = make_note(make_entity("Knee  pain", at=0), make_entity("knee pain", at=30), make_entity("hip pain", at=60))
    assert [spans(each) for each in resources(coded)] == [[(0, 10), (30, 9)], [(60, 8)]]


def test_sides_are_different_problems(make_entity: Any, make_note: Any) -> None:
    left = make_entity("knee pain", at=0, laterality="left")
    right = make_entity("knee pain", at=30, laterality="right")
    assert [each["bodySite"] for each in resources(make_note(left, right))] == [[{"text": "left"}], [{"text": "right"}]]


@pytest.mark.parametrize("weaker", [HISTORICAL, POSSIBLE])
def test_present_wins(make_entity: Any, make_note: Any, weaker: Assertion) -> None:
    condition = only(make_note(make_entity("CHF", at=0, assertion=weaker), make_entity("CHF", at=30)))
    assert code(condition["clinicalStatus"]) == "active"
    assert code(condition["verificationStatus"]) == "unconfirmed"
    assert spans(condition) == [(0, 3), (30, 3)]


def test_denied_and_present_mentions_do_not_mix(make_entity: Any, make_note: Any) -> None:
    condition = only(make_note(make_entity("CHF", at=0, assertion=NEGATED), make_entity("CHF", at=30)))
    assert spans(condition) == [(30, 3)]


def test_results_merge_by_value(make_entity: Any, make_note: Any) -> None:
    values = [make_entity("A1c", LAB, at=20 * i, value=value) for i, value in enumerate((7.2, 8.1, 7.2))]
    assert [spans(each) for each in resources(make_note(*values))] == [[(0, 3), (40, 3)], [(20, 3)]]


def test_best_coding_per_system_and_ranked_candidates(make_entity: Any, make_note: Any) -> None:
    entity = make_entity("HTN", code="38341003")
    more = tuple(
        Coding(system=system, code=code_, display="x", version="1", score=score, stage="dense", reason="r")
        for system, code_, score in (
            (SNOMED, "1", 0.5),
            (ICD10CM, "I10", 0.8),
            ("http://purl.obolibrary.org/obo/hp.owl", "HP:1", 1.0),
        )
    )
    concept = only(make_note(replace(entity, codings=entity.codings + more)))["code"]
    assert [(each["system"], each["code"], each["version"]) for each in concept["coding"]] == [
        (SNOMED, "38341003", "2026"),
        (ICD10CM, "I10", "1"),
    ]
    ranked = [{part["url"]: part for part in each["extension"]} for each in concept["extension"]]
    assert [(each["code"]["valueCode"], each["chosen"]["valueBoolean"]) for each in ranked] == [
        ("38341003", True),
        ("999", False),
    ]


def test_assertion_is_written(make_entity: Any, make_note: Any) -> None:
    (extension,) = (
        each
        for each in only(make_note(make_entity("HTN", assertion=POSSIBLE)))["extension"]
        if each["url"] == "http://fhir-coder.org/fhir/StructureDefinition/assertion"
    )
    assert {part["url"]: part.get("valueCode", part.get("valueBoolean")) for part in extension["extension"]} == {
        "negated": False,
        "certainty": "possible",
        "temporality": "current",
        "experiencer": "patient",
    }


def test_provenance_names_all_resources(make_entity: Any, make_note: Any) -> None:
    bundle = to_bundle(make_note(make_entity("HTN"), make_entity("aspirin", DRUG, at=20)))
    *derived, last = bundle["entry"]
    provenance = last["resource"]
    assert [each["reference"] for each in provenance["target"]] == [each["fullUrl"] for each in derived]
    (agent,) = provenance["agent"]
    assert code(agent["type"]) == "assembler"
    assert agent["onBehalfOf"]
    assert provenance["entity"] == [{"role": "source", "what": {"reference": "DocumentReference/9"}}]
    assert code(provenance["reason"][0]) == "AIAST"
    (tag,) = provenance["meta"]["tag"]
    assert last["request"]["ifNoneExist"] == f"_tag={tag['system']}|{tag['code']}"


def test_provenance_is_on_behalf_of_the_custodian(make_entity: Any, make_note: Any) -> None:
    document = {
        "fullUrl": "urn:uuid:2f1d7f9e-2d6f-4b0e-8c55-f3b3a1c0f001",
        "resource": {
            "resourceType": "DocumentReference",
            "status": "current",
            "subject": {"reference": "Patient/7"},
            "custodian": {"reference": "Organization/1"},
            "content": [{"attachment": {"contentType": "text/plain"}}],
        },
        "request": {"method": "POST", "url": "DocumentReference"},
    }
    bundle = to_bundle(make_note(make_entity("HTN"), document=document["fullUrl"], context=(document,)))
    check(bundle)
    assert bundle["entry"][0] == document
    assert bundle["entry"][-1]["resource"]["agent"][0]["onBehalfOf"] == {"reference": "Organization/1"}


def test_ai_label_is_a_setting(make_entity: Any, make_note: Any) -> None:
    coded = make_note(make_entity("HTN"))
    assert only(coded)["meta"]["security"][0]["code"] == "AIAST"
    assert "AIAST" not in str(to_bundle(coded, ai_security_label=False))


def test_bare_text_becomes_a_document(make_entity: Any, make_note: Any) -> None:
    coded = make_note(make_entity("HTN"), text="HTN µ", document=None, encounter="Encounter/3")
    document, condition = resources(coded)
    bundle = to_bundle(coded)
    assert document["resourceType"] == "DocumentReference"
    assert base64.b64decode(document["content"][0]["attachment"]["data"]).decode() == "HTN µ"
    assert code(document["type"]) == "34109-9"
    assert document["context"] == {"encounter": [{"reference": "Encounter/3"}]}
    assert condition["encounter"] == {"reference": "Encounter/3"}
    assert condition["evidence"][0]["detail"][0]["reference"] == bundle["entry"][0]["fullUrl"]
    assert "security" not in document.get("meta", {})  # a person wrote it


def test_a_note_without_a_subject_claims_nothing(make_entity: Any, make_note: Any) -> None:
    entities = [
        make_entity("HTN", code="38341003"),
        make_entity("aspirin", DRUG, at=20),
        make_entity("pacemaker", DEVICE, at=40),
        make_entity("A1c", LAB, at=60, code="4548-4", system=LOINC, value=7),
    ]
    for resource in resources(make_note(*entities, subject=None)):
        subject = resource.get("subject") or resource["patient"]
        assert subject["extension"][0]["valueCode"] == "unknown"
        assert "reference" not in subject
        assert "profile" not in resource["meta"]


def test_an_empty_note(make_note: Any) -> None:
    (document,) = resources(make_note(document=None, text=""))
    assert "data" not in document["content"][0]["attachment"]
    assert to_bundle(make_note()) == {"resourceType": "Bundle", "type": "transaction"}


def test_identity_depends_neither_on_time_nor_on_order(make_entity: Any, make_note: Any) -> None:
    entities = [make_entity("HTN", code="38341003"), make_entity("aspirin", DRUG, at=20, code="1191")]
    early = to_bundle(make_note(*entities), recorded=datetime(2020, 1, 1, tzinfo=UTC))
    late = to_bundle(make_note(*reversed(entities)))
    assert [(each["fullUrl"], each["request"]) for each in early["entry"]] == [
        (each["fullUrl"], each["request"]) for each in late["entry"]
    ]
    assert early["entry"][0]["resource"]["recordedDate"] == "2020-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    "change",
    [
        {"document": "DocumentReference/10"},
        {"document": None},
        {"document": None, "id": "a.txt"},
        {"document": None, "id": "a.txt", "subject": "Patient/8"},
    ],
)
def test_documents_do_not_share_identities(make_entity: Any, make_note: Any, change: dict[str, Any]) -> None:
    def urls(coded: Any) -> set[str]:
        return {each["fullUrl"] for each in to_bundle(coded)["entry"]}

    assert not urls(make_note(make_entity("HTN"))) & urls(make_note(make_entity("HTN"), **change))


def test_every_post_is_conditional_and_every_identity_unique(make_entity: Any, make_note: Any) -> None:
    entities = [
        make_entity("penicillin", DRUG, allergy=True),
        make_entity("penicillin", DRUG, at=30),
        make_entity("MI", at=60, assertion=POSSIBLE),
        make_entity("MI", at=90, assertion=HISTORICAL),
        make_entity("MI", at=120, assertion=FAMILY, relative="father"),
        make_entity("MI", at=150, assertion=FAMILY, relative="mother"),
    ]
    entries = to_bundle(make_note(*entities, document=None))["entry"]
    conditions = {each["request"]["ifNoneExist"] for each in entries}
    assert len(conditions) == len({each["fullUrl"] for each in entries}) == len(entries) == 8


def test_times_without_a_zone(make_entity: Any, make_note: Any) -> None:
    result = only(make_note(make_entity("A1c", LAB, value=7), date=datetime(2026, 3, 1, 9, 30)))
    assert result["effectiveDateTime"] == "2026-03-01"
    with pytest.raises(ValueError, match="time zone"):
        to_bundle(make_note(), recorded=datetime(2026, 3, 1))


def test_systems_are_the_standard_ones(make_entity: Any, make_note: Any) -> None:
    statement = only(make_note(make_entity("aspirin", DRUG, code="1191")))
    assert statement["medicationCodeableConcept"]["coding"] == [
        {"system": RXNORM, "version": "2026", "code": "1191", "display": "aspirin"}
    ]


def test_attributes_of_a_problem(make_entity: Any, make_note: Any) -> None:
    pain = make_entity(
        "knee pain", severity="8/10", course="acute, worsening", stage="grade 2", body_site="knee", laterality="left",
        onset="x 3 days",
    )  # fmt: skip
    resource = to_bundle(make_note(pain))["entry"][0]["resource"]
    assert resource["severity"] == {"text": "8/10"}
    (site,) = resource["bodySite"]
    assert (site["text"], code(site)) == ("left knee", "72696002")
    assert resource["stage"] == [{"summary": {"text": "grade 2"}}]
    assert resource["onsetString"] == "x 3 days"
    assert resource["note"] == [{"text": "course: acute, worsening"}]
    assert resource["clinicalStatus"]["coding"][0]["code"] == "active"


def test_a_resolved_problem(make_entity: Any, make_note: Any) -> None:
    pneumonia = make_entity("pneumonia", course="resolved")
    resource = to_bundle(make_note(pneumonia))["entry"][0]["resource"]
    assert resource["clinicalStatus"]["coding"][0]["code"] == "resolved"


def test_a_problem_without_a_side_is_that_with_the_only_one(make_entity: Any, make_note: Any) -> None:
    plain, left = make_entity("knee pain", at=0), make_entity("knee pain", at=40, laterality="left")
    (condition,) = [
        entry["resource"] for entry in to_bundle(make_note(plain, left))["entry"]
        if entry["resource"]["resourceType"] == "Condition"
    ]  # fmt: skip
    assert condition["bodySite"] == [{"text": "left"}]


@pytest.mark.parametrize(
    ("given", "effective"),
    [
        ({}, {"effectiveDateTime": "2026-03-01T09:30:00+00:00"}),
        ({"time": "on 2/20", "date": "2026-02-20"}, {"effectiveDateTime": "2026-02-20"}),
        # A dateTime must tell the day (us-core-1).
        ({"time": "3/2024", "date": "2024-03"}, {"effectivePeriod": {"start": "2024-03", "end": "2024-03"}}),
        (
            {"time": "last week", "date": "2026-02-16/2026-02-22"},
            {"effectivePeriod": {"start": "2026-02-16", "end": "2026-02-22"}},
        ),
        ({"time": "on admission"}, {}),
    ],
)
def test_a_test_at_a_stated_time(
    make_entity: Any, make_note: Any, given: dict[str, str], effective: dict[str, Any]
) -> None:
    potassium = make_entity(
        "K", EntityType.LAB_TEST, value=5.9, unit="mmol/L", interpretation="H", previous_value=4.1,
        reference_range={"low": 3.5, "high": 5, "text": "3.5-5.0"}, **given,
    )  # fmt: skip
    bundle = to_bundle(make_note(potassium))
    check(bundle)
    resource = bundle["entry"][0]["resource"]
    assert {name: each for name, each in resource.items() if name.startswith("effective")} == effective
    assert resource["interpretation"][0]["coding"][0] == {
        "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "code": "H", "display": "High",
    }  # fmt: skip
    (range_,) = resource["referenceRange"]
    assert (range_["low"]["value"], range_["high"]["code"], range_["text"]) == (3.5, "mmol/L", "3.5-5.0")
    assert resource["note"][0]["text"].startswith("earlier value: 4.1")


@pytest.mark.parametrize(
    ("given", "onset"),
    [
        ({"onset": "in 2015", "onset_date": "2015"}, {"onsetDateTime": "2015"}),
        (
            {"onset": "2-3 weeks ago", "onset_date": "2026-02-08/2026-02-15"},
            {"onsetPeriod": {"start": "2026-02-08", "end": "2026-02-15"}},
        ),
        (
            {"onset": "at age 12", "onset_age": 12},
            {"onsetAge": {"value": 12, "unit": "years", "system": "http://unitsofmeasure.org", "code": "a"}},
        ),
        ({"onset": "in childhood"}, {"onsetString": "in childhood"}),
    ],
)
def test_onset_of_a_problem(make_entity: Any, make_note: Any, given: dict[str, Any], onset: dict[str, Any]) -> None:
    problem = only(make_note(make_entity("asthma", code="195967001", **given)))
    ((name, value),) = onset.items()
    told = problem[name]
    if isinstance(told, dict):
        told = {part: each for part, each in told.items() if part != "extension"}
    assert told == value
    if name != "onsetString":  # what it was made of is kept
        assert given["onset"] in str(problem.get(f"_{name}") or problem[name]["extension"])


@pytest.mark.parametrize(
    ("given", "assertion", "status"),
    [
        ({"abatement": "last month", "abatement_date": "2026-02"}, Assertion(), "resolved"),
        ({"abatement": "last month", "abatement_date": "2026-02"}, HISTORICAL, "resolved"),
        ({"abatement": "since 2011", "abatement_date": "2011", "course": "in remission"}, Assertion(), "remission"),
        ({"course": "in remission"}, Assertion(), "remission"),
        ({}, HISTORICAL, "inactive"),
    ],
)
def test_a_problem_that_ended_is_not_active(
    make_entity: Any, make_note: Any, given: dict[str, Any], assertion: Assertion, status: str
) -> None:
    problem = only(make_note(make_entity("pneumonia", code="233604007", assertion=assertion, **given)))
    assert code(problem["clinicalStatus"]) == status
    assert ("abatementDateTime" in problem) == ("abatement" in given)


def test_a_problem_that_came_back_has_no_abatement(make_entity: Any, make_note: Any) -> None:
    over = make_entity("pneumonia", at=0, code="233604007", abatement="in May", abatement_date="2025-05")
    again = make_entity("pneumonia", at=50, code="233604007")
    problem = only(make_note(over, again))
    assert code(problem["clinicalStatus"]) == "active"
    assert not any(name.startswith("abatement") for name in problem)


@pytest.mark.parametrize(
    ("sections", "encounter", "category"),
    [
        (["assessment_plan"], "Encounter/1", "encounter-diagnosis"),
        (["history_of_present_illness", "diagnoses"], "Encounter/1", "encounter-diagnosis"),
        (["past_medical_history", "assessment_plan"], "Encounter/1", "problem-list-item"),
        (["history_of_present_illness"], "Encounter/1", "problem-list-item"),
        (["assessment_plan"], None, "problem-list-item"),
    ],
)
def test_diagnosis_of_an_encounter_or_item_of_the_problem_list(
    make_entity: Any, make_note: Any, sections: list[str], encounter: str | None, category: str
) -> None:
    mentions = [make_entity("HTN", at=10 * i, code="38341003", section=each) for i, each in enumerate(sections)]
    problem = only(make_note(*mentions, encounter=encounter))
    assert code(problem["category"][0]) == category
    assert problem["meta"]["profile"][1] == OURS + f"coded-{category}"


def test_what_a_medication_is_taken_for(make_entity: Any, make_note: Any) -> None:
    metformin, diabetes = make_entity("metformin", DRUG, code="6809"), make_entity("T2DM", at=20, code="44054006")
    pain = make_entity("pain", at=40, code="22253000", assertion=HYPOTHETICAL)  # "as needed for pain"
    related = [
        Relation(subject=metformin, predicate="TREATS", object=diabetes, score=0.9),
        Relation(subject=metformin, predicate="TREATS", object=pain, score=0.9),
        Relation(subject=metformin, predicate="TREATS", object=diabetes, score=0.9),
    ]
    coded = replace(make_note(metformin, diabetes, pain), relations=tuple(related))
    bundle = to_bundle(coded)
    check(bundle)
    condition, statement = bundle["entry"][0], bundle["entry"][1]["resource"]  # what is referred to stands before
    assert statement["reasonReference"] == [{"reference": condition["fullUrl"]}]
    assert [each["text"] for each in statement["reasonCode"]] == ["pain"]


def test_an_unsure_reason_is_none(make_entity: Any, make_note: Any) -> None:
    metformin, diabetes = make_entity("metformin", DRUG, code="6809"), make_entity("T2DM", at=20, code="44054006")
    unsure = Relation(subject=metformin, predicate="TREATS", object=diabetes, score=0.4)
    statement = resources(replace(make_note(metformin, diabetes), relations=(unsure,)))[1]
    assert "reasonReference" not in statement


@pytest.mark.parametrize(
    ("given", "effective"),
    [
        ({"onset": "since 2019", "onset_date": "2019"}, {"effectivePeriod": {"start": "2019"}}),
        ({"abatement": "in May", "abatement_date": "2025-05"}, {"effectivePeriod": {"end": "2025-05"}}),
        ({"time": "yesterday", "date": "2026-02-28"}, {"effectiveDateTime": "2026-02-28"}),
        ({"onset": "since childhood"}, {}),
    ],
)
def test_when_a_medication_was_taken(
    make_entity: Any, make_note: Any, given: dict[str, Any], effective: dict[str, Any]
) -> None:
    statement = only(make_note(make_entity("metformin", DRUG, code="6809", **given)))
    assert {name: each for name, each in statement.items() if name.startswith("effective")} == effective
    assert ("_effectiveDateTime" in statement) == (not effective)


def test_the_most_that_may_be_taken(make_entity: Any, make_note: Any) -> None:
    most = {"value": 4, "unit": "g", "ucum": "g"}
    (dosage,) = only(make_note(make_entity("acetaminophen", DRUG, dose=1, unit="g", ucum="g", max_per_day=most)))[
        "dosage"
    ]
    ratio = dosage["maxDosePerPeriod"]
    assert (ratio["numerator"]["value"], ratio["numerator"]["code"], ratio["denominator"]["code"]) == (4, "g", "d")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"deceased": "at 60", "deceased_age": 60}, ("deceasedAge", 60)),
        ({"deceased": "in 2010", "deceased_date": "2010"}, ("deceasedDate", "2010")),
        ({"deceased": "died"}, ("deceasedBoolean", True)),
    ],
)
def test_a_relative_who_died(make_entity: Any, make_note: Any, given: dict[str, Any], told: tuple[str, Any]) -> None:
    stroke = make_entity("stroke", code="230690007", assertion=FAMILY, cause_of_death=True, **given)
    history = only(make_note(stroke))
    name, value = told
    assert (history[name]["value"] if isinstance(history[name], dict) else history[name]) == value
    assert history["condition"][0]["contributedToDeath"] is True


def test_age_at_which_a_relative_fell_ill(make_entity: Any, make_note: Any) -> None:
    stroke = make_entity("stroke", code="230690007", assertion=FAMILY, onset="at 49", onset_age=49)
    assert only(make_note(stroke))["condition"][0]["onsetAge"]["value"] == 49


def test_a_unit_that_ucum_does_not_know_is_text(make_entity: Any, make_note: Any) -> None:
    value = only(make_note(make_entity("A1c", LAB, value=7, unit="mmHgs")))["valueQuantity"]
    assert value == {"value": 7, "unit": "mmHgs"}


def test_a_dose_that_falls_is_no_range(make_entity: Any, make_note: Any) -> None:
    taper = make_entity("prednisone", DRUG, dose=20, dose_high=10, unit="mg", ucum="mg", sig="20-10 mg daily")
    assert only(make_note(taper))["dosage"] == [{"text": "20-10 mg daily"}]
