"""MDM messages: the note, and the Patient, Encounter and DocumentReference around it."""

import base64
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.ingest.hl7v2 import parse
from fhir_coder.ingest.hl7v2_content import read_message
from fhir_coder.model import Note
from fhir_coder.settings import Settings

SEGMENTS = {
    "MSH": r"MSH|^~\&|APP|HOSP|US|HERE|20250422183015-0500||MDM^T02^MDM_T02|M1|P|2.5.1",
    "EVN": "EVN|T02",
    "PID": "PID|1||844^^^RIVER&2.16.840.1.113883.3.1&ISO^MR~99^^^STATE^SS||Doe^Jane^Q^Jr^Dr^^L||19790208|F"
    "|||1 A St^Apt 2^Duluth^MN^55802^USA^H",
    "PV1": "PV1|1|I|||||||||||||||||V77^^^RIVER^VN|||||||||||||||||||||||||20250420|20250423",
    "TXA": "TXA|1|PR|TX|20250422||202504221820|||55^Who^Doc|66^Sig^Ner||D9^NOTE|D1|||F.TXT|AU|R|AV||||||A title",
    "OBX1": "OBX|1|TX|||Pt has HTN.~No DM.||||||F",
    "OBX2": "OBX|2|TX||||||||||F",
    "OBX3": r"OBX|3|FT|||A \T\ P:\.br\rest||||||F",
}


def read(settings: Settings | None = None, **changed: str | None) -> Note:
    lines = [line for line in (SEGMENTS | changed).values() if line is not None]
    (note,) = read_message(parse("\r".join(lines).encode()), settings or Settings()).notes
    return note


def resources(note: Note) -> dict[str, Any]:
    return {entry["resource"]["resourceType"]: entry["resource"] for entry in note.context}


def test_the_text_is_joined_line_by_line() -> None:
    assert read().text == "Pt has HTN.\nNo DM.\n\nA & P:\nrest"


def test_the_note() -> None:
    note = read()
    assert (note.id, note.type_code, note.doc_status) == ("D9", "11506-3", "final")
    assert note.date == datetime(2025, 4, 22, 18, 20, tzinfo=timezone(timedelta(hours=-5)))  # the zone of MSH-7
    urls = {entry["resource"]["resourceType"]: entry["fullUrl"] for entry in note.context}
    assert (note.subject, note.encounter) == (urls["Patient"], urls["Encounter"])
    assert note.document == urls["DocumentReference"]


def test_the_patient() -> None:
    assert resources(read())["Patient"] == {
        "resourceType": "Patient",
        "identifier": [
            {
                "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]},
                "system": "urn:oid:2.16.840.1.113883.3.1",
                "value": "844",
            },
            {
                "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "SS"}]},
                "system": "urn:id:STATE",
                "value": "99",
            },
        ],
        "name": [
            {"use": "official", "family": "Doe", "given": ["Jane", "Q"], "prefix": ["Dr"], "suffix": ["Jr"]},
        ],
        "gender": "female",
        "birthDate": "1979-02-08",
        "address": [
            {
                "use": "home",
                "line": ["1 A St", "Apt 2"],
                "city": "Duluth",
                "state": "MN",
                "postalCode": "55802",
                "country": "USA",
            }
        ],
    }


def test_the_encounter() -> None:
    note = read()
    encounter = resources(note)["Encounter"]
    assert encounter["status"] == "finished"
    assert encounter["class"]["code"] == "IMP"
    assert encounter["subject"] == {"reference": note.subject}
    assert encounter["period"] == {"start": "2025-04-20T00:00:00-05:00", "end": "2025-04-23T00:00:00-05:00"}


def test_the_document() -> None:
    note = read()
    document = resources(note)["DocumentReference"]
    assert document["masterIdentifier"] == {"system": "urn:id:NOTE", "value": "D9"}
    assert document["identifier"] == [{"value": "F.TXT"}]
    assert (document["status"], document["docStatus"]) == ("current", "final")
    assert document["date"] == "2025-04-22T18:20:00-05:00"
    (author,) = [entry for entry in note.context if entry["resource"].get("identifier", [{}])[0].get("value") == "55"]
    assert document["author"] == [{"reference": author["fullUrl"], "display": "Doc Who"}]
    assert author["resource"] == {
        "resourceType": "Practitioner",
        "identifier": [{"system": "urn:id:HOSP", "value": "55"}],
        "name": [{"family": "Who", "given": ["Doc"]}],
    }
    assert document["authenticator"]["display"] == "Ner Sig"
    assert document["description"] == "A title"
    assert document["securityLabel"][0]["coding"][0]["code"] == "R"
    assert "relatesTo" not in document
    attachment = document["content"][0]["attachment"]
    assert base64.b64decode(attachment["data"]).decode() == note.text
    assert attachment["contentType"] == "text/plain; charset=utf-8"


