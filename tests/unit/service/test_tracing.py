"""The traces of a request: its stages, and nothing of what it carried."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk", reason="the extra [tracing] is not installed")

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

CANARY = "Zebrafinch"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """What keeps the spans; a process has one provider, so it stays when the tests of this module are over."""
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    trace.set_tracer_provider(provider)
    return kept


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Iterator[InMemorySpanExporter]:
    exporter.clear()
    yield exporter
    exporter.clear()


def named(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {each.name: each for each in spans.get_finished_spans()}


def test_the_stages_of_a_request(serve: Any, spans: InMemorySpanExporter) -> None:
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    response = serve().client.post("/v1/code", json={"text": f"{CANARY} has HTN"}, headers=headers)
    found = named(spans)
    assert {"fhir_coder.request", "fhir_coder.code"} <= set(found)
    request, code = found["fhir_coder.request"], found["fhir_coder.code"]
    assert format(request.context.trace_id, "032x") == TRACE  # the caller's trace goes on
    assert code.parent is not None
    assert code.parent.span_id == request.context.span_id
    assert request.attributes is not None
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["http.route"] == "/v1/code"
    assert code.attributes is not None
    assert code.attributes["fhir_coder.correlation"] == response.headers["X-Request-Id"]
    assert CANARY not in "".join(each.to_json() for each in spans.get_finished_spans())


def test_a_request_that_fails(serve: Any, spans: InMemorySpanExporter) -> None:
    serve().client.post(f"/v1/code?{CANARY}", json={"text": f"{CANARY} CRASH"})
    failed = json.loads(named(spans)["fhir_coder.code"].to_json())
    assert failed["status"]["status_code"] == "ERROR"
    assert failed["attributes"]["error.type"] == "RuntimeError"
    assert failed["events"] == []
    assert CANARY not in "".join(each.to_json() for each in spans.get_finished_spans())


def test_the_stages_of_the_coder(dictionary_coder: Any, spans: InMemorySpanExporter) -> None:
    from fhir_coder.model import Note

    dictionary_coder(Note(text=f"{CANARY} has HTN."))
    assert {"fhir_coder.read", "fhir_coder.link", "fhir_coder.choose"} <= set(named(spans))
    assert CANARY not in "".join(each.to_json() for each in spans.get_finished_spans())
