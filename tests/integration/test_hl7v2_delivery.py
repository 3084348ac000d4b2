"""What the intake makes of an HL7 v2 message, before a FHIR server that validates."""

from base64 import b64decode
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_coder.delivery.client import FhirClient
from fhir_coder.errors import InputError
from fhir_coder.fhir.bundle import to_bundle
from fhir_coder.fhir.checks import check
from fhir_coder.ingest.hl7v2 import parse
from fhir_coder.ingest.hl7v2_content import read_message
from fhir_coder.ingest.hl7v2_escape import Delimiters, escape
from fhir_coder.model import CodedNote
from fhir_coder.settings import Settings

MESSAGES = {
    "full": r"MSH|^~\&|APP|HOSP|US|HERE|20250422183015.123-0500||MDM^T06|M1|P|2.5.1"
    "\rPID|1||844^^^RIVER&2.16.840.1.113883.3.1&ISO^MR~99^^^STATE^SS||Doe^Jane^Q^Jr^Dr^^L||19790208|F"
    "|||1 A St^Apt 2^Duluth^MN^55802^USA^H"
    "\rPV1|1|I|||||||||||||||||V,7$7^^^RIVER^VN|||||||||||||||||||||||||20250420|20250423"
    "\rTXA|1|PR|TX|20250422||20250422182000.5|||55^Who^Doc|66^Sig^Ner||D9^NOTE|D1|||F.TXT|AU|R|AV||||||A title"
    r"||" + "\r" + r"OBX|1|FT|||Pt has \H\HTN\N\.\.br\No DM.||||||F",
    "sparse": r"MSH|^~\&||HOSP|||2025||MDM^T02|M2|P|2.3"
    + "\rPID|1||7||^\rPV1|1|R|||||||||||||||||V8\rTXA|1|XX^Odd type^L\rOBX|1|TX|||HTN",
}


def _bundles(raw: str) -> list[Any]:
    """What a message is written as: its records, and each of its notes, not coded."""
    content = read_message(parse(raw.encode()), Settings())
    bundles = [to_bundle(CodedNote(note=note)) for note in content.notes]
    if content.records:
        bundles.insert(0, {"resourceType": "Bundle", "type": "transaction", "entry": list(content.records)})
    for bundle in bundles:
        check(bundle)
        for entry in bundle["entry"]:
            get_fhir_model_class(entry["resource"]["resourceType"]).model_validate(entry["resource"])
    return bundles


@pytest.mark.parametrize("name", MESSAGES)
def test_the_resources_are_valid_and_created_once(fhir_server: Any, name: str) -> None:
    (bundle,) = _bundles(MESSAGES[name])
    with FhirClient(fhir_server.url) as client:
        assert client.send(bundle) == client.send(bundle)
    for kind in ("Patient", "Encounter", "DocumentReference"):
        assert len(fhir_server.search(kind)) == 1


HEAD = (
    r"MSH|^~\&|APP|HOSP|US|HERE|20250422183015||{0}|M1|P|2.5.1" + "\rEVN||20250422\rPID|1||{1}^^^RIVER^MR||Doe^Jane\r"
)
STAY = "PV1|1|I|||||7^Attend^Ann||||||||||||V77^^^RIVER^VN\rDG1|1||E11.9^Type 2 diabetes^I10C||20240101|A\r"


def test_a_stay_is_followed_and_a_merged_patient_replaced(fhir_server: Any) -> None:
    with FhirClient(fhir_server.url) as client:
        for event, status in (("A01", "in-progress"), ("A08", "unknown"), ("A03", "finished")):
            for bundle in _bundles(HEAD.format(f"ADT^{event}", "844") + STAY):
                client.send(bundle)
            (encounter,) = fhir_server.search("Encounter")
            assert encounter["status"] == status
        for bundle in _bundles(HEAD.format("ADT^A40", "900") + "MRG|844^^^RIVER^MR"):
            client.send(bundle)
    (condition,) = fhir_server.search("Condition")
    assert condition["code"]["coding"][0]["code"] == "E11.9"
    assert condition["encounter"]["reference"] == f"Encounter/{encounter['id']}"
    by_number = {each["identifier"][0]["value"]: each for each in fhir_server.search("Patient")}
    link = {"other": {"reference": f"Patient/{by_number['900']['id']}"}, "type": "replaced-by"}
    assert by_number["844"]["link"] == [link]
    assert by_number["844"]["active"] is False


def test_a_later_version_takes_the_place_of_an_earlier_one(fhir_server: Any) -> None:
    report = "OBR|1||F1^LAB|1^CT|||||||||||||||||||||{0}\rOBX|1|TX|1^CT||{1}"
    document = "TXA|1|PR||||||||||D9^NOTE|||||{0}\rOBX|1|TX|||Text"
    with FhirClient(fhir_server.url) as client:
        for status, words in (("P", "Perhaps a bleeding."), ("F", "No bleeding.")):
            for bundle in _bundles(HEAD.format("ORU^R01", "844") + report.format(status, words)):
                client.send(bundle)
        for event, status in (("T02", "PA"), ("T08", "AU"), ("T11", "AU")):
            for bundle in _bundles(HEAD.format(f"MDM^{event}", "844") + document.format(status)):
                client.send(bundle)
    found = {each["masterIdentifier"]["value"]: each for each in fhir_server.search("DocumentReference")}
    assert (found["F1/1"]["docStatus"], found["D9"]["status"]) == ("final", "entered-in-error")
    assert b64decode(found["F1/1"]["content"][0]["attachment"]["data"]) == b"CT\nNo bleeding."


USUAL = (
    "A",
    "I",
    "AU",
    "1.2.3",
    "ISO",
    "URI",
    "a  b",
    "00000000",
    "2025",
    "202501011530-0500",
    '""',
    "  ",
    "\x01",
    "9" * 30,
)
VALUES = (st.sampled_from(USUAL) | st.text(max_size=6)).map(lambda value: escape(value, Delimiters()))
FIELDS = st.lists(st.lists(VALUES, max_size=3).map("&".join), max_size=9).map("^".join)


@settings(max_examples=50, deadline=None)
@given(st.lists(FIELDS, max_size=12), st.lists(FIELDS, max_size=46), st.lists(FIELDS, max_size=26))
def test_whatever_stands_in_the_fields_the_bundle_is_valid(pid: list[str], pv1: list[str], txa: list[str]) -> None:
    lines = (r"MSH|^~\&|A|B|C|D|2025||MDM^T06|1|P|2.5", *(map("|".join, (["PID", *pid], ["PV1", *pv1], ["TXA", *txa]))))
    raw = "\r".join((*lines, "OBX|1|TX|||HTN")).encode("utf-8", "ignore")
    try:
        (note,) = read_message(parse(raw), Settings()).notes
    except InputError:
        return
    check(to_bundle(CodedNote(note=note)))