def test_requests_are_conditional_and_the_same_every_time() -> None:
    note = read()
    assert [entry["request"] for entry in note.context] == [
        {"method": "POST", "url": "Patient", "ifNoneExist": "identifier=urn:oid:2.16.840.1.113883.3.1%7C844"},
        {"method": "POST", "url": "Encounter", "ifNoneExist": "identifier=urn:id:RIVER%7CV77"},
        {"method": "POST", "url": "Practitioner", "ifNoneExist": "identifier=urn:id:HOSP%7C55"},
        {"method": "POST", "url": "Practitioner", "ifNoneExist": "identifier=urn:id:HOSP%7C66"},
        {"method": "POST", "url": "DocumentReference", "ifNoneExist": "identifier=urn:id:NOTE%7CD9"},
    ]
    assert read() == note


def test_a_value_is_escaped_in_a_search() -> None:
    note = read(PID="PID|1||8,4$\\F\\ &x^^^A B")
    assert note.context[0]["request"]["ifNoneExist"] == "identifier=urn:id:A%2520B%7C8%5C%2C4%5C%24%5C%7C"


@pytest.mark.parametrize(("event", "relation"), [("T06", "appends"), ("T10", "replaces")])
def test_an_addendum_and_a_replacement_name_their_parent(event: str, relation: str) -> None:
    note = read(MSH=SEGMENTS["MSH"].replace("T02^MDM_T02", event))
    assert resources(note)["DocumentReference"]["relatesTo"] == [
        {"code": relation, "target": {"identifier": {"system": "urn:id:HOSP", "value": "D1"}}}
    ]


def test_without_a_visit_number_there_is_no_encounter() -> None:
    note = read(PV1="PV1|1|O")
    assert note.encounter is None
    assert "Encounter" not in resources(note)


def test_without_a_document_number_the_message_names_the_document() -> None:
    assert read(TXA="TXA|1|HP").id == "M1"


def test_a_time_without_any_zone_is_utc() -> None:
    note = read(MSH=SEGMENTS["MSH"].replace("-0500", ""))
    assert note.date == datetime(2025, 4, 22, 18, 20, tzinfo=UTC)


def test_an_identifier_without_authority_is_the_senders() -> None:
    assert resources(read(PID="PID|1||844"))["Patient"]["identifier"] == [{"system": "urn:id:HOSP", "value": "844"}]


def test_what_was_entered_in_error_is_left_out() -> None:
    assert read(OBX1="OBX|1|TX|||Wrong patient||||||D").text == "\nA & P:\nrest"


@pytest.mark.parametrize("event", ["T04", "T08"])
def test_a_changed_document_takes_the_place_of_the_earlier_one(event: str) -> None:
    document = read(MSH=SEGMENTS["MSH"].replace("T02^MDM_T02", event)).context[-1]
    assert document["request"] == {"method": "PUT", "url": "DocumentReference?identifier=urn:id:NOTE%7CD9"}


def test_a_status_is_told_without_the_text() -> None:
    note = read(MSH=SEGMENTS["MSH"].replace("T02^MDM_T02", "T03"), OBX1=None, OBX2=None, OBX3=None)
    assert (note.text, note.doc_status, note.is_status_alone) == ("", "final", True)
    assert note.document == read().document
    assert "DocumentReference" not in resources(note)


@pytest.mark.parametrize("event", ["T01", "T05", "T07", "T09"])
def test_an_event_without_content_is_no_note_unless_it_has_content(event: str) -> None:
    header = SEGMENTS["MSH"].replace("T02^MDM_T02", event)
    lines = [header, SEGMENTS["PID"], SEGMENTS["TXA"]]
    content = read_message(parse("\r".join(lines).encode()), Settings())
    assert (content.notes, content.records) == ((), ())
    assert "announces" in content.remark
    assert read(MSH=header).text.startswith("Pt has HTN.")


