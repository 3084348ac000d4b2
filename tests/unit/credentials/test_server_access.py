"""Credentials go to the origin of the configured server and nowhere else, whatever a document's url may say."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from fhir_coder.attachments.fetch import fetch
from fhir_coder.credentials.server_access import server_access
from fhir_coder.credentials.smart_key import load_key, make_key
from fhir_coder.delivery.client import FhirClient
from fhir_coder.errors import InputError, SettingsError, TransientDeliveryError
from fhir_coder.lookup.certificates import Certificates, make_certificates
from fhir_coder.service.stored_document import read_document
from fhir_coder.settings import Settings
from fhir_coder.upstream.rest import Upstream

SECRET = "s3cr3t-token"  # noqa: S105 - of these tests alone
HEADER = f"Bearer {SECRET}"


def settings(server: str, **given: Any) -> Settings:
    return Settings.load(server=server, **{"server_auth": "bearer", "server_token": SECRET, **given})


def sent(httpserver: HTTPServer) -> list[str | None]:
    return [request.headers.get("Authorization") for request, _ in httpserver.log]


def test_every_way_to_the_server_has_them(httpserver: HTTPServer) -> None:
    using = settings(httpserver.url_for("/fhir"))
    httpserver.expect_request("/fhir/Binary/7").respond_with_data("HTN", content_type="text/plain")
    httpserver.expect_request("/fhir/DocumentReference/7").respond_with_json({"resourceType": "DocumentReference"})
    httpserver.expect_request("/fhir/metadata").respond_with_json({"resourceType": "CapabilityStatement"})
    written = {"entry": [{"response": {"location": "Patient/1"}}]}
    httpserver.expect_request("/fhir/", method="POST").respond_with_json(written)
    fetch("Binary/7", "text/plain", using, place="x")
    read_document("7", using)
    upstream, client = Upstream.of(using), FhirClient.of(using)
    assert upstream is not None
    assert client is not None
    with upstream, client:
        upstream.ask("GET", "metadata")
        client.send({"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Patient"}}]})
    assert sent(httpserver) == [HEADER] * 4


@pytest.mark.parametrize(
    "url",
    [
        "http://{host}:{other}/fhir/Binary/7",
        "http://{host}.evil.example:{port}/fhir",
        "https://{host}:{port}/fhir",
        "http://evil.example/{host}:{port}/fhir",
    ],
)
def test_a_look_alike_gets_none(httpserver: HTTPServer, url: str) -> None:
    auth = server_access(settings(httpserver.url_for("/fhir"))).auth
    assert auth is not None
    address = url.format(host=httpserver.host, port=httpserver.port, other=httpserver.port + 1)
    request = httpx2.Request("GET", address)
    flow = auth.sync_auth_flow(request)
    assert "Authorization" not in next(flow).headers
    flow.close()


def test_a_listed_server_gets_none(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even when its name leads to the same address, and the connection is pinned to it."""
    monkeypatch.setattr("fhir_coder.attachments.fetch._is_public", lambda _: True)
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **named: real(httpserver.host, *rest, **named))
    httpserver.expect_request("/a").respond_with_data("HTN", content_type="text/plain")
    files = f"http://files.example.org:{httpserver.port}"
    using = settings(httpserver.url_for("/fhir"), attachment_origins=[files])
    assert fetch(f"{files}/a", "text/plain", using, place="x").raw == b"HTN"
    assert sent(httpserver) == [None]


@pytest.mark.parametrize("path", ["/other/a", "/fhirs/a", "/fhir/%2e%2e/other/a"])
def test_what_else_the_server_s_origin_serves_gets_none(httpserver: HTTPServer, path: str) -> None:
    for known in ("/other/a", "/fhirs/a", "/fhir/../other/a"):
        httpserver.expect_request(known).respond_with_data("HTN", content_type="text/plain")
    using = settings(httpserver.url_for("/fhir"))
    assert fetch(f"http://{httpserver.host}:{httpserver.port}{path}", "text/plain", using, place="x").raw == b"HTN"
    assert sent(httpserver) == [None]


