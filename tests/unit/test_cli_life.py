"""`fhir-coder code --out` on documents that are replaced, edited and cancelled: what the folder says in the end."""

from __future__ import annotations

import copy
import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fhir_coder.pipeline import Coder
from fhir_coder.settings import Settings
from tests.unit.command import run_command

Run = Callable[..., tuple[int, str]]

MESSAGE = (
    r"MSH|^~\&|APP|HOSP|US|HERE|20250422183015||MDM^{event}|M{event}|P|2.5.1"
    "\rPID|1||844^^^RIVER^MR||Doe^Jane\rTXA|1|PR||20250422||||||||{number}^NOTE|{parent}||||AU"
)
LIFE = {
    "1.hl7": MESSAGE.format(event="T02", number="D1", parent="")
    + "\rOBX|1|TX|||Assessment: hypertension, type 2 diabetes. Metformin 500 mg daily.",
    "2.hl7": MESSAGE.format(event="T10", number="D2", parent="D1^NOTE")
    + "\rOBX|1|TX|||Assessment: hypertension. Metformin 850 mg daily.",
    "3.hl7": MESSAGE.format(event="T11", number="D2", parent=""),
}


@pytest.fixture
def run(dictionary_coder: Coder, monkeypatch: pytest.MonkeyPatch, capfdbinary: Any, tmp_path: Path) -> Run:
    """Code the files in `in` into the folder `out`: run(name, ...) -> status, stderr."""
    monkeypatch.setenv("FHIR_CODER_DATABASE", f"sqlite:///{tmp_path}/delivery.sqlite")

    def loaded(settings: Settings) -> Coder:
        again = copy.copy(dictionary_coder)
        again.settings = settings
        return again

    monkeypatch.setattr(Coder, "from_settings", loaded)

    def call(*names: str, out: bool = True) -> tuple[int, str]:
        paths = [tmp_path / name for name in names]
        where = ("--out", tmp_path / "out") if out else ()
        status, _, err = run_command(monkeypatch, capfdbinary, "code", *paths, "--format", "none", *where)
        return status, err.decode()

    return call


def told(folder: Path, kind: str) -> dict[str, str]:
    """Return the status of each resource of a type, by its words; each id stands once."""
    resources = [json.loads(line) for line in (folder / "out" / f"{kind}.ndjson").read_text().splitlines()]
    assert len({each["id"] for each in resources}) == len(resources)
    found = {}
    for each in resources:
        words = each.get("code") or each.get("medicationCodeableConcept") or each["masterIdentifier"]
        verified = each.get("verificationStatus")
        found[words.get("text") or words["value"]] = verified["coding"][0]["code"] if verified else each["status"]
    return found


@pytest.mark.parametrize("runs", [[tuple(LIFE)], [(name,) for name in LIFE]], ids=["one run", "three runs"])
def test_a_document_is_replaced_and_cancelled(run: Run, tmp_path: Path, runs: list[tuple[str, ...]]) -> None:
    for name, text in LIFE.items():
        (tmp_path / name).write_text(text)
    for number, names in enumerate(runs, start=1):
        assert run(*names) == (0, "")
        if (len(runs), number) == (3, 2):
            assert told(tmp_path, "Condition") == {"hypertension": "unconfirmed", "type 2 diabetes": "entered-in-error"}
            assert told(tmp_path, "DocumentReference") == {"D1": "superseded", "D2": "current"}
    assert set(told(tmp_path, "Condition").values()) == {"entered-in-error"}
    assert set(told(tmp_path, "MedicationStatement").values()) == {"entered-in-error"}
    assert told(tmp_path, "DocumentReference") == {"D1": "superseded", "D2": "entered-in-error"}


def document(**more: Any) -> str:
    data = b64encode(b"Assessment: hypertension.").decode()
    given = {
        "resourceType": "DocumentReference",
        "id": "12",
        "status": "current",
        "subject": {"reference": "Patient/7"},
        "content": [{"attachment": {"contentType": "text/plain", "data": data}}],
    }
    return json.dumps(given | more)


def test_a_document_is_entered_in_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text(document())
    (tmp_path / "2.json").write_text(document(status="entered-in-error", content=[]))
    assert run("1.json") == (0, "")
    assert told(tmp_path, "Condition") == {"hypertension": "unconfirmed"}
    assert run("2.json") == (0, "")
    assert told(tmp_path, "Condition") == {"hypertension": "entered-in-error"}
    status, err = run("2.json", out=False)  # nothing could be taken back
    assert status == 1
    assert "entered-in-error" in err


def test_what_comes_late_is_named(run: Run, tmp_path: Path) -> None:
    for name, text in LIFE.items():
        (tmp_path / name).write_text(text)
    assert run("2.hl7") == (0, "")
    status, err = run("1.hl7")
    assert status == 0
    assert "1.hl7: not coded: the document was replaced by another one before" in err
    assert told(tmp_path, "DocumentReference") == {"D2": "current", "D1": "superseded"}


def test_without_a_place_to_deliver_to_it_is_said_that_nothing_is_done(run: Run, tmp_path: Path) -> None:
    (tmp_path / "3.hl7").write_text(LIFE["3.hl7"])
    status, err = run("3.hl7", out=False)
    assert status == 0
    assert "a document is taken back" in err
