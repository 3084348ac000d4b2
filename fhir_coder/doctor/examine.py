"""READ FIRST in this folder. All that is looked at, in order."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib.util import find_spec

from fhir_coder.doctor.database import database
from fhir_coder.doctor.finding import Examination, Finding, failure, ok, warning
from fhir_coder.doctor.installation import data_folder, models, releases
from fhir_coder.doctor.network import callers, certificates, ports
from fhir_coder.doctor.server import fhir_server
from fhir_coder.settings import Settings, misspelt


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield what is found. Nothing is changed; an examination that fails is a finding."""
    for examination in _EXAMINATIONS:
        try:
            yield from examination(settings)
        except Exception as error:
            # The type alone: a message may hold a URL with a password.
            name = examination.__name__.replace("_", " ")
            yield failure(name, f"could not be looked at ({type(error).__name__})", "report this, it is a bug")


def _tracing(_: Settings) -> Iterator[Finding]:
    wanted = os.environ.get("OTEL_TRACES_EXPORTER") or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if not wanted or wanted == "none":
        return
    if find_spec("opentelemetry.sdk") is None:
        yield failure("traces", "asked for (OTEL_...), and the exporter is missing", "install fhir-coder[tracing]")
    else:
        yield ok("traces", "exported")


def _program(_: Settings) -> Iterator[Finding]:
    yield ok("program", f"Python {platform.python_version()}, {os.cpu_count()} processors")


def _environment(_: Settings) -> Iterator[Finding]:
    for remark in misspelt(os.environ):
        yield warning("settings", remark, "see the table of settings in the README")


_EXAMINATIONS: tuple[Examination, ...] = (
    _program,
    _environment,
    data_folder,
    releases,
    models,
    database,
    fhir_server,
    callers,
    ports,
    certificates,
    _tracing,
)
