"""Admissions: patient, stay and diagnoses as they came; merges; and what orders and referrals say."""

from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from fhir_coder.errors import InputError
from fhir_coder.fhir.checks import check
from fhir_coder.ingest.hl7v2 import parse
from fhir_coder.ingest.hl7v2_content import Content, read_message
from fhir_coder.settings import Settings

PID = "PID|1||844^^^RIVER^MR||Doe^Jane||19790208|F" + "|" * 22 + "Y"
PV1 = "PV1|1|I|||||7^Attend^Ann|8^Refer^Rob|||||||||||V77^^^RIVER^VN" + "|" * 25 + "20250420"
DG1 = "DG1|1||E11.9^Type 2 diabetes^I10C||20240101|A||||||||||7^Attend^Ann"


def read(event: str, *segments: str, settings: Settings | None = None) -> Content:
    header = rf"MSH|^~\&|ADT|HOSP|US|HERE|20250422183015||{event}|M1|P|2.5.1"
    raw = "\r".join((header, "EVN||20250422180000", *segments)).encode()
    content = read_message(parse(raw), settings or Settings())
    if content.records:
        check({"resourceType": "Bundle", "type": "transaction", "entry": list(content.records)})
    for entry in content.records:
        get_fhir_model_class(entry["resource"]["resourceType"]).model_validate(entry["resource"])
    return content


def resources(content: Content, kind: str) -> list[Any]:
    return [entry["resource"] for entry in content.records if entry["resource"]["resourceType"] == kind]


@pytest.mark.parametrize(
    ("event", "status"),
    [("A01", "in-progress"), ("A03", "finished"), ("A04", "in-progress"), ("A05", "planned"), ("A08", "unknown")],
)
def test_an_admission(event: str, status: str) -> None:
    content = read(f"ADT^{event}", PID, PV1.replace("V77", f"V77{event}"), DG1)
    (patient,), (encounter,) = resources(content, "Patient"), resources(content, "Encounter")
    assert patient["deceasedBoolean"] is True
    assert encounter["status"] == status
    assert [each["type"][0]["coding"][0]["code"] for each in encounter["participant"]] == ["ATND", "REF"]
    assert [each["name"][0]["family"] for each in resources(content, "Practitioner")] == ["Attend", "Refer"]
    assert content.notes == ()
    assert content.remark


