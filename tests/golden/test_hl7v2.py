"""HL7 v2 messages and what they hold.

`hl7v2/NAME.expect.json` is all that is made of a message; `pytest tests/golden --rewrite-golden` writes them anew, to
be read as a diff. And every message of the reference data is taken in: a valid Bundle, records, or a reason; no crash.

The reference data is present where FHIR_CODER_REFERENCES says, else in ../shared/data.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fhir_coder.fhir.bundle import to_bundle
from fhir_coder.fhir.checks import check
from fhir_coder.ingest.acknowledgement import acknowledge
from fhir_coder.ingest.files import read_path
from fhir_coder.ingest.intake import Intake
from fhir_coder.model import CodedNote
from fhir_coder.settings import Settings

DATA = Path(os.environ.get("FHIR_CODER_REFERENCES", Path(__file__).resolve().parents[3] / "shared" / "data")) / "hl7v2"
# Why messages are not taken, and for how many of the files that is right: they were made to be wrong.
REFUSALS = {"MSH-9", "MSH-10", "MSH-4", "MSH-2", "MSH", "PID-3", "PID-3.4", "segment 2", "segment 6", "segment 8"}


FOLDER = Path(__file__).parent / "hl7v2"
CASES = sorted(FOLDER.glob("*.hl7"))


def _told(intake: Intake) -> dict[str, Any]:
    """All that an intake holds, as JSON data. The text is told once, and not again in base64."""
    note = intake.note
    told: dict[str, Any] = {"source": Path(intake.source).name, "unmapped": list(intake.unmapped)}
    if note:
        context = json.loads(json.dumps(note.context))
        for content in context[-1]["resource"]["content"]:
            content["attachment"].pop("data", None)
        told |= {"text": note.text.split("\n"), "id": note.id, "type_code": note.type_code, "context": context}
        told |= {"doc_status": note.doc_status, "date": note.date.isoformat() if note.date else None}
    if intake.records:
        told["records"] = list(intake.records)
    if intake.remark:
        told["remark"] = intake.remark
    return told


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_all_that_is_made_of_a_message(path: Path, request: pytest.FixtureRequest) -> None:
    stored = path.with_suffix(".expect.json")
    told = [_told(intake) for intake in read_path(path, Settings())]
    if request.config.getoption("--rewrite-golden"):
        stored.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    assert told == json.loads(stored.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def intakes() -> list[Intake]:
    """What all files give."""
    files = sorted(DATA.rglob("*.hl7"))
    if not files:
        pytest.skip(f"the HL7 v2 messages are not there ({DATA})")
    return [intake for path in files for intake in read_path(path, Settings())]


def test_every_message_gives_text_records_or_a_reason(intakes: list[Intake]) -> None:
    for intake in intakes:
        given = (intake.note, intake.records, intake.error, intake.remark)
        assert any(given), intake.source
        if intake.error is not None:
            assert str(intake.error), intake.source
            assert acknowledge(b"", intake.error)


def test_what_is_taken_is_valid(intakes: list[Intake]) -> None:
    for intake in intakes:
        if intake.note is not None:
            assert intake.note.text.strip(), intake.source
            check(to_bundle(CodedNote(note=intake.note)))
        if intake.records:
            check({"resourceType": "Bundle", "type": "transaction", "entry": list(intake.records)})


def test_refusals_are_of_messages_that_are_not_read_or_were_made_to_be_wrong(intakes: list[Intake]) -> None:
    places = Counter(intake.error.place for intake in intakes if intake.error)
    assert set(places) <= REFUSALS
    assert sum(number for place, number in places.items() if place != "MSH-9") < 20
