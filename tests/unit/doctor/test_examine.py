"""What the doctor finds in installations that lack something."""

from __future__ import annotations

import socket
from collections import namedtuple
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pytest_httpserver import HTTPServer
from sqlalchemy import create_engine, text

from fhir_coder.delivery.database import open_database
from fhir_coder.delivery.inbox import Inbox
from fhir_coder.doctor import examine as all_of_it
from fhir_coder.doctor import installation
from fhir_coder.doctor.database import database
from fhir_coder.doctor.finding import Finding
from fhir_coder.doctor.installation import data_folder, models, releases
from fhir_coder.doctor.network import callers, certificates, ports
from fhir_coder.doctor.server import _clock, fhir_server
from fhir_coder.lookup.certificates import make_certificates
from fhir_coder.settings import Settings
from fhir_coder.upstream.rest import Answer

PASSWORD = "hunter2hunter2"  # noqa: S105


def of(findings: Any, subject: str) -> Finding:
    found = [each for each in findings if each.subject == subject]
    assert len(found) == 1, found
    return found[0]


def statement(**changed: Any) -> dict[str, Any]:
    kinds = ("Condition", "Observation", "MedicationStatement", "DocumentReference", "Provenance", "Subscription")
    resources = [{"type": kind, "conditionalCreate": True} for kind in kinds]
    rest = [{"mode": "server", "interaction": [{"code": "transaction"}], "resource": resources}]
    return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": rest} | changed


@pytest.fixture
def settings(httpserver: HTTPServer, tmp_path: Path) -> Settings:
    return Settings.load(server=httpserver.url_for("/fhir"), data_dir=tmp_path / "data")


def test_a_server_that_can_all(httpserver: HTTPServer, settings: Settings) -> None:
    httpserver.expect_request("/fhir/metadata").respond_with_json(statement())
    found = list(fhir_server(settings))
    assert {each.state for each in found} == {"ok"}
    assert of(found, "clock").state == "ok"


def test_a_server_that_cannot_do_much(httpserver: HTTPServer, settings: Settings) -> None:
    body = statement(fhirVersion="5.0.0", rest=[{"mode": "server"}])
    httpserver.expect_request("/fhir/metadata").respond_with_json(body)
    found = list(fhir_server(settings.model_copy(update={"subscribe": "rest-hook"})))
    states = {each.subject: each.state for each in found if each.state != "ok"}
    assert states == {
        "FHIR server": "failure",
        "transactions": "warning",
        "resources": "warning",
        "conditional create": "warning",
        "subscriptions": "failure",
    }


@pytest.mark.parametrize(("seconds", "state"), [(0, "ok"), (-2, "ok"), (60, "warning"), (-600, "failure")])
def test_the_clock(seconds: int, state: str) -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    date = format_datetime(now + timedelta(seconds=seconds), usegmt=True)
    assert of(_clock(Answer(status=200, headers={"date": date}), now), "clock").state == state
    assert not list(_clock(Answer(status=200, headers={"date": "now"}), now))


def test_what_is_no_fhir_server(httpserver: HTTPServer, settings: Settings) -> None:
    httpserver.expect_request("/fhir/metadata").respond_with_json({"resourceType": "Patient"})
    assert of(fhir_server(settings), "FHIR server").state == "failure"


def test_a_server_that_is_away(tmp_path: Path) -> None:
    found = of(fhir_server(Settings.load(server="http://127.0.0.1:9/fhir", data_dir=tmp_path)), "FHIR server")
    assert found.state == "failure"
    assert "cannot be reached" in found.found


def test_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as other:
        port, free = taken.getsockname()[1], other.getsockname()[1]
        other.close()
        found = list(ports(Settings.load(port=port, mllp_port=free)))
    assert of(found, "HTTP").state == "warning"
    assert f"{free} (MLLP)" in of(found, "ports").found


def test_who_may_call() -> None:
    assert "this machine alone" in of(callers(Settings.load()), "callers").found
    assert of(callers(Settings.load(host="0.0.0.0")), "callers").state == "failure"  # noqa: S104
    assert of(callers(Settings.load(host="0.0.0.0", auth="none")), "callers").state == "failure"  # noqa: S104 - MLLP
    found = list(callers(Settings.load(host="0.0.0.0", auth="none", mllp_auth="none")))  # noqa: S104
    assert {each.state for each in found} == {"warning"}


