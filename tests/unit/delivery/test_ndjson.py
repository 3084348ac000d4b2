from __future__ import annotations

import json
import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest

from fhir_coder.delivery.ndjson import NdjsonWriter
from fhir_coder.errors import DeliveryError

PATIENT = "00000000-0000-4000-8000-000000000001"
CONDITION = "00000000-0000-4000-8000-000000000002"


def bundle() -> dict[str, Any]:
    """Return a Bundle of a Patient, a Condition and a Provenance that refer to each other."""
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"fullUrl": f"urn:uuid:{PATIENT}", "resource": {"resourceType": "Patient"}},
            {
                "fullUrl": f"urn:uuid:{CONDITION}",
                "resource": {
                    "resourceType": "Condition",
                    "subject": {"reference": f"urn:uuid:{PATIENT}"},
                    "encounter": {"reference": "Encounter/3"},
                    "extension": [{"url": "u", "valueReference": {"reference": f"urn:uuid:{PATIENT}"}}],
                    "code": {"text": "Fußpilz"},
                },
            },
            {
                "fullUrl": "http://example.org/fhir/Provenance/p",
                "resource": {
                    "resourceType": "Provenance",
                    "id": "p",
                    "target": [{"reference": f"urn:uuid:{CONDITION}"}],
                },
            },
        ],
    }


def read(folder: Path, resource_type: str) -> list[dict[str, Any]]:
    text = (folder / f"{resource_type}.ndjson").read_text(encoding="utf-8")
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_one_file_per_type(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "here"
    with NdjsonWriter(folder) as writer:
        assert writer.write(bundle()) == 3
    assert {path.name for path in folder.iterdir()} == {"Patient.ndjson", "Condition.ndjson", "Provenance.ndjson"}
    assert read(folder, "Condition") == [
        {
            "resourceType": "Condition",
            "id": CONDITION,
            "subject": {"reference": f"Patient/{PATIENT}"},
            "encounter": {"reference": "Encounter/3"},
            "extension": [{"url": "u", "valueReference": {"reference": f"Patient/{PATIENT}"}}],
            "code": {"text": "Fußpilz"},
        }
    ]
    assert read(folder, "Provenance") == [
        {"resourceType": "Provenance", "id": "p", "target": [{"reference": f"Condition/{CONDITION}"}]}
    ]


def test_writing_again_changes_nothing(tmp_path: Path) -> None:
    with NdjsonWriter(tmp_path) as writer:
        writer.write(bundle())
        assert writer.write(bundle()) == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with NdjsonWriter(tmp_path) as writer:
        assert writer.write(bundle()) == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_is_new_is_appended(tmp_path: Path) -> None:
    with NdjsonWriter(tmp_path) as writer:
        writer.write(bundle())
    more = bundle()
    more["entry"][1]["fullUrl"] = "urn:uuid:another"
    more["entry"][2]["resource"]["target"] = []
    with NdjsonWriter(tmp_path) as writer:
        assert writer.write(more) == 1
    assert [each["id"] for each in read(tmp_path, "Condition")] == [CONDITION, "another"]


def test_the_bundle_is_left_alone(tmp_path: Path) -> None:
    given = bundle()
    with NdjsonWriter(tmp_path) as writer:
        writer.write(given)
    assert given == bundle()


def test_a_line_cut_by_a_crash_is_written_again(tmp_path: Path) -> None:
    with NdjsonWriter(tmp_path) as writer:
        writer.write(bundle())
    path = tmp_path / "Condition.ndjson"
    path.write_bytes(path.read_bytes()[:-5])
    with NdjsonWriter(tmp_path) as writer:
        assert writer.write(bundle()) == 1
    assert [each["id"] for each in read(tmp_path, "Condition")] == [CONDITION]


@pytest.mark.parametrize("line", ["not JSON\n", "[]\n", "{}\n"])
def test_a_foreign_file_is_not_touched(tmp_path: Path, line: str) -> None:
    path = tmp_path / "Patient.ndjson"
    path.write_text(line)
    with NdjsonWriter(tmp_path) as writer, pytest.raises(DeliveryError, match=r"Patient\.ndjson:1"):
        writer.write(bundle())
    assert path.read_text() == line


def test_nothing_is_written_of_a_bundle_that_fails(tmp_path: Path) -> None:
    (tmp_path / "Provenance.ndjson").write_text("not JSON\n")
    with NdjsonWriter(tmp_path) as writer:
        with pytest.raises(DeliveryError):
            writer.write(bundle())
        (tmp_path / "Provenance.ndjson").unlink()
        assert writer.write(bundle()) == 3


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    with NdjsonWriter(tmp_path) as writer:
        writer.write(bundle())
    before = (tmp_path / "Condition.ndjson").read_bytes()
    more = bundle()
    more["entry"] = [more["entry"][1] | {"fullUrl": "urn:uuid:another"}]
    more["entry"][0]["resource"] |= {"note": [{"text": "x" * 5000}]}
    with NdjsonWriter(tmp_path) as writer:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 1000, limits[1]))
        try:
            with pytest.raises(DeliveryError, match="cannot be written"):
                writer.write(more)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert (tmp_path / "Condition.ndjson").read_bytes() == before
        assert writer.write(more) == 1
    assert [each["id"] for each in read(tmp_path, "Condition")] == [CONDITION, "another"]


