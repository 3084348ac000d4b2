"""When as much waits as may, HTTP says so and when to come again, and what stores nothing goes on."""

from pathlib import Path
from typing import Any

import pytest

MESSAGE = "MSH|^~\\&|A|B|C|D|2025||MDM^T02|1|P|2.5\rPID|1||7^^^R\rTXA|1|HP||||||||||D1\rOBX|1|TX|||HTN\r"
NOTE = {
    "resourceType": "Parameters",
    "parameter": [
        {"name": "text", "valueString": "HTN"},
        {"name": "subject", "valueReference": {"reference": "Patient/7"}},
        {"name": "persist", "valueBoolean": True},
    ],
}


@pytest.fixture
def client(serve: Any, tmp_path: Path) -> Any:
    """A service that has no room left."""
    return serve(out=tmp_path / "out", queue_min_free_bytes=10**18).client


def test_what_would_be_stored_is_turned_away(client: Any) -> None:
    headers = {"content-type": "application/hl7-v2"}
    for answer in (client.post("/hl7v2", content=MESSAGE, headers=headers), client.post("/fhir/$code-note", json=NOTE)):
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert "queue_min_free_bytes" in answer.json()["issue"][0]["diagnostics"]


def test_what_is_only_answered_goes_on(client: Any) -> None:
    assert client.post("/v1/code", json={"text": "HTN"}).status_code == 200
    assert client.get("/health/live").status_code == 200
