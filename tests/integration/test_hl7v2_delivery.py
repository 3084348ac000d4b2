"""What the intake makes of an HL7 v2 message, before a FHIR server that validates."""

from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_coder.delivery.client import FhirClient
from fhir_coder.errors import InputError
from fhir_coder.fhir.bundle import to_bundle
from fhir_coder.fhir.checks import check
from fhir_coder.ingest.hl7v2 import Delimiters, escape, parse
from fhir_coder.ingest.mdm import note_from_message
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


@pytest.mark.parametrize("name", MESSAGES)
def test_the_resources_are_valid_and_created_once(fhir_server: Any, name: str) -> None:
    note = note_from_message(parse(MESSAGES[name].encode()), Settings())
    bundle = to_bundle(CodedNote(note=note))
    check(bundle)
    for entry in bundle["entry"]:
        get_fhir_model_class(entry["resource"]["resourceType"]).model_validate(entry["resource"])
    with FhirClient(fhir_server.url) as client:
        assert client.send(bundle) == client.send(bundle)
    for kind in ("Patient", "Encounter", "DocumentReference"):
        assert len(fhir_server.search(kind)) == 1


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
        bundle = to_bundle(CodedNote(note=note_from_message(parse(raw), Settings())))
    except InputError:
        return
    check(bundle)
