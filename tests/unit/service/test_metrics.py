"""What is counted of codings and deliveries."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from fhir_coder.delivery.dispatch import Dispatch
from fhir_coder.errors import DeliveryError, TransientDeliveryError

BUNDLE = {
    "resourceType": "Bundle",
    "type": "transaction",
    "entry": [
        {
            "fullUrl": "urn:uuid:00000000-0000-4000-8000-000000000001",
            "resource": {"resourceType": "Patient"},
            "request": {"method": "POST", "url": "Patient"},
        }
    ],
}


def count(service: Any, name: str, **labels: str) -> float:
    value = service.desk.metrics._registry.get_sample_value(name, labels)
    return float(value or 0)


def test_entities_and_failures(serve: Any) -> None:
    service = serve()
    service.client.post("/v1/code", json={"text": "HTN"})
    service.client.post("/v1/code", json={"text": "CRASH"})
    assert count(service, "fhir_coder_entities_total", type="disease", outcome="coded") == 1
    assert count(service, "fhir_coder_coding_failures_total", error="RuntimeError") == 1


@pytest.mark.parametrize(
    ("status", "error", "outcome"),
    [(422, DeliveryError, "refused"), (503, TransientDeliveryError, "retry"), (200, None, "delivered")],
)
def test_deliveries(
    serve: Any, httpserver: HTTPServer, status: int, error: type[Exception] | None, outcome: str
) -> None:
    answer = {"resourceType": "Bundle", "type": "transaction-response"}
    entry = {"response": {"status": "201", "location": "Patient/1/_history/1"}}
    httpserver.expect_request("/fhir/").respond_with_json(answer | {"entry": [entry]}, status=status)
    service = serve(server=httpserver.url_for("/fhir"))
    if error is None:
        service.desk.send(Dispatch(bundle=BUNDLE))
    else:
        with pytest.raises(error):
            service.desk.send(Dispatch(bundle=BUNDLE))
    assert count(service, "fhir_coder_deliveries_total", outcome=outcome) == 1


def test_the_oldest(serve: Any) -> None:
    service = serve()
    service.inbox.store("hl7v2", b"x", "1")
    assert 'fhir_coder_queue_oldest_seconds{queue="outbox"} 0.0' in service.client.get("/metrics").text
    assert count(service, "fhir_coder_queue_oldest_seconds", queue="inbox") >= 0
    assert count(service, "fhir_coder_inbox_messages", state="waiting") == 1
