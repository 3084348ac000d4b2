"""Reference documents of other makers: each gives text or an outcome with a reason, and none breaks the intake.

The reference data is present where FHIR_CODER_REFERENCES says, else in ../shared/data.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path

import orjson
import pytest

from fhir_coder.ingest.intake import Intake
from fhir_coder.ingest.json_input import intakes_from_json
from fhir_coder.settings import Settings

DATA = Path(os.environ.get("FHIR_CODER_REFERENCES", Path(__file__).resolve().parents[3] / "shared" / "data"))
SETTINGS = Settings()
# The only reasons for which a reference CDA document may give no text.
REASONS = ("no narrative text", "in another file")


def _files(pattern: str) -> list[Path]:
    found = sorted(DATA.glob(pattern))
    if not found:
        pytest.skip(f"the reference files {pattern} are not in {DATA}")
    return found


def test_every_cda_document_gives_text_or_says_why_not() -> None:
    for path in _files("ccda/**/*.xml"):
        raw = path.read_bytes()
        attachment = {"contentType": "application/xml", "data": base64.b64encode(raw).decode(), "size": len(raw)}
        document = {"resourceType": "DocumentReference", "content": [{"attachment": attachment}]}
        (intake,) = intakes_from_json(orjson.dumps(document), path.name, SETTINGS)
        if intake.note is None:
            assert any(reason in str(intake.error) for reason in REASONS), path.name
        else:
            _require_origins(intake)


def test_every_fhir_resource_gives_text_or_says_why_not() -> None:
    texts = 0
    for path in _files("fhir/**/*.json"):
        for intake in intakes_from_json(path.read_bytes(), path.name, SETTINGS):
            assert (intake.note is None) != (intake.error is None)
            texts += intake.note is not None
            assert intake.error is None or str(intake.error)
    assert texts >= 5


def _require_origins(intake: Intake) -> None:
    note = intake.note
    assert note is not None
    assert note.origins, intake.source
    assert note.origins[-1].end == len(note.text)
