"""A canary in the note, the names and the identifiers: it appears in no log, no error and no metric."""

import logging
import time
from typing import Any

import pytest

from fhir_coder.delivery.coding import Coding
from fhir_coder.service.receiver import code_item

CANARY = "Zebrafinch"
MESSAGE = (
    "MSH|^~\\&|A|B|C|D|2025||MDM^T02|1|P|2.5\r"
    f"PID|1||{CANARY}||{CANARY}^{CANARY}||2025{CANARY}\r"
    f"TXA|1|HP||||||||||{CANARY}\rOBX|1|TX|||{CANARY} has HTN {{}}\r"
)


def document(data: str) -> dict[str, Any]:
    return {
        "resourceType": "DocumentReference",
        "id": CANARY,
        "subject": {"reference": f"Patient/{CANARY}"},
        "content": [{"attachment": {"contentType": "text/plain", "data": data}}],
    }


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/code", {"text": f"{CANARY} CRASH"}),
        ("/v1/code", {CANARY: CANARY}),
        ("/fhir/$code-note", document(f"!{CANARY}")),
        ("/fhir/$code-note", document("gQ==") | {"date": CANARY}),
        ("/fhir/$code-note", {"resourceType": CANARY}),
        ("/fhir/$code-note", {"resourceType": "Parameters", "parameter": [{"name": CANARY}]}),
        (f"/fhir/DocumentReference/{CANARY}/$code-note", {}),
    ],
)
def test_http(serve: Any, caplog: pytest.LogCaptureFixture, path: str, body: dict[str, Any]) -> None:
    caplog.set_level(logging.DEBUG, logger="fhir_coder")
    service = serve()
    response = service.client.post(path, json=body)
    assert response.status_code >= 400
    assert CANARY not in response.text
    assert CANARY not in service.client.get("/metrics").text
    assert CANARY not in "".join(record.getMessage() for record in caplog.records if record.name.startswith("fhir"))
    assert all(record.exc_info is None for record in caplog.records)


@pytest.mark.parametrize(
    "message", [MESSAGE, MESSAGE.replace("MDM^T02", f"{CANARY}^T02"), MESSAGE + CANARY, MESSAGE.replace("PID", CANARY)]
)
def test_hl7v2(serve: Any, caplog: pytest.LogCaptureFixture, message: str) -> None:
    caplog.set_level(logging.DEBUG, logger="fhir_coder")
    service = serve()
    acknowledgement = service.receiver.receive(message.encode())
    assert acknowledgement is not None
    assert CANARY.encode() not in acknowledgement
    assert CANARY not in service.client.get("/metrics").text
    assert CANARY not in caplog.text


def test_worker(serve: Any, caplog: pytest.LogCaptureFixture, tmp_path: Any) -> None:
    caplog.set_level(logging.DEBUG)
    service = serve(out=tmp_path / "out")
    service.receiver.receive(MESSAGE.format("CRASH").encode())
    coding = Coding(service.inbox, lambda item: code_item(item, service.desk), lambda: None)
    deadline = time.monotonic() + 20
    while not service.inbox.counts()["failed"] and time.monotonic() < deadline:
        coding.step()
        time.sleep(0.05)
    assert service.inbox.counts()["failed"] == 1
    assert "RuntimeError" in caplog.text
    assert CANARY not in caplog.text
