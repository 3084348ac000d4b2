"""FHIR client libraries of others call $code-note, over a real connection and with an API key."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from fhirclient.client import FHIRClient
from fhirclient.models.attachment import Attachment
from fhirclient.models.bundle import Bundle
from fhirclient.models.documentreference import DocumentReference, DocumentReferenceContent
from fhirclient.models.fhirreference import FHIRReference
from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import ForbiddenError, OperationOutcome

from fhir_coder.service.access.api_keys import add_key
from tests.integration.adapter import prepared_data
from tests.integration.http_service import http_service

NOTE = "Assessment: hypertension."


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The base URL of a service, and a key to it."""
    folder = tmp_path_factory.mktemp("clients")
    path = folder / "keys.json"
    key = add_key(path, "client", ["system/DocumentReference.rs"])
    with http_service(prepared_data(folder / "data"), api_keys=path) as url:
        yield f"{url}/fhir", key


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """A note."""
    data = base64.b64encode(NOTE.encode()).decode()
    return {
        "resourceType": "DocumentReference",
        "status": "current",
        "subject": {"reference": "Patient/7"},
        "content": [{"attachment": {"contentType": "text/plain", "data": data}}],
    }


def conditions(bundle: Any) -> list[str]:
    """The codes of the Conditions in a Bundle."""
    resources = [entry["resource"] for entry in bundle["entry"]]
    found = [resource for resource in resources if resource["resourceType"] == "Condition"]
    return [coding["code"] for condition in found for coding in condition["code"]["coding"]]


def test_fhirpy(service: tuple[str, str], document: dict[str, Any]) -> None:
    url, key = service
    client = SyncFHIRClient(url, authorization=f"Bearer {key}")
    bundle = client.execute("DocumentReference/$code-note", method="post", data=document)
    assert "I10" in conditions(bundle)
    given = [{"name": "text", "valueString": NOTE}, {"name": "minConfidence", "valueDecimal": 0.99}]
    parameters = client.resource("Parameters", parameter=given)
    assert client.execute("$code-note", method="post", data=parameters.serialize())["resourceType"] == "Bundle"
    with pytest.raises(ForbiddenError):  # the key may code notes, and no more
        client.execute("CodeSystem/$lookup", method="get", params={"code": "I10"})


def test_fhirpy_reads_the_outcome_of_an_error(service: tuple[str, str]) -> None:
    url, key = service
    with pytest.raises(OperationOutcome) as caught:
        SyncFHIRClient(url, authorization=f"Bearer {key}").execute(
            "$code-note", method="post", data={"resourceType": "X"}
        )
    assert caught.value.resource["issue"][0]["code"] == "structure"


def test_smart_client(service: tuple[str, str]) -> None:
    url, key = service
    client = FHIRClient(settings={"app_id": "test", "api_base": f"{url}/"})
    client.server.session.headers["Authorization"] = f"Bearer {key}"
    statement = client.server.capabilityStatement
    assert statement.fhirVersion == "4.0.1"
    offered = next(each for each in statement.rest[0].resource if each.type == "DocumentReference")
    assert [operation.name for operation in offered.operation] == ["code-note"]
    attachment = Attachment({"contentType": "text/plain", "data": base64.b64encode(NOTE.encode()).decode()})
    note = DocumentReference()
    note.status = "current"
    note.subject = FHIRReference({"reference": "Patient/7"})
    note.content = [DocumentReferenceContent({"attachment": attachment.as_json()})]
    answer = client.server.post_json("DocumentReference/$code-note", note.as_json())
    bundle = Bundle(answer.json())  # checked against the library's own R4 models
    assert "I10" in conditions(bundle.as_json())


def test_the_asynchronous_pattern(service: tuple[str, str], document: dict[str, Any]) -> None:
    url, key = service
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {key}"
        headers = {"Prefer": "respond-async", "Content-Type": "application/fhir+json"}
        accepted = session.post(f"{url}/DocumentReference/$code-note", json=document, headers=headers, timeout=30)
        assert accepted.status_code == 202
        job = accepted.headers["Content-Location"]
        deadline = time.monotonic() + 60
        while (answer := session.get(job, timeout=30)).status_code == 202 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert "I10" in conditions(answer.json())
        assert session.delete(job, timeout=30).status_code == 202
        assert session.get(job, timeout=30).status_code == 404
