"""What a url may lead to: the configured server, or a listed one at a public address; nothing else is ever called."""

from __future__ import annotations

import base64
import gzip
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from fhir_coder.attachments.fetch import _is_public, fetch
from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.lookup.certificates import make_certificates
from fhir_coder.settings import Settings

PLAIN = "text/plain"


def settings(server: HTTPServer | str, *origins: str, **given: Any) -> Settings:
    base = server if isinstance(server, str) else server.url_for("/fhir")
    return Settings.load(server=base, attachment_origins=list(origins), **given)


def refused(url: str, using: Settings) -> InputError:
    with pytest.raises(InputError) as caught:
        fetch(url, PLAIN, using, place="x")
    assert caught.value.place == "x"
    return caught.value


@pytest.mark.parametrize("url", ["Binary/7", "/fhir/Binary/7", "{base}/Binary/7"])
def test_bytes_from_the_configured_server(httpserver: HTTPServer, url: str) -> None:
    httpserver.expect_request("/fhir/Binary/7").respond_with_data("Pt has HTN.", content_type="text/plain")
    found = fetch(url.format(base=httpserver.url_for("/fhir")), PLAIN, settings(httpserver), place="x")
    assert (found.raw, found.content_type) == (b"Pt has HTN.", "text/plain")
    (request, _) = httpserver.log[0]
    assert request.headers["Accept"].startswith("text/plain, application/fhir+json")
    assert request.headers["Host"] == f"{httpserver.host}:{httpserver.port}"


def test_a_binary_resource_from_the_configured_server(httpserver: HTTPServer) -> None:
    resource = {
        "resourceType": "Binary",
        "contentType": "text/html",
        "data": base64.b64encode(b"<p>HTN").decode(),
    }
    httpserver.expect_request("/fhir/Binary/7").respond_with_json(resource, content_type="application/fhir+json")
    found = fetch("Binary/7", PLAIN, settings(httpserver), place="x")
    assert (found.raw, found.content_type) == (b"<p>HTN", "text/html")


def test_an_answer_may_be_packed_but_not_a_bomb(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/Binary/7").respond_with_data(
        gzip.compress(b"HTN " * 1000), headers={"Content-Encoding": "gzip"}
    )
    assert fetch("Binary/7", PLAIN, settings(httpserver), place="x").raw == b"HTN " * 1000
    assert refused("Binary/7", settings(httpserver, max_body_bytes=3000)).code == "too-long"


def test_an_answer_has_a_limit(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/Binary/7").respond_with_data(b"x" * 5000)
    assert refused("Binary/7", settings(httpserver, max_body_bytes=3000)).code == "too-long"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (404, "not-found"),
        (410, "not-found"),
        (401, "forbidden"),
        (503, "transient"),
        (429, "transient"),
        (400, "value"),
    ],
)
def test_answers_other_than_success(httpserver: HTTPServer, status: int, code: str) -> None:
    httpserver.expect_request("/fhir/Binary/7").respond_with_data("secret", status=status)
    error = refused("Binary/7", settings(httpserver))
    assert error.code == code
    assert "secret" not in str(error)


def test_a_redirect_is_not_followed(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/Binary/7").respond_with_data(
        status=302, headers={"Location": httpserver.url_for("/elsewhere")}
    )
    assert "redirects are not followed" in str(refused("Binary/7", settings(httpserver)))
    assert len(httpserver.log) == 1


def test_a_server_that_is_away_is_transient() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    assert refused("Binary/7", settings(f"http://127.0.0.1:{port}/fhir")).code == "transient"


FORBIDDEN = [
    "http://169.254.169.254/latest/meta-data",
    "http://[fd00:ec2::254]/latest",
    "http://localhost:{port}/fhir/Binary/7",
    "http://127.0.0.1:1/fhir/Binary/7",
    "https://{host}:{port}/fhir/Binary/7",
    "http://{host}:{port}@evil.example/fhir/Binary/7",
    "http://user:secret@{host}:{port}/fhir/Binary/7",
    "http://{host}.evil.example:{port}/fhir/Binary/7",
    "//evil.example/Binary/7",
    "http://evil.example/Binary/7",
    "http://2130706433:{port}/x",
    "file:///etc/passwd",
    "ftp://{host}/x",
    "javascript:alert(1)",
    "data:text/plain,HTN",
]


@pytest.mark.parametrize("url", FORBIDDEN)
def test_no_other_origin_is_called(httpserver: HTTPServer, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unasked(*_: Any, **__: Any) -> None:
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", unasked)
    address = url.format(host=httpserver.host, port=httpserver.port)
    assert isinstance(refused(address, settings(f"http://127.0.0.1:{httpserver.port}/fhir")), UnsupportedError)
    assert not httpserver.log


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["10.0.0.1"], ["169.254.169.254"], ["::1"], ["93.184.216.34", "192.168.0.1"]]
)
def test_a_listed_server_must_have_public_addresses(addresses: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever holds the name's zone could point it inside."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    using = settings("http://127.0.0.1:1/fhir", "https://files.example.org")
    assert "inside this network" in str(refused("https://files.example.org/a", using))


def test_the_address_that_was_checked_is_the_one_that_is_called(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is asked for once: a second answer could be another."""
    httpserver.expect_request("/fhir/Binary/7").respond_with_data("HTN")
    asked: list[str] = []
    real = socket.getaddrinfo

    def once(host: str, *rest: Any, **named: Any) -> Any:
        if host == "fhir.example.org":
            asked.append(host)
            host = httpserver.host
        return real(host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", once)
    using = settings(f"http://fhir.example.org:{httpserver.port}/fhir")
    assert fetch("Binary/7", PLAIN, using, place="x").raw == b"HTN"
    assert asked == ["fhir.example.org"]
    assert httpserver.log[0][0].headers["Host"] == f"fhir.example.org:{httpserver.port}"


def test_the_proxies_of_the_environment_are_not_used(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    httpserver.expect_request("/fhir/Binary/7").respond_with_data("HTN")
    assert fetch("Binary/7", PLAIN, settings(httpserver), place="x").raw == b"HTN"


@pytest.mark.parametrize(("host", "is_certified"), [("fhir.example.org", True), ("other.example.org", False)])
def test_the_certificate_must_be_that_of_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, is_certified: bool
) -> None:
    """Though the connection goes to an address, for which the certificate is good as well."""
    files = make_certificates(tmp_path, ["fhir.example.org"])
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.load_cert_chain(files.server.certificate, files.server.key)
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **named: real("127.0.0.1", *rest, **named))
    with HTTPServer(ssl_context=ours) as server:
        server.expect_request("/fhir/Binary/7").respond_with_data("HTN")
        using = settings(f"https://{host}:{server.port}/fhir", server_tls_ca=files.authority.certificate)
        if is_certified:
            assert fetch("Binary/7", PLAIN, using, place="x").raw == b"HTN"
        else:
            assert refused("Binary/7", using).code == "transient"
            assert not server.log


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",  # noqa: S104 - an address that must be refused
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not _is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111"])
def test_addresses_that_are(address: str) -> None:
    assert _is_public(address)
