"""Traces of OpenTelemetry: a span per stage, with counts and names of our own, never text that came in.

The exporter is set by OpenTelemetry's own variables (`OTEL_TRACES_EXPORTER`, `OTEL_EXPORTER_OTLP_ENDPOINT`,
`OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER` ...) and needs the extra [tracing]; without them spans cost next to nothing.

Source: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context, trace
from opentelemetry.propagate import extract, inject
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from fhir_coder.errors import SettingsError
from fhir_coder.logs import correlated, correlation

Count = int | float | bool | str

_NAME = "fhir_coder"
_CORRELATION = "correlation"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


@contextmanager
def span(name: str, *, kind: SpanKind = SpanKind.INTERNAL, **attributes: Count) -> Iterator[Span]:
    """Trace what is done inside. Attributes are counts and names of our own.

    An exception is told by its kind: OpenTelemetry would by itself record its message, which may quote a note.
    """
    known = correlation()
    if known:
        attributes["correlation"] = known
    with trace.get_tracer(_NAME).start_as_current_span(
        f"fhir_coder.{name}",
        kind=kind,
        attributes={f"fhir_coder.{key}": value for key, value in attributes.items()},
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        try:
            yield current
        except BaseException as error:
            current.set_status(Status(StatusCode.ERROR))
            current.set_attribute("error.type", type(error).__name__)
            raise


@contextmanager
def request_span(headers: Mapping[str, str]) -> Iterator[Span]:
    """Trace an HTTP request as part of the caller's trace, where it sent one (`traceparent`)."""
    caller = extract({name: headers[name] for name in ("traceparent", "tracestate") if name in headers})
    with trace.get_tracer(_NAME).start_as_current_span(
        "fhir_coder.request",
        context=caller,
        kind=SpanKind.SERVER,
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        yield current


def carrier() -> dict[str, str]:
    """Return what another process needs to go on with what is in hand here (`continued`)."""
    names: dict[str, str] = {}
    inject(names)
    known = correlation()
    return names | ({_CORRELATION: known} if known else {})


@contextmanager
def continued(names: Mapping[str, str]) -> Iterator[None]:
    """Go on, under the same name and in the same trace, with what another process of ours has in hand."""
    token = context.attach(extract(names))
    try:
        with correlated(names.get(_CORRELATION)):
            yield
    finally:
        context.detach(token)


def configure_tracing() -> None:
    """Export spans as OpenTelemetry's variables say; do nothing when they say nothing.

    Raises `SettingsError` when an exporter is asked for that is not there.
    """
    exporter = os.environ.get("OTEL_TRACES_EXPORTER") or ("otlp" if any(map(os.environ.get, _ENDPOINTS)) else "none")
    if exporter == "none" or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    if exporter not in ("otlp", "console"):
        raise SettingsError("OTEL_TRACES_EXPORTER: use otlp, console or none")
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
    except ModuleNotFoundError as error:
        raise SettingsError("traces are asked for (OTEL_...); run: pip install 'fhir-coder[tracing]'") from error
    os.environ.setdefault("OTEL_SERVICE_NAME", "fhir-coder")
    provider = TracerProvider(resource=Resource.create())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter() if exporter == "otlp" else ConsoleSpanExporter()))
    trace.set_tracer_provider(provider)