def test_a_resource_without_identity_is_refused(tmp_path: Path) -> None:
    given = {"entry": [{"resource": {"resourceType": "Patient"}}]}
    with NdjsonWriter(tmp_path) as writer, pytest.raises(DeliveryError, match="neither"):
        writer.write(given)


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(DeliveryError, match="cannot be made"):
        NdjsonWriter(tmp_path / "out")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DeliveryError, match="cannot be written"):
        NdjsonWriter(tmp_path)


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "Patient.ndjson").mkdir()
    with NdjsonWriter(tmp_path) as writer, pytest.raises(DeliveryError, match="cannot be opened"):
        writer.write(bundle())


def update(gender: str, method: str = "PUT", **more: Any) -> dict[str, Any]:
    """Return a Bundle that updates the Patient, as an ADT message does."""
    return {
        "entry": [
            {
                "fullUrl": f"urn:uuid:{PATIENT}",
                "resource": {"resourceType": "Patient", "gender": gender, **more},
                "request": {"method": method, "url": "Patient?identifier=a|1" if method == "PUT" else "Patient"},
            }
        ]
    }


def test_an_update_is_appended_and_the_last_line_holds(tmp_path: Path) -> None:
    with NdjsonWriter(tmp_path) as writer:
        assert [writer.write(update(each)) for each in ("female", "female", "unknown")] == [1, 0, 1]
        assert [each["gender"] for each in read(tmp_path, "Patient")] == ["female", "unknown"]
    assert [each["gender"] for each in read(tmp_path, "Patient")] == ["unknown"]


def test_what_was_updated_is_known_to_the_next_run(tmp_path: Path) -> None:
    for gender, written in (("female", 1), ("unknown", 1), ("unknown", 0), ("female", 1)):
        with NdjsonWriter(tmp_path) as writer:
            assert writer.write(update(gender)) == written
    assert [each["gender"] for each in read(tmp_path, "Patient")] == ["female"]


def test_what_is_created_leaves_alone_what_is_there(tmp_path: Path) -> None:
    with NdjsonWriter(tmp_path) as writer:
        writer.write(update("female"))
        assert writer.write(update("unknown", method="POST")) == 0


def test_the_time_of_the_coding_is_no_update(tmp_path: Path) -> None:
    with NdjsonWriter(tmp_path) as writer:
        writer.write(update("female", recorded="2026-01-01"))
        assert writer.write(update("female", recorded="2026-01-02")) == 0


def test_lines_that_hold_no_more_are_taken_out_after_a_crash_too(tmp_path: Path) -> None:
    lines = [{"resourceType": "Patient", "id": each, "gender": gender} for each, gender in (("a", "male"), ("b", "x"))]
    lines.append({"resourceType": "Patient", "id": "a", "gender": "female"})
    path = tmp_path / "Patient.ndjson"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    path.chmod(0o640)
    with NdjsonWriter(tmp_path) as writer:
        writer.write(update("other"))
    assert [(each["id"], each["gender"]) for each in read(tmp_path, "Patient")] == [
        ("b", "x"),
        ("a", "female"),
        (PATIENT, "other"),
    ]
    assert path.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["Patient.ndjson"]


def test_an_update_by_place_is_of_that_place(tmp_path: Path) -> None:
    entry = {
        "fullUrl": "urn:uuid:another",
        "resource": {"resourceType": "Patient", "id": PATIENT, "gender": "male"},
        "request": {"method": "PUT", "url": f"Patient/{PATIENT}"},
    }
    reference = {
        "fullUrl": "urn:uuid:c",
        "resource": {"resourceType": "Condition", "subject": {"reference": "urn:uuid:another"}},
    }
    with NdjsonWriter(tmp_path) as writer:
        writer.write(update("female"))
        writer.write({"entry": [entry, reference]})
    assert [(each["id"], each["gender"]) for each in read(tmp_path, "Patient")] == [(PATIENT, "male")]
    assert read(tmp_path, "Condition")[0]["subject"] == {"reference": f"Patient/{PATIENT}"}


def test_a_disk_that_is_full_on_rewriting_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    writer = NdjsonWriter(tmp_path)
    writer.write(update("female"))
    writer.write(update("male"))
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(DeliveryError, match="the last line with an id holds"):
        writer.close()
    assert [each["gender"] for each in read(tmp_path, "Patient")] == ["female", "male"]
    assert [each.name for each in tmp_path.iterdir()] == ["Patient.ndjson"]
