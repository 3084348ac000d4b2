"""Whole notes through the command line, compared with what a careful reader expects.

`NAME.expect.json` says what must be found and what must not become an active problem; where the program falls
short, its `known_gaps` says why, and a gap that is closed fails the test until it is taken out. `NAME.bundle.json`
is the whole Bundle of a few notes: `pytest tests/golden --rewrite-golden` writes them anew, to be read as a diff.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from fhir_coder import prepare
from fhir_coder.fhir.bundle import to_bundle
from fhir_coder.ingest.files import read_path
from fhir_coder.model import Note
from fhir_coder.pipeline import Coder
from fhir_coder.settings import Settings

FOLDER = Path(__file__).parent / "notes"
NOTES = sorted(path.stem for path in FOLDER.glob("*.txt"))
DEMO = Path(prepare.__file__).parent / "demo" / "document_reference.json"
SNAPSHOTS = ("diabetes_followup", "ed_chest_pain", "telegraphic_lowercase")
RECORDED = datetime(2026, 3, 1, 23, 30, tzinfo=timezone(timedelta(hours=-5)))
PROBLEMS = {"disease", "symptom"}
ASSERTED = ("negated", "certainty", "temporality", "experiencer")
ACTIVE = (False, "certain", "current", "patient")

Json = dict[str, Any]


def _command(output: str) -> list[Json]:
    """Code all notes with the command that users run, in one process.

    Without the dense stage: its scores are not the same, to the last digit, on every processor. (Nor are those of the
    recogniser; whole Bundles are compared without it.)
    """
    paths = [str(FOLDER / f"{name}.txt") for name in NOTES]
    command = [sys.executable, "-m", "fhir_coder", "code", *paths, "--format", output]
    done = subprocess.run(command, capture_output=True, check=True, env={**os.environ, "FHIR_CODER_ENCODER": "none"})
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def coded() -> dict[str, Json]:
    """The JSON of each note, by name."""
    return dict(zip(NOTES, _command("json"), strict=True))


@pytest.fixture(scope="module")
def bundles() -> dict[str, Json]:
    """The Bundle of each note, by name."""
    return dict(zip(NOTES, _command("bundle"), strict=True))


def _text(name: str) -> str:
    return (FOLDER / f"{name}.txt").read_text(encoding="utf-8")


def _expected(name: str) -> Json:
    expected: Json = json.loads((FOLDER / f"{name}.expect.json").read_text(encoding="utf-8"))
    return expected


def _gaps(name: str, key: str) -> set[str]:
    """Return the texts of the known gaps of one kind (must_find, must_not_be_active_conditions)."""
    gaps = _expected(name).get("known_gaps", [])
    assert all(gap["why"] for gap in gaps)
    return {gap["text"] for gap in gaps if gap["of"] == key}


def _occurrences(text: str, words: str) -> Iterator[tuple[int, int]]:
    for match in re.finditer(rf"(?<!\w){re.escape(words)}(?!\w)", text, re.IGNORECASE):
        yield match.span()


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _meets(entity: Json, wanted: Json) -> bool:
    same_type = entity["type"] == wanted["type"] or {entity["type"], wanted["type"]} <= PROBLEMS
    same_assertion = all(entity["assertion"][name] == wanted[name] for name in ASSERTED)
    codes = {coding["system"]: coding["code"] for coding in entity["codings"]}
    same_attributes = wanted.get("attributes", {}).items() <= entity["attributes"].items()
    return same_type and same_assertion and same_attributes and wanted.get("codes", {}).items() <= codes.items()


def _shortcoming(name: str, coded: Json, wanted: Json) -> str | None:
    """Return how the entities fall short of what was expected, or None."""
    spans = list(_occurrences(_text(name), wanted["text"]))
    assert spans, f"{wanted['text']!r} is not in the note"
    near = [entity for entity in coded["entities"] if any(_overlap((entity["start"], entity["end"]), s) for s in spans)]
    if any(_meets(entity, wanted) for entity in near):
        return None
    found = [
        (e["text"], e["type"], *(e["assertion"][n] for n in ASSERTED), *(c["code"] for c in e["codings"])) for e in near
    ]
    return f"{wanted['text']}: expected {wanted}, found {found or 'nothing'}"


@pytest.mark.parametrize("name", NOTES)
def test_what_must_be_found(coded: dict[str, Json], name: str) -> None:
    gaps = _gaps(name, "must_find")
    found = {wanted["text"]: _shortcoming(name, coded[name], wanted) for wanted in _expected(name)["must_find"]}
    short = {text: said for text, said in found.items() if said}
    assert [said for text, said in short.items() if text not in gaps] == []
    assert gaps - short.keys() == set(), "closed: take these out of known_gaps"


def _active_spans(bundle: Json) -> list[tuple[int, int]]:
    """Return where in the note the active Conditions of a Bundle were read."""
    spans = []
    for entry in bundle["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] != "Condition":
            continue
        if resource["clinicalStatus"]["coding"][0]["code"] == "active":
            found = list(_derivation_spans(resource))
            assert found, "a Condition that does not say where it was read"
            spans += found
    return spans


def _derivation_spans(resource: Json) -> Iterator[tuple[int, int]]:
    """Yield the spans of https://hl7.org/fhir/extensions/StructureDefinition-derivation-reference.html."""
    for extension in resource["extension"]:
        if extension["url"].endswith("/derivation-reference"):
            parts = {part["url"]: part for part in extension["extension"]}
            start, length = (parts[key]["valueInteger"] for key in ("offset", "length"))
            yield start, start + length


