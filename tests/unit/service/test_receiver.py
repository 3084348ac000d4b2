"""HL7 v2 messages from the inbox to where they are delivered."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from fhir_coder.errors import TransientDeliveryError
from fhir_coder.ingest.hl7v2 import parse
from fhir_coder.service.receiver import code_item

PID = "PID|1||844^^^RIVER"
ADT = "\r".join((PID, "PV1|1|I|||||||||||||||||V77", "DG1|1||I10^Hypertension^I10C"))
ORU = "\r".join((PID, "OBR|1||F1|1^CT", "OBX|1|TX|||HTN", "OBR|2||F2|1^CT", "OBX|1|TX|||Also HTN"))


def message(type_: str, body: str, control: str = "1") -> bytes:
    return f"MSH|^~\\&|A|B|C|D|2025||{type_}|{control}|P|2.5\r{body}\r".encode()


@pytest.fixture
def service(serve: Any, tmp_path: Path) -> Any:
    """A service that writes into a folder."""
    return serve(out=tmp_path / "out")


def coded(service: Any, raw: bytes) -> dict[str, list[Any]]:
    """Take a message in, code it, and return what is in the folder by then."""
    assert service.receiver.receive(raw) is not None
    item = service.inbox.take()
    service.inbox.coded(item, code_item(item, service.desk))
    service.outbox.queue.bell.ring()
    deadline = time.monotonic() + 10
    while service.outbox.counts()["waiting"] and time.monotonic() < deadline:
        time.sleep(0.01)
    service.sender.stop()
    service.desk.close()
    files = service.desk.settings.out.glob("*.ndjson")
    return {file.stem: [json.loads(line) for line in file.read_text().splitlines()] for file in files}


def test_an_admission_is_written_as_it_came(service: Any) -> None:
    written = coded(service, message("ADT^A01", ADT))
    assert {kind: len(found) for kind, found in written.items()} == {"Patient": 1, "Encounter": 1, "Condition": 1}
    assert written["Condition"][0]["encounter"]["reference"] == f"Encounter/{written['Encounter'][0]['id']}"
    assert service.coder.calls == []


def test_fields_that_nothing_is_made_of_are_counted(service: Any) -> None:
    coded(service, message("ADT^A01", f"{ADT}\rPV2|1|x\rZPI|secret".replace("RIVER\r", "RIVER|||||||C\r")))
    counted = service.desk.metrics.exposition().decode()
    assert 'fhir_coder_hl7v2_unmapped_total{place="PID-10"} 1.0' in counted
    assert 'fhir_coder_hl7v2_unmapped_total{place="other"} 3.0' in counted


def test_each_report_is_coded(service: Any) -> None:
    written = coded(service, message("ORU^R01", ORU))
    assert [text for text, _ in service.coder.calls] == ["CT\nHTN", "CT\nAlso HTN"]
    assert {kind: len(found) for kind, found in written.items()} == {
        "Patient": 1,
        "DocumentReference": 2,
        "Condition": 2,
        "Provenance": 2,
    }


def test_a_message_without_words_is_taken_and_done(service: Any) -> None:
    assert coded(service, message("ORM^O01", f"{PID}\rORC|NW|1\rOBR|1|1||1^CT")) == {}
    assert service.inbox.counts()["coded"] == 1


@pytest.mark.parametrize("modes", ["", "||||AL|NE"])
def test_the_same_message_is_answered_again_and_coded_once(service: Any, modes: str) -> None:
    raw = message("ORU^R01", ORU).replace(b"|2.5\r", f"|2.5{modes[1:]}\r".encode())
    answers = [parse(service.receiver.receive(raw)) for _ in range(3)]
    assert {answer.value("MSA", 1) for answer in answers} == {"CA" if modes else "AA"}
    assert service.inbox.counts()["waiting"] == 1


def test_another_message_with_the_same_number_is_another_one(service: Any) -> None:
    for body in (ORU, ORU.replace("Also", "No")):
        service.receiver.receive(message("ORU^R01", body))
    assert service.inbox.counts()["waiting"] == 2


def test_what_was_refused_is_not_stored(service: Any) -> None:
    answer = parse(service.receiver.receive(message("MDM^T02", PID)))
    assert (answer.value("MSA", 1), answer.value("ERR", 2)) == ("AE", "TXA")
    assert service.inbox.counts()["waiting"] == 0


def test_a_document_behind_a_pointer_is_fetched_after_the_acknowledgement(serve: Any, httpserver: HTTPServer) -> None:
    folder = serve(server=httpserver.url_for("/fhir"))
    where = httpserver.url_for("/fhir/Binary/7")
    raw = message("ORU^R01", "\r".join((PID, "OBR|1||F1|1^CT", f"OBX|1|RP|||{where}^^TEXT^PLAIN")))
    assert b"MSA|AA|1" in folder.receiver.receive(raw)
    assert not httpserver.log
    httpserver.expect_ordered_request("/fhir/Binary/7").respond_with_data(status=503)
    item = folder.inbox.take()
    with pytest.raises(TransientDeliveryError):
        code_item(item, folder.desk)
    httpserver.expect_ordered_request("/fhir/Binary/7").respond_with_data("HTN", content_type="text/plain")
    assert len(code_item(item, folder.desk).dispatches) == 1
    assert [text for text, _ in folder.coder.calls] == ["CT\nHTN"]