@pytest.mark.parametrize(
    "changed",
    [
        {"MSH": SEGMENTS["MSH"].replace("T02^MDM_T02", "T11"), "OBX1": None, "OBX2": None, "OBX3": None},
        {"TXA": SEGMENTS["TXA"].replace("|AV|", "|CA|")},
    ],
)
def test_a_document_that_is_taken_back_has_no_text_to_be_coded(changed: dict[str, str | None]) -> None:
    note = read(**changed)
    assert (note.text, note.doc_status) == ("", "entered-in-error")
    assert (note.id, note.document) == (read().id, read().document)
    made = note.context[-1]
    assert (made["resource"]["status"], made["request"]["method"]) == ("entered-in-error", "PUT")
    assert made["resource"]["content"][0]["attachment"]


def test_observations_with_several_names_have_titles() -> None:
    note = read(
        OBX1="OBX|1|TX|H^HISTORY||Chest pain.||||||F",
        OBX2="OBX|2|TX|H^HISTORY||Two days.||||||F",
        OBX3="OBX|3|TX|P^PLAN||ECG.||||||F",
    )
    assert note.text == "HISTORY:\nChest pain.\nTwo days.\nPLAN:\nECG."


def test_comments_are_text() -> None:
    assert (
        read(OBX2="NTE|1||An addition~and another", OBX3=None).text == "Pt has HTN.\nNo DM.\nAn addition\nand another"
    )


@pytest.mark.parametrize("version", ["2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.6", "2.7", "2.8", "2.9", "9", ""])
def test_every_version_is_read(version: str) -> None:
    assert read(MSH=SEGMENTS["MSH"].replace("2.5.1", version)).text == read().text


@pytest.mark.parametrize(
    ("changed", "place", "kind"),
    [
        ({"MSH": SEGMENTS["MSH"].replace("MDM^T02^MDM_T02", "")}, "MSH-9", InputError),
        ({"MSH": SEGMENTS["MSH"].replace("MDM^T02^MDM_T02", "SIU^S12")}, "MSH-9", UnsupportedError),
        ({"MSH": SEGMENTS["MSH"].replace("T02^MDM_T02", "T99")}, "MSH-9", UnsupportedError),
        ({"MSH": SEGMENTS["MSH"].replace("|M1|", "||")}, "MSH-10", InputError),
        ({"PID": None}, "PID-3", InputError),
        ({"PID": "PID|1||^^^X"}, "PID-3", InputError),
        ({"PID": "PID|1||7", "MSH": SEGMENTS["MSH"].replace("APP|HOSP", "|")}, "PID-3.4", InputError),
        ({"TXA": None}, "TXA", InputError),
        ({"OBX1": None, "OBX2": None, "OBX3": None}, "OBX", InputError),
        ({"OBX1": "OBX|1|ED|||^IM^PNG^Base64^JVBE", "OBX2": None, "OBX3": None}, "OBX-5.5", UnsupportedError),
        ({"OBX1": "OBX|1|XAD|||1 A St", "OBX2": None, "OBX3": None}, "OBX-2", UnsupportedError),
        ({"OBX1": "OBX|1|TX||| ", "OBX3": None}, "OBX-5", InputError),
    ],
)
def test_a_fault_is_named(changed: dict[str, str | None], place: str, kind: type[InputError]) -> None:
    with pytest.raises(InputError) as caught:
        read(**changed)
    assert (caught.value.place, type(caught.value)) == (place, kind)
    assert str(caught.value)


def test_a_replacement_names_the_document_whose_place_it_takes() -> None:
    txa = SEGMENTS["TXA"]
    parent = read(TXA=txa.replace("D9^NOTE|D1", "D1^NOTE|"))
    replacement = read(MSH=SEGMENTS["MSH"].replace("T02^MDM_T02", "T10"), TXA=txa.replace("|D1|", "|D1^NOTE|"))
    assert replacement.replaces == (parent.document,)
    addendum = read(MSH=SEGMENTS["MSH"].replace("T02^MDM_T02", "T06"), TXA=txa.replace("|D1|", "|D1^NOTE|"))
    assert addendum.replaces == ()


@pytest.mark.parametrize(("availability", "withdrawn"), [("AV", False), ("OB", True), ("CA", True)])
def test_a_document_that_is_obsolete_or_cancelled_is_withdrawn(availability: str, withdrawn: bool) -> None:
    assert read(TXA=SEGMENTS["TXA"].replace("|AV|", f"|{availability}|")).withdrawn is withdrawn