def test_a_redirect_takes_none_along(httpserver: HTTPServer) -> None:
    elsewhere = {"Location": "http://127.0.0.1:1/"}
    httpserver.expect_request("/fhir/Binary/7").respond_with_data(status=302, headers=elsewhere)
    with pytest.raises(InputError, match="redirects"):
        fetch("Binary/7", "text/plain", settings(httpserver.url_for("/fhir")), place="x")


def test_basic(httpserver: HTTPServer) -> None:
    given = {"server_auth": "basic", "server_username": "Ünal", "server_password": "p:w", "server_token": None}
    httpserver.expect_request("/fhir/DocumentReference/7").respond_with_json({"resourceType": "DocumentReference"})
    read_document("7", settings(httpserver.url_for("/fhir"), **given))
    assert sent(httpserver) == ["Basic " + base64.b64encode("Ünal:p:w".encode()).decode()]


def test_a_token_in_a_file_is_read_anew(httpserver: HTTPServer, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one\n")
    using = Settings.load(server=httpserver.url_for("/fhir"), server_auth="bearer", server_token_file=file)
    httpserver.expect_request("/fhir/DocumentReference/7").respond_with_json({"resourceType": "DocumentReference"})
    read_document("7", using)
    file.write_text("two\n")
    read_document("7", using)
    file.unlink()
    with pytest.raises(TransientDeliveryError, match="server_token_file"):
        read_document("7", using)
    assert sent(httpserver) == ["Bearer one", "Bearer two"]


def test_wrong_credentials_are_nobody_s_note_s_fault(httpserver: HTTPServer) -> None:
    using = settings(httpserver.url_for("/fhir"))
    httpserver.expect_request("/fhir/DocumentReference/7").respond_with_data("secret", status=401)
    httpserver.expect_request("/fhir/Binary/7").respond_with_data("secret", status=401)
    with pytest.raises(TransientDeliveryError, match="server_auth"):
        read_document("7", using)
    with pytest.raises(InputError) as caught:
        fetch("Binary/7", "text/plain", using, place="x")
    assert caught.value.code == "transient"
    client = FhirClient.of(using, attempts=1)
    assert client is not None
    httpserver.expect_request("/fhir/", method="POST").respond_with_data("secret", status=401)
    with client, pytest.raises(TransientDeliveryError, match="credentials"):
        client.send({"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Patient"}}]})


def test_a_refused_token_is_renewed_once_and_the_body_sent_again(httpserver: HTTPServer, tmp_path: Path) -> None:
    make_key(tmp_path / "key.pem")
    tokens, good = iter("abcdefgh"), {"Bearer b"}
    bodies: list[bytes] = []

    def write(request: Request) -> Response:
        bodies.append(request.get_data())
        if request.headers["Authorization"] not in good:
            return Response(status=401)
        return Response('{"entry": [{"response": {"location": "Patient/1"}}]}')

    httpserver.expect_request("/token", method="POST").respond_with_handler(
        lambda _: Response(f'{{"access_token": "{next(tokens)}", "token_type": "bearer", "expires_in": 300}}')
    )
    httpserver.expect_request("/fhir/", method="POST").respond_with_handler(write)
    using = Settings.load(
        server=httpserver.url_for("/fhir"),
        server_auth="smart",
        smart_client_id="me",
        smart_key=tmp_path / "key.pem",
        smart_token_url=httpserver.url_for("/token"),
    )
    client = FhirClient.of(using, attempts=1)
    assert client is not None
    with client:
        assert client.send({"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Patient"}}]})
        good.clear()
        with pytest.raises(TransientDeliveryError):
            client.send({"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Patient"}}]})
    assert len(bodies) == 4  # twice each time, and not for ever
    assert len(set(bodies)) == 1


