"""HTTPS with client certificates, and what a sender writes by hand to get past the guard, over real connections."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from fhir_coder.lookup.certificates import Certificates, make_certificates
from fhir_coder.service.access.api_keys import add_key
from tests.integration.adapter import ENVIRONMENT, prepared_data
from tests.integration.http_service import http_service

CLIENT = "fhir-coder development client"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder."""
    return prepared_data(tmp_path_factory.mktemp("https") / "data")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """The certificates of our authority."""
    return make_certificates(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """The certificates of another authority, with the same names."""
    return make_certificates(tmp_path_factory.mktemp("theirs"))


def tls(ours: Certificates, client: Certificates | None) -> ssl.SSLContext:
    """What a client trusts, and shows."""
    context = ssl.create_default_context(cafile=str(ours.authority.certificate))
    if client is not None:
        context.load_cert_chain(client.client.certificate, client.client.key)
    return context


def test_client_certificates(data: Path, ours: Certificates, theirs: Certificates) -> None:
    given = {
        "http_tls_certificate": ours.server.certificate,
        "http_tls_key": ours.server.key,
        "http_tls_client_ca": ours.authority.certificate,
    }
    with http_service(data, http_tls_client_names=f'["{CLIENT}"]', **given) as url:
        assert url.startswith("https://")
        with httpx2.Client(base_url=url, verify=tls(ours, ours), trust_env=False) as client:
            assert client.post("/v1/code", json={"text": "HTN"}).status_code == 200
            assert client.get("/metrics").status_code == 200
        for shown in (None, theirs):
            # Where TLS 1.3 is spoken, the refusal comes with the first answer.
            with (
                httpx2.Client(base_url=url, verify=tls(ours, shown), trust_env=False) as client,
                pytest.raises(httpx2.TransportError),
            ):
                client.get("/health/live")
        host, port = urlsplit(url).hostname, urlsplit(url).port
        old = tls(ours, ours)
        old.minimum_version = ssl.TLSVersion.TLSv1_2
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with (
            socket.create_connection((host, port), 10) as plain,
            old.wrap_socket(plain, server_hostname=host) as spoken,
        ):
            assert spoken.version() == "TLSv1.2"
        with socket.create_connection((host, port), 10) as plain:
            plain.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"HTTP/1.1 200" not in _received(plain)
    with (
        http_service(data, http_tls_client_names='["somebody else"]', **given) as url,
        httpx2.Client(base_url=url, verify=tls(ours, ours), trust_env=False) as client,
    ):
        refused = client.get("/metrics")
        assert (refused.status_code, refused.json()["issue"][0]["code"]) == (403, "forbidden")
        assert client.get("/metrics", headers={"X-Client-Names": "somebody else"}).status_code == 403


def test_a_certificate_and_a_key_are_both_needed_where_both_are_set_up(
    data: Path, ours: Certificates, tmp_path: Path
) -> None:
    key = add_key(tmp_path / "keys.json", "a", ["system/*.rs"])
    with (
        http_service(
            data,
            api_keys=tmp_path / "keys.json",
            http_tls_certificate=ours.server.certificate,
            http_tls_key=ours.server.key,
            http_tls_client_ca=ours.authority.certificate,
        ) as url,
        httpx2.Client(base_url=url, verify=tls(ours, ours), trust_env=False) as client,
    ):
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers={"Authorization": f"Bearer {key}"}).status_code == 200