@pytest.mark.parametrize("name", NOTES)
def test_what_must_not_be_an_active_condition(bundles: dict[str, Json], name: str) -> None:
    text, active, gaps = _text(name), _active_spans(bundles[name]), _gaps(name, "must_not_be_active_conditions")
    wrong = {
        words
        for words in _expected(name)["must_not_be_active_conditions"]
        if any(_overlap(span, other) for span in _unwanted(name, text, words) for other in active)
    }
    assert wrong - gaps == set()
    assert gaps - wrong == set(), "closed: take these out of known_gaps"


def _unwanted(name: str, text: str, words: str) -> list[tuple[int, int]]:
    """Return where words occur, but for where they are part of a problem that must be found and is active.

    A father's "stroke" must not become the patient's; the patient's own "acute ischemic stroke" must.
    """
    active = [
        span
        for wanted in _expected(name)["must_find"]
        if tuple(wanted[each] for each in ASSERTED) == ACTIVE and len(wanted["text"]) > len(words)
        for span in _occurrences(text, wanted["text"])
    ]
    spans = list(_occurrences(text, words))
    assert spans, f"{words!r} is not in the note"
    return [span for span in spans if not any(_overlap(span, other) for other in active)]


def _bundle_of(coder: Coder, path: Path) -> Json:
    (intake,) = read_path(path, Settings.load())
    assert isinstance(intake.note, Note)
    bundle: Json = json.loads(json.dumps(to_bundle(coder(intake.note), recorded=RECORDED)))
    return bundle


@pytest.mark.parametrize("path", [*(FOLDER / f"{name}.txt" for name in SNAPSHOTS), DEMO], ids=lambda path: path.stem)
def test_whole_bundle(dictionary_coder: Coder, path: Path, request: pytest.FixtureRequest) -> None:
    stored = FOLDER / f"{path.stem}.bundle.json"
    bundle = _bundle_of(dictionary_coder, path)
    if request.config.getoption("--rewrite-golden"):
        stored.write_text(json.dumps(bundle, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    assert bundle == json.loads(stored.read_text(encoding="utf-8"))
    recorded = [entry["resource"].get("recordedDate") for entry in bundle["entry"]]
    assert "2026-03-01T23:30:00-05:00" in recorded