def test_a_diagnosis_keeps_the_code_it_came_with() -> None:
    (condition,) = resources(read("ADT^A01", PID, PV1, DG1), "Condition")
    assert condition["code"] == {
        "coding": [
            {"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "E11.9", "display": "Type 2 diabetes"},
        ],
        "text": "Type 2 diabetes",
    }
    assert condition["category"][0]["coding"][0]["code"] == "encounter-diagnosis"
    assert condition["verificationStatus"]["coding"][0]["code"] == "confirmed"
    assert condition["onsetDateTime"] == "2024-01-01T00:00:00+00:00"
    assert condition["recordedDate"] == "2025-04-22T18:00:00+00:00"
    assert condition["encounter"]["reference"].startswith("urn:uuid:")
    assert condition["asserter"]["display"] == "Ann Attend"
    assert "security" not in condition.get("meta", {})  # a person made it


@pytest.mark.parametrize(
    ("dg1", "system", "code", "text"),
    [
        ("DG1|1|I9|250.00|Diabetes||W", "http://hl7.org/fhir/sid/icd-9-cm", "250.00", "Diabetes"),
        ("DG1|1||44054006^Diabetes^SCT", "http://snomed.info/sct", "44054006", "Diabetes"),
        ("DG1|1||X^Local^99L^E11.9^Diabetes^ICD10CM", "http://hl7.org/fhir/sid/icd-10-cm", "E11.9", "Local"),
        ("DG1|1||E11.9^Diabetes^I10", "http://hl7.org/fhir/sid/icd-10", "E11.9", "Diabetes"),
    ],
)
def test_the_systems_of_diagnoses(dg1: str, system: str, code: str, text: str) -> None:
    (condition,) = resources(read("ADT^A01", PID, PV1, dg1), "Condition")
    coding = condition["code"]["coding"][0]
    assert (coding["system"], coding["code"], condition["code"]["text"]) == (system, code, text)


def test_a_diagnosis_without_a_known_system_has_its_words() -> None:
    (condition,) = resources(read("ADT^A04", PID, "DG1|1||77^Sugar^99L"), "Condition")
    assert condition["code"] == {"text": "Sugar"}
    assert condition["category"][0]["coding"][0]["code"] == "problem-list-item"


def test_a_diagnosis_that_comes_again_is_the_same_one() -> None:
    first, again = (read("ADT^A01", PID, PV1, DG1), read("ADT^A08", PID, PV1, DG1, DG1))
    urls = [
        [entry["fullUrl"] for entry in content.records if entry["resource"]["resourceType"] == "Condition"]
        for content in (first, again)
    ]
    assert urls[0] == urls[1]


def test_a_diagnosis_that_is_deleted_is_entered_in_error() -> None:
    (condition,) = resources(read("ADT^A08", PID, PV1, f"{DG1}|||||D"), "Condition")
    assert condition["verificationStatus"]["coding"][0]["code"] == "entered-in-error"
    assert "clinicalStatus" not in condition


def test_only_admissions_change_what_is_there_and_a_setting_says_no() -> None:
    def methods(content: Content) -> set[str]:
        kinds = ("Patient", "Encounter")
        return {e["request"]["method"] for e in content.records if e["resource"]["resourceType"] in kinds}

    assert methods(read("ADT^A08", PID, PV1)) == {"PUT"}
    assert methods(read("ADT^A08", PID, PV1, settings=Settings(hl7v2_adt="create"))) == {"POST"}
    assert methods(read("ORM^O01", PID, PV1, DG1)) == {"POST"}


def test_observations_and_comments_of_an_admission_are_a_note() -> None:
    content = read("ADT^A01", PID, PV1, "OBX|1|NM|8302-2^Height||1.80|m", "OBX|2|TX|1^Complaint||Chest pain")
    (note,) = content.notes
    assert note.text == "Height: 1.80 m\nComplaint:\nChest pain"
    assert content.records
    assert content.remark == ""


def test_what_cannot_be_read_does_not_hold_up_an_admission() -> None:
    content = read("ADT^A01", PID, PV1, "OBX|1|ED|1^Photo||^IM^JPEG^Base64^/9j/")
    assert content.records
    assert [error.place for error in content.unread] == ["OBX-5.5"]


def test_a_merge_replaces_the_one_patient_by_the_other() -> None:
    content = read("ADT^A40", PID, "MRG|845^^^RIVER^MR||||||Doe^Janet")
    survivor, merged = content.records
    assert merged["request"] == {"method": "PUT", "url": "Patient?identifier=urn:id:RIVER%7C845"}
    assert merged["resource"]["active"] is False
    assert merged["resource"]["link"] == [{"other": {"reference": survivor["fullUrl"]}, "type": "replaced-by"}]
    assert merged["resource"]["name"] == [{"family": "Doe", "given": ["Janet"]}]
    assert survivor["request"]["method"] == "POST"


def test_several_merges_in_one_message() -> None:
    content = read("ADT^A40", PID, "MRG|845^^^RIVER", PID.replace("844", "900"), "MRG|901^^^RIVER")
    assert len(content.records) == 4


@pytest.mark.parametrize("mrg", [(), ("MRG|",), ("MRG|844^^^RIVER",)])
def test_a_merge_that_names_nobody_else_is_a_fault(mrg: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as caught:
        read("ADT^A40", PID, *mrg)
    assert caught.value.place == "MRG-1"


def test_a_setting_keeps_merges_from_changing_patients() -> None:
    content = read("ADT^A40", PID, "MRG|845^^^RIVER", settings=Settings(hl7v2_adt="create"))
    assert content.records == ()
    assert "hl7v2_adt" in content.remark


def test_an_order_s_comments_are_a_note() -> None:
    content = read(
        "ORM^O01",
        PID,
        "NTE|1||Allergic to penicillin.",
        "ORC|NW|P1^CPOE",
        "OBR|1|P1||1^CT head|||||||||Fell from a ladder",
        "NTE|1||Rule out bleeding.",
        "OBR|2|P1||2^CT neck",
        DG1,
    )
    (note,) = content.notes
    assert note.text == (
        "Allergic to penicillin.\nCT head\nClinical information: Fell from a ladder\nRule out bleeding."
    )
    assert note.id == "M1"
    assert len(resources(content, "Condition")) == 1


def test_an_order_without_words_is_no_fault() -> None:
    content = read("ORM^O01", PID, "ORC|NW|P1^CPOE", "OBR|1|P1||1^CT head")
    assert (content.notes, content.records) == ((), ())
    assert content.remark


def test_a_referral() -> None:
    content = read("REF^I12", "RF1|P|R", PID, DG1, "NTE|1||Please see this lady.")
    (note,) = content.notes
    assert (note.text, note.type_code) == ("Please see this lady.", "57133-1")
    assert len(resources(content, "Condition")) == 1


def test_before_2_3_the_event_may_stand_in_evn_alone() -> None:
    raw = "MSH|^~\\&|ADT|HOSP|||1990||ADT|M1|P|2.1\rEVN|A01|1990\rPID|||844||Doe^Jane"
    content = read_message(parse(raw.encode()), Settings())
    assert resources(content, "Patient")


def test_before_2_3_the_patient_may_stand_in_another_field() -> None:
    content = read("ADT^A01", "PID||845|||Doe^Jane")
    assert resources(content, "Patient")[0]["identifier"][0]["value"] == "845"


@pytest.mark.parametrize(
    ("event", "status"),
    [("A11", "cancelled"), ("A13", "in-progress"), ("A27", "cancelled"), ("A38", "cancelled"), ("A25", "in-progress")],
)
def test_what_is_cancelled_is_told(event: str, status: str) -> None:
    (stay,) = resources(read(f"ADT^{event}", PID, PV1), "Encounter")
    assert stay["status"] == status


def test_a_cancelled_stay_is_not_finished() -> None:
    (stay,) = resources(read("ADT^A11", PID, PV1 + "|20250423"), "Encounter")
    assert (stay["status"], stay["period"]["end"][:10]) == ("cancelled", "2025-04-23")


@pytest.mark.parametrize("type_", ["DFT^P03", "BAR^P01", "RDE^O11"])
def test_diagnoses_and_comments_come_with_bills_and_prescriptions_too(type_: str) -> None:
    content = read(type_, PID, PV1, "NTE|1||Allergic to penicillin.", DG1)
    (note,) = content.notes
    assert note.text == "Allergic to penicillin."
    assert len(resources(content, "Condition")) == 1
