"""Every golden note and the demo's, coded by the real coder, is taken by a FHIR server with the profiles on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fhir_coder import Coder, to_bundle
from fhir_coder.delivery.client import FhirClient
from fhir_coder.fhir.checks import check
from fhir_coder.ingest.files import read_path
from tests.integration.conftest import FhirServer

ROOT = Path(__file__).resolve().parent.parent.parent
INPUTS = [
    *sorted((ROOT / "tests" / "golden" / "notes").glob("*.txt")),
    ROOT / "fhir_coder" / "demo" / "document_reference.json",
    ROOT / "fhir_coder" / "demo" / "mdm_t02.hl7",
]


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.stem)
def test_the_server_takes_the_bundle_with_the_profiles_on(path: Path, coder: Coder, fhir_server: FhirServer) -> None:
    (intake,) = read_path(path, coder.settings)
    assert intake.note
    coded = coder(intake.note if intake.note.subject else replace(intake.note, subject="Patient/golden"))
    bundle = to_bundle(coded)
    check(bundle)
    with FhirClient(fhir_server.url) as client:
        first = client.send(bundle)
        assert len(first) == len(bundle["entry"]) > 1
        assert client.send(to_bundle(coded)) == first
