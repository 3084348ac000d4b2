"""The FHIR server: whether it answers, what it says it can do, and its clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from fhir_coder.doctor.finding import Finding, failure, ok, warning
from fhir_coder.errors import DeliveryError
from fhir_coder.settings import Settings
from fhir_coder.upstream.rest import Answer, Upstream

_SUBJECT = "FHIR server"
_WRITTEN = ("Condition", "Observation", "MedicationStatement", "DocumentReference", "Provenance")
# Seconds. An assertion of SMART Backend Services lives for five minutes; servers allow a few seconds of difference.
_SKEWED, _WRONG = 5, 120


def fhir_server(settings: Settings) -> Iterator[Finding]:
    """Ask the server for its CapabilityStatement (https://hl7.org/fhir/R4/http.html#capabilities)."""
    upstream = Upstream.of(settings)
    if upstream is None:
        if settings.out is None:
            advice = "give --server or --out, else messages wait in the inbox"
            yield warning(_SUBJECT, "none is set, and no folder", advice)
        else:
            yield ok(_SUBJECT, f"none; resources are written into {settings.out}")
        return
    with upstream:
        try:
            sent = datetime.now(UTC)
            answer = upstream.ask("GET", "metadata")
        except DeliveryError as error:
            yield failure(_SUBJECT, str(error), "check its address (setting server), its state and our credentials")
            return
    yield from _capabilities(answer.body, settings)
    yield from _clock(answer, sent)


def _capabilities(statement: Mapping[str, Any], settings: Settings) -> Iterator[Finding]:
    if statement.get("resourceType") != "CapabilityStatement":
        yield failure(_SUBJECT, "it answers, but not as a FHIR server", "set server to its base URL")
        return
    version = str(statement.get("fhirVersion", "unknown"))
    if not version.startswith("4."):
        yield failure(_SUBJECT, f"it speaks FHIR {version}", "give a server of R4 (4.0.1)")
    rest = [each for each in statement.get("rest", []) if each.get("mode", "server") == "server"]
    interactions = {each.get("code") for part in rest for each in part.get("interaction", [])}
    resources = {each.get("type"): each for part in rest for each in part.get("resource", [])}
    yield ok(_SUBJECT, f"answers; FHIR {version}, {len(resources)} resource types")
    if not interactions & {"transaction", "batch"}:
        advice = "resources are sent as transactions; if it refuses them, use another server"
        yield warning("transactions", "its CapabilityStatement does not name them", advice)
    else:
        yield ok("transactions", "named in its CapabilityStatement")
    missing = [name for name in _WRITTEN if name not in resources]
    if missing:
        advice = "what it does not take is set aside ('fhir-coder queue status')"
        yield warning("resources", f"it does not name {', '.join(missing)}", advice)
    unconditional = [name for name in _WRITTEN if resources.get(name, {}).get("conditionalCreate") is not True]
    if len(unconditional) == len(_WRITTEN):
        advice = "try it: without conditional create (If-None-Exist), a note that is sent twice is there twice"
        yield warning("conditional create", "its CapabilityStatement does not name it", advice)
    else:
        yield ok("conditional create", "named in its CapabilityStatement")
    if settings.subscribe != "off":
        if "Subscription" in resources:
            yield ok("subscriptions", "named in its CapabilityStatement")
        else:
            advice = "set subscribe = off, and let the service search (sweep_seconds) or be called"
            yield failure("subscriptions", "its CapabilityStatement does not name Subscription", advice)


def _clock(answer: Answer, sent: datetime) -> Iterator[Finding]:
    try:
        theirs = parsedate_to_datetime(answer.headers.get("date", ""))
    except ValueError:
        return
    if theirs.tzinfo is None:  # no date of HTTP
        return
    # Whole seconds, and the time that the answer took: what is less than that is no difference.
    seconds = max(0.0, abs((theirs - sent).total_seconds()) - 1)
    if seconds > _WRONG:
        yield failure(
            "clock", f"differs by {seconds:.0f} s from the server's", "set the clock (NTP): tokens are refused"
        )
    elif seconds > _SKEWED:
        yield warning("clock", f"differs by {seconds:.0f} s from the server's", "set the clock (NTP)")
    else:
        yield ok("clock", "agrees with the server's")