def test_an_address_that_is_not_ours() -> None:
    found = of(ports(Settings.load(host="192.0.2.77", mllp="off")), "HTTP")
    assert found.state == "failure"


def certificate(path: Path, *, begins: timedelta, ends: timedelta) -> Path:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now + begins).not_valid_after(now + ends)
    path.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.parametrize(
    ("begins", "ends", "state"), [(-9, 400, "ok"), (-9, 9, "warning"), (-9, -1, "failure"), (1, 9, "failure")]
)
def test_the_validity_of_a_certificate(tmp_path: Path, begins: int, ends: int, state: str) -> None:
    path = certificate(tmp_path / "a.pem", begins=timedelta(days=begins), ends=timedelta(days=ends))
    found = of(certificates(Settings.load(mllp_tls_certificate=path)), "mllp_tls_certificate")
    assert found.state == state


def test_certificates_that_are_served(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    pair = {"mllp_tls_certificate": made.server.certificate, "mllp_tls_key": made.server.key}
    assert of(certificates(Settings.load(mllp="tls", **pair)), "MLLP certificate").state == "ok"
    pair["mllp_tls_key"] = made.client.key
    assert of(certificates(Settings.load(mllp="tls", **pair)), "MLLP certificate").state == "failure"


def test_a_certificate_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text("no")
    found = of(certificates(Settings.load(mllp_tls_certificate=tmp_path / "a.pem")), "mllp_tls_certificate")
    assert found.state == "failure"
    found = of(certificates(Settings.load(mllp_tls_certificate=tmp_path / "b.pem")), "mllp_tls_certificate")
    assert "cannot be read" in found.found


def test_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert of(data_folder(Settings.load(data_dir=tmp_path / "new")), "data folder").state == "warning"
    tmp_path.chmod(0o777)
    assert of(data_folder(Settings.load(data_dir=tmp_path)), "data folder").state == "failure"
    tmp_path.chmod(0o700)
    (tmp_path / "delivery.sqlite").touch(0o644)
    (tmp_path / "delivery.sqlite").chmod(0o644)
    found = [each for each in data_folder(Settings.load(data_dir=tmp_path)) if each.state == "failure"]
    assert ["can be read by others" in each.found for each in found] == [True]
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(installation.shutil, "disk_usage", lambda _: usage(10, 9, 1))
    assert of(data_folder(Settings.load(data_dir=tmp_path)), "disk").state == "failure"


def test_releases_that_are_not_stored(tmp_path: Path) -> None:
    found = of(releases(Settings.load(data_dir=tmp_path)), "releases")
    assert found.state == "warning"
    assert "icd10cm" in found.found
    assert not any(tmp_path.iterdir())


def test_models_that_are_not_there(tmp_path: Path) -> None:
    found = list(models(Settings.load(encoder=str(tmp_path), recogniser=str(tmp_path))))
    assert [each.state for each in found] == ["failure", "failure"]


def test_the_database(tmp_path: Path) -> None:
    settings = Settings.load(data_dir=tmp_path)
    assert "is made at the first start" in of(database(settings), "database").found
    assert not any(tmp_path.iterdir())
    open_database(tmp_path).dispose()
    assert of(database(settings), "database").state == "ok"
    engine = open_database(tmp_path)
    inbox = Inbox(engine)
    inbox.store("hl7v2", b"x", "1")
    item = inbox.take()
    assert item is not None
    inbox.queue.fail(item.row, "it was at fault")
    inbox.close()
    engine.dispose()
    assert of(database(settings), "queues").state == "warning"
    engine = create_engine(f"sqlite:///{tmp_path / 'delivery.sqlite'}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'future'"))
    engine.dispose()
    assert "newer" in of(database(settings), "database").found


def test_a_database_that_is_away_tells_no_password(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    url = f"postgresql://someone:{PASSWORD}@127.0.0.1:9/nothing"
    found = of(database(Settings.load(data_dir=tmp_path, database=url)), "database")
    assert found.state == "failure"
    assert PASSWORD not in str(found)
    found = of(database(Settings.load(data_dir=tmp_path, database=f"mysql://{PASSWORD}")), "database")
    assert found.state == "failure"
    assert PASSWORD not in str(found)


def test_an_examination_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Settings) -> Any:
        raise ValueError(PASSWORD)

    monkeypatch.setattr(all_of_it, "_EXAMINATIONS", (broken,))
    (found,) = all_of_it.examine(Settings.load())
    assert found.state == "failure"
    assert PASSWORD not in str(found)
