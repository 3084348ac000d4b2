"""Development certificates: what is in them, who may read them, and that none is overwritten by accident."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from fhir_coder.errors import CertificateError, SettingsError
from fhir_coder.lookup.certificates import Pair, make_certificates
from fhir_coder.lookup.tls import server_context
from fhir_coder.settings import Settings
from tests.unit.command import run_command


def read(pair: Pair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate.read_bytes())


def test_what_is_made(tmp_path: Path) -> None:
    made = make_certificates(tmp_path / "new" / "tls", ["lines.example.org", "10.1.2.3", "bücher.example"])
    assert made.made
    authority, server, client = read(made.authority), read(made.server), read(made.client)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [
        "localhost",
        "lines.example.org",
        "xn--bcher-kva.example",
    ]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1", "10.1.2.3"]
    purposes = [list(each.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) for each in (server, client)]
    assert purposes == [[ExtendedKeyUsageOID.SERVER_AUTH], [ExtendedKeyUsageOID.CLIENT_AUTH]]
    for each in (authority, server, client):
        each.verify_directly_issued_by(authority)
        assert each.not_valid_before_utc < datetime.now(UTC) < each.not_valid_after_utc
        is_authority = each.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert is_authority == (each is authority)


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    for _ in range(2):
        made = make_certificates(tmp_path, force=True)
        for pair in (made.authority, made.server, made.client):
            assert stat.S_IMODE(pair.key.stat().st_mode) == 0o600
            pair.key.chmod(0o644)  # made anew, it is closed again


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in make_certificates(tmp_path).paths}
    again = make_certificates(tmp_path, ["other.example.org"])
    assert not again.made
    assert {path: path.read_bytes() for path in again.paths} == before
    forced = make_certificates(tmp_path, force=True)
    assert forced.made
    assert not any(path.read_bytes() == before[path] for path in forced.paths)


def test_what_is_there_in_part_is_an_error(tmp_path: Path) -> None:
    make_certificates(tmp_path).client.key.unlink()
    with pytest.raises(CertificateError, match=r"lacks client\.key: make all of them anew with --force"):
        make_certificates(tmp_path)


@pytest.mark.parametrize("host", ["", "two words", "a" * 70 + ".example", "..."])
def test_a_host_that_is_none(tmp_path: Path, host: str) -> None:
    with pytest.raises(CertificateError, match="neither a host's name nor an IP address"):
        make_certificates(tmp_path / "tls", [host])
    assert not (tmp_path / "tls").exists()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CertificateError, match="cannot be written"):
        make_certificates(tmp_path / "file" / "tls")


def test_the_command_says_what_to_do(monkeypatch: pytest.MonkeyPatch, capfd: Any, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, _ = run_command(monkeypatch, capfd, "certificates", "tls")
    assert status == 0
    assert f"FHIR_CODER_LINE_TLS_CERTIFICATE={tmp_path}/tls/server.pem" in out
    assert out.startswith("Made:")
    status, out, _ = run_command(monkeypatch, capfd, "certificates", "tls")
    assert out.startswith("These are there, and were kept")
    (tmp_path / "tls" / "ca.pem").unlink()
    status, _, err = run_command(monkeypatch, capfd, "certificates", "tls")
    assert (status, "lacks ca.pem" in err) == (1, True)


def test_a_server_context(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    given = {"line_tls_certificate": made.server.certificate, "line_tls_key": made.server.key}
    context = server_context(Settings(**given))
    assert (context.minimum_version, context.verify_mode) == (ssl.TLSVersion.TLSv1_2, ssl.CERT_NONE)
    context = server_context(Settings(**given, line_tls_client_ca=made.authority.certificate))
    assert context.verify_mode == ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "setting line_tls_certificate: TLS needs a certificate"),
        ({"line_tls_certificate": "server.pem"}, "setting line_tls_certificate: TLS needs a certificate"),
        (
            {"line_tls_certificate": "none.pem", "line_tls_key": "server.key"},
            r"line_tls_certificate: .*none\.pem cannot",
        ),
        (
            {"line_tls_certificate": "server.pem", "line_tls_key": "none.key"},
            r"setting line_tls_key: .*none\.key cannot",
        ),
        ({"line_tls_certificate": "server.pem", "line_tls_key": "client.key"}, "are no certificate with its key"),
        ({"line_tls_certificate": "server.key", "line_tls_key": "server.key"}, "are no certificate with its key"),
        (
            {"line_tls_certificate": "server.pem", "line_tls_key": "server.key", "line_tls_client_ca": "server.key"},
            r"setting line_tls_client_ca: .*server\.key holds no certificates",
        ),
    ],
)
def test_certificates_that_cannot_be_used(tmp_path: Path, given: dict[str, str], message: str) -> None:
    make_certificates(tmp_path)
    with pytest.raises(SettingsError, match=message):
        server_context(Settings(**{name: tmp_path / file for name, file in given.items()}))  # type: ignore[arg-type]
