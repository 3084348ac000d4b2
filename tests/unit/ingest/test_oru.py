"""Results: a note for each report."""

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.ingest.hl7v2 import parse
from fhir_coder.ingest.hl7v2_content import Content, read_message
from fhir_coder.model import Note
from fhir_coder.settings import Settings

HEADER = r"MSH|^~\&|LAB|HOSP|US|HERE|20250422183015||ORU^R01^ORU_R01|M1|P|2.5.1"
PID = "PID|1||844^^^RIVER^MR||Doe^Jane||19790208|F"


def read(*segments: str) -> Content:
    return read_message(parse("\r".join((HEADER, PID, *segments)).encode()), Settings())


def note(*segments: str) -> Note:
    (found,) = read(*segments).notes
    return found


def document(found: Note) -> Any:
    return found.context[-1]["resource"]


def test_a_report_in_prose() -> None:
    found = note(
        "OBR|1|P1^CPOE|F1^RIS|71020^Chest X-ray^C4|||20250422|||||||||||||||20250423||RAD|F|||||||7&Ray&X&&&MD",
        "OBX|1|TX|71020&IMP^Chest X-ray||No pneumonia.||||||F",
        "OBX|2|FT|71020&GDT^Chest X-ray||Lungs clear.\\.br\\Heart normal.~Bones normal.||||||F",
        "NTE|1||Called to the ward.",
    )
    assert found.text == (
        "Chest X-ray\nImpression:\nNo pneumonia.\nFindings:\nLungs clear.\nHeart normal.\nBones normal.\n"
        "Called to the ward."
    )
    assert (found.id, found.doc_status) == ("F1/71020", "final")
    assert found.date == datetime(2025, 4, 22, tzinfo=UTC)
    made = document(found)
    assert made["masterIdentifier"] == {"system": "urn:id:RIS", "value": "F1/71020"}
    assert made["context"]["related"] == [{"identifier": {"system": "urn:id:RIS", "value": "F1"}}]
    assert "identifier" not in made  # by which another document of that number would be found
    assert made["date"] == "2025-04-23T00:00:00+00:00"
    assert made["author"][0]["display"] == "X Ray"
    assert found.context[-1]["request"]["method"] == "PUT"  # a later version takes its place


def test_results_are_told_in_words() -> None:
    found = note(
        "OBR|1||F1|24323-8^Metabolic panel^LN|||20250422",
        "OBX|1|NM|2345-7^Glucose^LN||105|mg/dL^milligram per deciliter||H|||F",
        "OBX|2|SN|1^Titre||<^1^:^128||||||F",
        "OBX|3|CE|882-1^ABO group^LN||A^Group A^L||||||F",
        "OBX|4|CWE|3^Growth||112283007^Escherichia coli^SCT^^^^^^E. coli, many||||||F",
        "OBX|5|ST|4^Colour||Amber||||||F",
        "OBX|6|NM|5^Potassium||9.9|mmol/L|||||X",
        "NTE|1||Haemolysed.",
    )
    assert found.text == (
        "Metabolic panel\nGlucose: 105 mg/dL\nTitre: <1:128\nABO group: Group A\nGrowth: E. coli, many\nColour: Amber\n"
        "Haemolysed."
    )
    assert found.type_code == "24323-8"
    assert document(found)["type"]["coding"][0]["system"] == "http://loinc.org"


def test_each_report_is_a_document() -> None:
    first, second = read(
        "NTE|1||Fasting.",
        "ORC|RE|P1|F1",
        "OBR|1|P1|F1|1^Sodium",
        "OBX|1|NM|1^Sodium||140|mmol/L",
        "OBR|2|P1|F1|2^Potassium",
        "OBX|1|NM|2^Potassium||4|mmol/L",
        "OBR|3|P1|F1|3^Chloride",
    ).notes
    assert (first.id, second.id) == ("F1/1", "F1/2")
    assert first.text.splitlines() == ["Sodium", "Fasting.", "140 mmol/L"]
    assert second.text.splitlines() == ["Potassium", "4 mmol/L"]
    assert first.document != second.document
    assert first.subject == second.subject


def test_reports_of_one_number_and_one_code_do_not_overwrite_each_other() -> None:
    first, second, third = read(
        "OBR|1||F1|1^CT", "OBX|1|TX|||One", "OBR|2||F1|1^CT", "OBX|1|TX|||Two", "OBR|3||F1", "OBX|1|TX|||Three"
    ).notes
    assert [each.id for each in (first, second, third)] == ["F1/1", "F1/1/2", "F1/report"]
    assert len({each.document for each in (first, second, third)}) == 3


def test_what_the_request_says_is_text() -> None:
    obr = "OBR|1||F1|1^CT|||||||||Fell from a ladder" + "|" * 18 + "R51^Headache^I10C"
    found = note(obr, "OBX|1|TX|1^CT||No bleeding.")
    assert found.text == ("CT\nClinical information: Fell from a ladder\nReason for study: Headache\nNo bleeding.")


def test_an_order_s_number_serves_where_the_report_has_none() -> None:
    assert note("ORC|RE|P7", "OBR|1|||1^CT", "OBX|1|TX|||Text").id == "P7/1"
    assert note("OBR|1|||1^CT", "OBX|1|TX|||Text").id == "M1/1"


