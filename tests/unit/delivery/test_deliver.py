"""The life of a document in a folder: what the files say after each version, in one run and in several."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fhir_coder.delivery.database import open_database
from fhir_coder.delivery.deliver import Deliverer
from fhir_coder.delivery.dispatch import Dispatch
from fhir_coder.model import Note
from tests.unit.delivery.documents import ALL, Office, changes, message, note, withdrawn

LIFE = (
    message("T02", "D1", ALL),
    message("T10", "D2", "hypertension, metformin 850 mg", parent="D1"),
    message("T11", "D2"),
)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    """What delivers into a folder."""
    return Office(tmp_path / "data", out=tmp_path / "out")


def lines(office: Office, kind: str) -> list[dict[str, Any]]:
    path = office.settings.out / f"{kind}.ndjson"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def conditions(office: Office) -> dict[str, str]:
    return {
        each["code"]["text"]: each["verificationStatus"]["coding"][0]["code"] for each in lines(office, "Condition")
    }


def statuses(office: Office) -> list[str]:
    kinds = ("MedicationStatement", "Observation", "Device", "DeviceUseStatement")
    return [each["status"] for kind in kinds for each in lines(office, kind)]


@pytest.mark.parametrize("runs", ["one", "several"])
def test_written_replaced_and_cancelled(office: Office, runs: str) -> None:
    if runs == "one":
        office.deliver(*LIFE)
    else:
        office.deliver(LIFE[0])
        assert set(conditions(office).values()) == {"unconfirmed"}
        office.deliver(LIFE[1])
        assert conditions(office) == {"hypertension": "unconfirmed", "diabetes": "entered-in-error"}
        assert [each["dosage"][0]["text"] for each in lines(office, "MedicationStatement")] == ["850 mg"]
        office.deliver(LIFE[2])
    assert set(conditions(office).values()) == {"entered-in-error"}
    assert set(statuses(office)) == {"entered-in-error"}
    assert [each["status"] for each in lines(office, "DocumentReference")] == ["superseded", "entered-in-error"]
    for kind in ("Condition", "DocumentReference", "MedicationStatement", "Provenance"):
        ids = [each["id"] for each in lines(office, kind)]
        assert len(ids) == len(set(ids)), kind


def test_delivered_again_nothing_is_written(office: Office) -> None:
    office.deliver(note("12", ALL), note("12", "hypertension"))
    before = {path.name: path.read_bytes() for path in office.settings.out.iterdir()}
    assert office.deliver(note("12", "hypertension")) == ()
    assert {path.name: path.read_bytes() for path in office.settings.out.iterdir()} == before


def test_a_folder_that_was_cleared_is_filled_again(office: Office) -> None:
    office.deliver(*LIFE[:2])
    for path in office.settings.out.iterdir():
        path.unlink()
    office.deliver(LIFE[1])
    assert conditions(office) == {"hypertension": "unconfirmed"}
    (provenance,) = lines(office, "Provenance")
    places = {f"Condition/{each['id']}" for each in lines(office, "Condition")}
    assert places <= {each["reference"] for each in provenance["target"]}


def test_each_folder_has_its_own_history(office: Office, tmp_path: Path) -> None:
    office.deliver(LIFE[0])
    other = Office(tmp_path / "data", out=tmp_path / "other")
    assert other.deliver(LIFE[2]) == ()


def test_a_report_that_is_final_and_one_that_waits(office: Office) -> None:
    office.settings = office.settings.model_copy(update={"preliminary": "wait"})
    office.deliver(message("T02", "D1", "HbA1c 7.2"))
    effects = office.deliver(message("T08", "D1", "diabetes", status="PA"))  # edited, and not signed yet
    assert changes(effects) == [("update", "DocumentReference"), ("waiting", "")]
    assert statuses(office) == ["final"]
    office.deliver(message("T08", "D1", "diabetes"))
    assert (statuses(office), conditions(office)) == (["entered-in-error"], {"diabetes": "unconfirmed"})


def test_another_form_of_the_same_document_says_nothing_twice(office: Office) -> None:
    office.deliver(note("12", "diabetes"))
    effects = office.deliver(replace(note("13", "diabetes"), repeats=("DocumentReference/12",)))
    assert changes(effects) == [("ignored", "")]
    assert len(lines(office, "Condition")) == 1
    office.deliver(replace(note("14", "diabetes"), repeats=("DocumentReference/unknown",)))
    assert len(lines(office, "Condition")) == 2


def test_a_document_is_known_by_its_identifiers(office: Office) -> None:
    office.deliver(replace(note("12", "diabetes"), names=("urn:uuid:master",)))
    office.deliver(replace(note("13", "hypertension"), replaces=("urn:uuid:master",)))
    assert conditions(office) == {"diabetes": "entered-in-error", "hypertension": "unconfirmed"}


def test_documents_that_replace_each_other(office: Office) -> None:
    first, second = note("12", "diabetes"), note("13", "diabetes")
    office.deliver(first, replace(second, replaces=("DocumentReference/12",)))
    office.deliver(replace(first, replaces=("DocumentReference/13",)))
    assert conditions(office) == {"diabetes": "unconfirmed"}
    assert len(lines(office, "Condition")) == 1
    assert changes(office.deliver(second)) == [("ignored", "")]


def test_when_the_replacement_is_withdrawn_the_first_may_be_said_again(office: Office) -> None:
    first, second = note("12", "diabetes"), replace(note("13", "asthma"), replaces=("DocumentReference/12",))
    office.deliver(first, second, withdrawn(second), first)
    assert conditions(office) == {"diabetes": "unconfirmed", "asthma": "entered-in-error"}


def test_a_text_without_a_name_has_one_version(office: Office) -> None:
    office.deliver(Note(text="diabetes", id="a.txt"), Note(text="asthma", id="a.txt"))
    assert set(conditions(office).values()) == {"unconfirmed"}


def test_records_of_a_message_are_kept_up_to_date(office: Office) -> None:
    def patient(method: str, gender: str) -> Dispatch:
        request = {"method": method, "url": "Patient?identifier=a|1" if method == "PUT" else "Patient"}
        resource = {"resourceType": "Patient", "gender": gender}
        entry = {"fullUrl": "urn:uuid:00000000-0000-4000-8000-000000000001", "resource": resource, "request": request}
        return Dispatch(bundle={"resourceType": "Bundle", "type": "transaction", "entry": [entry]})

    engine = open_database(office.settings.data_dir)
    deliverer = Deliverer(office.settings, engine)
    for method, gender in (("POST", "female"), ("PUT", "unknown"), ("POST", "other")):
        deliverer.deliver(patient(method, gender))
    deliverer.close()
    engine.dispose()
    assert [each["gender"] for each in lines(office, "Patient")] == ["unknown"]


@pytest.mark.parametrize("preliminary", ["code", "wait"])
def test_a_document_that_becomes_final_without_its_text(office: Office, preliminary: str) -> None:
    office.settings = office.settings.model_copy(update={"preliminary": preliminary})
    office.deliver(message("T02", "D1", "HbA1c 7.2, diabetes", status="PA"))
    assert statuses(office) == ([] if preliminary == "wait" else ["preliminary"])
    office.deliver(message("T03", "D1"))
    assert (statuses(office), conditions(office)) == (["final"], {"diabetes": "unconfirmed"})
    assert [each["docStatus"] for each in lines(office, "DocumentReference")] == ["final"]
    assert changes(office.deliver(message("T03", "D1"))) == [("ignored", "")]
    office.deliver(message("T11", "D1"))
    assert (statuses(office), conditions(office)) == (["entered-in-error"], {"diabetes": "entered-in-error"})


def test_the_status_of_an_unknown_document_is_no_news(office: Office) -> None:
    assert changes(office.deliver(message("T03", "D1"))) == [("ignored", "")]
    assert lines(office, "DocumentReference") == []


def test_a_preliminary_replacement_takes_the_place_when_it_is_final(office: Office) -> None:
    office.settings = office.settings.model_copy(update={"preliminary": "wait"})
    office.deliver(message("T02", "D1", "diabetes"))
    office.deliver(message("T10", "D2", "asthma", parent="D1", status="PA"))
    assert conditions(office) == {"diabetes": "unconfirmed"}
    office.deliver(message("T03", "D2"))
    assert conditions(office) == {"diabetes": "entered-in-error", "asthma": "unconfirmed"}
