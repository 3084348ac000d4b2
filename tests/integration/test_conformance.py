"""Every resource that notes become is accepted by a server that validates US Core (three releases), IPS and ours."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fhir_coder import Coder, Note, to_bundle
from fhir_coder.fhir.checks import check
from fhir_coder.model import CodedNote
from tests.integration.conftest import REPOSITORY, US_CORE_PROVENANCE, FhirServer, running_fhir_server

REFERENCES = Path(os.environ.get("FHIR_CODER_REFERENCES", REPOSITORY.parent / "shared" / "data"))
MTSAMPLES = REFERENCES / "corpora" / "mtsamples" / "notes.jsonl.gz"
Json = dict[str, Any]

GOLDEN = REPOSITORY / "tests" / "golden" / "notes"
TRANSCRIPTIONS = 200
DATE = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def golden_texts() -> list[str]:
    """Return the golden notes."""
    return [path.read_text(encoding="utf-8") for path in sorted(GOLDEN.glob("*.txt"))]


def transcriptions(count: int) -> list[str]:
    """Return different transcriptions of MTSamples; none where they are not present."""
    if not MTSAMPLES.exists():
        return []
    with gzip.open(MTSAMPLES, "rt", encoding="utf-8") as lines:
        texts = dict.fromkeys(json.loads(line)["transcription"] for line in lines)
    return [text for text in texts if text.strip()][:: max(1, len(texts) // count)][:count]


def coded_notes(coder: Coder, texts: list[str]) -> Iterator[CodedNote]:
    """Yield coded notes of a patient, every other one of a known encounter, every third one without a date."""
    for number, text in enumerate(texts):
        yield coder(
            Note(
                text=text,
                subject=f"Patient/{number}",
                encounter=f"Encounter/{number}" if number % 2 else None,
                date=None if number % 3 == 2 else DATE,
            )
        )


@pytest.fixture(scope="module", params=["us_core_610", "us_core_700", "us_core_800"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FhirServer]:
    """A server for each release of US Core."""
    with running_fhir_server(tmp_path_factory.mktemp("peer") / "log", request.param) as running:
        yield running


def checked_bundle(coded: CodedNote) -> Json:
    """Return the Bundle of a coded note, which the checks let pass."""
    bundle = to_bundle(coded, recorded=DATE)
    check(bundle)
    return bundle


def refused(server: FhirServer, bundles: Iterable[Json]) -> tuple[Counter[str], list[tuple[str, str]]]:
    """Return how many resources of each type were sent, and which were refused, with the reason."""
    sent: Counter[str] = Counter()
    not_taken = []
    for bundle in bundles:
        for entry in bundle["entry"]:
            if entry["resource"]["resourceType"] == "Provenance":
                claimed = entry["resource"]["meta"]["profile"]
                claimed += [] if US_CORE_PROVENANCE in claimed else [US_CORE_PROVENANCE]
        for resource_type, reason in server.validate(bundle):
            sent[resource_type] += 1
            if reason:
                not_taken.append((resource_type, reason))
    return sent, not_taken


@pytest.fixture(scope="module")
def transcribed(dictionary_coder: Coder) -> list[Json]:
    """The Bundles of the transcriptions."""
    texts = transcriptions(TRANSCRIPTIONS)
    if not texts:
        pytest.skip("the transcriptions of MTSamples are not there")
    return [checked_bundle(coded) for coded in coded_notes(dictionary_coder, texts)]


def test_golden_notes(server: FhirServer, dictionary_coder: Coder) -> None:
    bundles = [checked_bundle(coded) for coded in coded_notes(dictionary_coder, golden_texts())]
    sent, not_taken = refused(server, bundles)
    assert not_taken == []
    assert {"Condition", "Observation", "MedicationStatement", "Device", "DeviceUseStatement"} <= sent.keys()


def test_transcriptions(server: FhirServer, transcribed: list[Json]) -> None:
    sent, not_taken = refused(server, transcribed)
    assert not_taken == []
    assert sum(sent.values()) > 10 * len(transcribed)


def test_examples(server: FhirServer) -> None:
    paths = sorted((REPOSITORY / "profiles" / "examples").glob("*.json"))
    examples = [{"resource": json.loads(path.read_text(encoding="utf-8"))} for path in paths]
    sent, not_taken = refused(server, [{"entry": examples}])
    assert not_taken == []
    assert sum(sent.values()) == len(paths) > 10


def test_the_server_does_refuse(server: FhirServer, coded_note: CodedNote) -> None:
    """Each of our profiles is known to the server, and refuses what lacks an element that only it requires."""
    bundle = to_bundle(coded_note)
    required = {
        "Condition": "evidence",
        "MedicationStatement": "derivedFrom",
        "Observation": "derivedFrom",
        "Device": "status",
        "DeviceUseStatement": "derivedFrom",
        "FamilyMemberHistory": "condition",
        "AllergyIntolerance": "recordedDate",
        "DocumentReference": "identifier",
        "Provenance": "reason",
    }
    for entry in bundle["entry"]:
        entry["resource"].pop(required.get(entry["resource"]["resourceType"], ""), None)
    accepted = {resource_type for resource_type, reason in server.validate(bundle) if not reason}
    assert accepted == {"Patient"}