@pytest.fixture(scope="module")
def guarded(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int, str]]:
    """Host and port of a service with API keys, and a key that may only look codes up."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    key = add_key(path, "terms", ["system/CodeSystem.rs"])
    with http_service(data, api_keys=path, server="http://127.0.0.1:9/fhir") as url:
        parts = urlsplit(url)
        yield str(parts.hostname), int(parts.port or 0), key


BODY = b'{"resourceType":"Parameters","parameter":[{"name":"text","valueString":"HTN"}]}'


@pytest.mark.parametrize(
    "head",
    [
        # Header injection: line ends within a value, folding, bare CR, two framings, a smuggled request.
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: a\r\n Authorization: Bearer KEY\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: a\rAuthorization: Bearer KEY\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: a%0d%0aAuthorization: Bearer KEY\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer KEY\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer\x00 KEY\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfeKEY\r\n\r\n",
        b"GET /metrics%0d%0aAuthorization:%20Bearer%20KEY HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /health/live HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: x\r\nContent-Length: 36\r\nContent-Length: 0\r\n\r\n"
        b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        # Another path than the guard sees.
        b"GET //metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health/live/../../metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health/live%2f..%2f..%2fmetrics HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health/live;/../../metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health/live%00/../metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://127.0.0.1/metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Original-URL: /health/live\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-HTTP-Method-Override: HEAD\r\n\r\n",
        b"GET /metrics HTTP/1.0\r\n\r\n",
        b"GET /metrics\r\n\r\n",
        b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_nobody_gets_past_the_guard(guarded: tuple[str, int, str], head: bytes) -> None:
    host, port, key = guarded
    with socket.create_connection((host, port), 10) as connection:
        connection.sendall(head.replace(b"KEY", key.encode()))
        received = _received(connection)
    assert b"fhir_coder_notes" not in received
    assert key.encode() not in received
    for line in received.splitlines():
        assert not line.startswith(b"HTTP/1.1 200") or b'{"status":"live"}' in received


IDS = (
    b"..",
    b"%2e%2e",
    b"%2e%2e%2fPatient%2f7",
    b"..%2f..%2fPatient",
    b"%252e%252e",
    b"d1%00",
    b"d1%3f_format=xml",
    b".",
)
REQUEST = b"POST /fhir/DocumentReference/%s/$code-note HTTP/1.1\r\nHost: x\r\n%sContent-Length: 0\r\n\r\n"


def test_a_path_cannot_be_walked(guarded: tuple[str, int, str], data: Path) -> None:
    """Without the scope it is refused; with every scope, nothing that is no id is looked up."""
    host, port, key = guarded
    for identifier in IDS:
        assert _status((host, port), REQUEST % (identifier, b"Authorization: Bearer %s\r\n" % key.encode())) in (
            403,
            404,
        )
    with http_service(data, server="http://127.0.0.1:9/fhir") as url:
        place = (str(urlsplit(url).hostname), int(urlsplit(url).port or 0))
        for identifier in IDS:
            assert _status(place, REQUEST % (identifier, b"")) in (404, 422)
        assert _status(place, REQUEST % (b"d1", b"")) == 503  # there is no such server


def test_the_answer_holds_no_header_of_the_sender(guarded: tuple[str, int, str]) -> None:
    host, port, key = guarded
    with socket.create_connection((host, port), 10) as connection:
        connection.sendall(
            b"GET /fhir/metadata?mode=%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
            + key.encode()
            + b"\r\nX-Request-Id: a%0d%0aSet-Cookie: a=b\r\n\r\n"
        )
        assert b"Set-Cookie" not in _received(connection)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104
def test_a_service_for_everybody_says_so_or_does_not_start(data: Path, host: str) -> None:
    command = [sys.executable, "-m", "fhir_coder", "serve", "--host", host, "--port", "0", "--mllp-port", "0"]
    environment = {**ENVIRONMENT, "FHIR_CODER_DATA_DIR": str(data)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 2
    assert "nobody is asked who they are" in done.stderr
    assert "ready" not in done.stdout


def test_a_service_for_everybody_that_is_meant(data: Path) -> None:
    command = [sys.executable, "-m", "fhir_coder", "serve", "--host", "0.0.0.0", "--port", "0", "--mllp-port", "0"]  # noqa: S104
    meant = {"FHIR_CODER_AUTH": "none", "FHIR_CODER_MLLP_AUTH": "none"}
    environment = {**ENVIRONMENT, "FHIR_CODER_DATA_DIR": str(data), **meant}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert "ready" in process.stdout.readline()
        process.terminate()
        _, said = process.communicate(timeout=30)
    for word in ('auth is "none"', "clear text", "MLLP: nobody is asked"):
        assert word in said


def _status(place: tuple[str, int], request: bytes) -> int:
    with socket.create_connection(place, 10) as connection:
        connection.sendall(request)
        return int(_received(connection).split(b" ", 2)[1])


def _received(connection: socket.socket) -> bytes:
    """What is answered, until the other side closes or is silent."""
    connection.settimeout(2.0)
    received = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        while chunk := connection.recv(65536):
            received += chunk
    return received