@pytest.mark.parametrize(
    ("status", "doc_status"), [("F", "final"), ("P", "preliminary"), ("C", "amended"), ("", None), ("Q", None)]
)
def test_the_status_of_a_report(status: str, doc_status: str | None) -> None:
    obr = "OBR|1||F1|1^CT" + "|" * 21 + status
    assert note(obr, "OBX|1|TX|||Text").doc_status == doc_status


def test_a_report_that_is_cancelled_is_taken_back() -> None:
    found = note("OBR|1||F1|1^CT" + "|" * 21 + "X", "OBX|1|TX|||Text")
    assert (found.text, found.doc_status, document(found)["status"]) == ("", "entered-in-error", "entered-in-error")


def test_a_report_that_is_cancelled_without_words_is_taken_back_and_not_written() -> None:
    written = note("OBR|1||F1|1^CT", "OBX|1|TX|||Text")
    found = note("OBR|1||F1|1^CT" + "|" * 21 + "X")
    assert (found.text, found.withdrawn, found.document) == ("", True, written.document)
    assert [each["resource"]["resourceType"] for each in found.context] == ["Patient"]


def test_results_of_two_patients_do_not_mix() -> None:
    content = read("OBR|1||F1|1^CT", "OBX|1|TX|||One", "PID|2||845^^^RIVER", "OBR|1||F2|1^CT", "OBX|1|TX|||Two")
    first, second = content.notes
    assert first.subject != second.subject
    assert ("One" in first.text, "Two" in first.text, "Two" in second.text) == (True, False, True)


def test_plain_text_as_a_document_is_read() -> None:
    data = base64.b64encode("Fuß gebrochen.".encode()).decode()
    found = note("OBR|1||F1|1^Letter", f"OBX|1|ED|1^Letter||^TEXT^PLAIN^Base64^{data}")
    assert found.text == "Letter\nFuß gebrochen."
    assert len(document(found)["content"]) == 1


def test_a_document_in_another_form_is_read_and_kept_as_it_came() -> None:
    html = b"<html><body><h1>CT</h1><p>No <b>bleeding</b>.</p></body></html>"
    found = note("OBR|1||F1|1^Letter", f"OBX|1|ED|1^Letter||^TEXT^html^Base64^{base64.b64encode(html).decode()}")
    assert found.text.split() == ["Letter", "CT", "No", "bleeding."]
    original = document(found)["content"][1]["attachment"]
    assert (original["contentType"], base64.b64decode(original["data"])) == ("text/html", html)


@pytest.mark.parametrize(
    ("encoding", "data"), [("A", r"Broken \T\ bent"), ("Hex", "42726f6b656e20262062656e74"), ("", r"Broken \T\ bent")]
)
def test_the_encodings_of_a_document(encoding: str, data: str) -> None:
    assert note("OBR|1||F1|1", f"OBX|1|ED|||^TEXT^PLAIN^{encoding}^{data}").text.endswith("Broken & bent")


def test_a_document_that_is_not_read_goes_along_with_the_text() -> None:
    content = read(
        "OBR|1||F1|1^CT",
        "OBX|1|TX|1^CT||See the images.",
        "OBX|2|ED|2^Image||^IM^JPEG^Base64^/9j/",
        "OBX|3|RP|3^Images||https://pacs.example.org/1^^IM^JPEG",
        r"OBX|4|RP|4^Images||\\pacs\1^^IM^JPEG",
    )
    (found,) = content.notes
    assert found.text == "CT\nSee the images."
    assert [error.place for error in content.unread] == ["OBX-5.5", "OBX-5.4", "OBX-5.1"]
    assert [(each.place, each.reason) for each in found.passed_over] == [
        (error.place, str(error)) for error in content.unread
    ]
    attachments = [each["attachment"] for each in document(found)["content"][1:]]
    assert attachments == [
        {"contentType": "image/jpeg", "data": "/9j/", "size": 3},
        {"contentType": "image/jpeg", "url": "https://pacs.example.org/1"},
    ]


@pytest.mark.parametrize(
    ("obx", "place", "kind"),
    [
        ("OBX|1|RP|||https://pacs.example.org/1", "OBX-5.1", UnsupportedError),
        ("OBX|1|ED|||^IM^JPEG^Base64^/9j/", "OBX-5.5", UnsupportedError),
        ("OBX|1|ED|||^AP^XYZZY^Base64^/9j/", "OBX-5.5", UnsupportedError),
        ("OBX|1|ED|||^TEXT^PLAIN^Base64^/9j", "OBX-5.5", InputError),
        ("OBX|1|ED|||^TEXT^PLAIN^Hex^4", "OBX-5.5", InputError),
        ("OBX|1|ED|||^TEXT^PLAIN^Base64", "OBX-5.5", InputError),
        ("OBX|1|XTN|||555", "OBX-2", UnsupportedError),
    ],
)
def test_what_gives_no_text_says_why(obx: str, place: str, kind: type[InputError]) -> None:
    with pytest.raises(InputError) as caught:
        read("OBR|1||F1|1^CT", obx)
    assert (caught.value.place, type(caught.value)) == (place, kind)


def test_a_value_without_a_type_is_read_as_text() -> None:
    assert note("OBR|1||F1|1^CT", "OBX|1||||No bleeding").text == "CT\nNo bleeding"


def test_nothing_said_is_no_note() -> None:
    content = read("OBR|1||F1|1^CT", "OBX|1|TX|1^CT||")
    assert content.notes == ()
    assert content.remark