def test_secrets_are_in_no_representation(tmp_path: Path) -> None:
    make_key(tmp_path / "key.pem")
    using = settings("https://fhir.example.org", server_password=SECRET)
    assert SECRET not in repr(using)
    assert SECRET not in using.model_dump_json()
    assert SECRET not in repr(server_access(using))
    key = load_key(tmp_path / "key.pem")
    assert set(key.jwks["keys"][0]) == {"kty", "crv", "x", "y", "use", "key_ops", "alg", "kid"}
    assert key.private.as_dict(private=True)["d"] not in repr(key) + str(key.jwks)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"server_token": None}, "server_token"),
        ({"server_token": "a b"}, "no token"),
        ({"server_token": "a\r\nX: 1"}, "no token"),
        ({"server_token_file": "nowhere"}, "not both"),
        ({"server_token": None, "server_token_file": "nowhere"}, "cannot be read"),
        ({"server_auth": "basic"}, "server_username"),
        ({"server_auth": "smart"}, "smart_client_id"),
        ({"server_auth": "smart", "smart_client_id": "a", "smart_key": "nowhere"}, "smart_key"),
        ({"server_auth": "smart", "smart_client_id": "a", "smart_key": "__FILE__"}, "private key"),
        ({"server": "http://fhir.example.org"}, "https only"),
        ({"server_tls_certificate": "nowhere"}, "server_tls_key"),
        ({"server_tls_ca": "nowhere"}, "server_tls_ca"),
        ({"server_tls_certificate": "nowhere", "server_tls_key": "nowhere"}, "cannot be used"),
    ],
)
def test_what_cannot_be_used_stops_the_program(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text(SECRET)
    given = {name: wrong if value == "__FILE__" else value for name, value in given.items()}
    with pytest.raises(SettingsError, match=said) as caught:
        server_access(settings(**{"server": "https://fhir.example.org", **given}))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("kind", ["short RSA", "another curve", "Ed25519"])
def test_keys_that_smart_does_not_know(kind: str, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    made = {
        "short RSA": lambda: rsa.generate_private_key(public_exponent=65537, key_size=1024),  # noqa: S505 - refused
        "another curve": lambda: ec.generate_private_key(ec.SECP256R1()),
        "Ed25519": ed25519.Ed25519PrivateKey.generate,
    }[kind]()
    path = tmp_path / "key.pem"
    path.write_bytes(made.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()))
    with pytest.raises(SettingsError, match="P-384"):
        load_key(path)


def test_a_key_is_its_owner_s_alone_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    make_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        make_key(path)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"), ["localhost"])


@pytest.fixture
def mutual(certificates: Certificates) -> Iterator[HTTPServer]:
    """A server that wants to see a certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificates.authority.certificate))
    context.load_cert_chain(certificates.server.certificate, certificates.server.key)
    context.verify_mode = ssl.CERT_REQUIRED
    with HTTPServer(ssl_context=context) as server:
        server.expect_request("/fhir/Binary/7").respond_with_data("HTN", content_type="text/plain")
        server.expect_request("/fhir/DocumentReference/7").respond_with_json({"resourceType": "DocumentReference"})
        yield server


@pytest.mark.parametrize("own", [True, False])
def test_mutual_tls(mutual: HTTPServer, certificates: Certificates, own: bool) -> None:
    shown = {
        "server_tls_certificate": certificates.client.certificate,
        "server_tls_key": certificates.client.key,
    }
    using = Settings.load(
        server=f"https://localhost:{mutual.port}/fhir",
        server_tls_ca=certificates.authority.certificate,
        **(shown if own else {}),
    )
    if own:
        assert fetch("Binary/7", "text/plain", using, place="x").raw == b"HTN"
        assert read_document("7", using)
    else:
        with pytest.raises(InputError) as caught:
            fetch("Binary/7", "text/plain", using, place="x")
        assert caught.value.code == "transient"
        with pytest.raises(TransientDeliveryError):
            read_document("7", using)
        assert not mutual.log
