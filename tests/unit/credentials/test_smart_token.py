"""Tokens of SMART Backend Services, asked for over real connections of a server that checks what it is sent."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from fhir_coder.credentials.smart_key import SmartKey, load_key, make_key
from fhir_coder.credentials.smart_token import SmartTokens
from fhir_coder.errors import TransientDeliveryError

CLIENT = "fhir-coder-test"


@pytest.fixture(params=["EC", "RSA"])
def key(request: pytest.FixtureRequest, tmp_path: Path) -> SmartKey:
    make_key(tmp_path / "key.pem", use_rsa=request.param == "RSA")
    return load_key(tmp_path / "key.pem")


@pytest.fixture
def ec_key(tmp_path: Path) -> SmartKey:
    make_key(tmp_path / "ec.pem")
    return load_key(tmp_path / "ec.pem")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Authority:
    """An authorization server that takes each assertion once."""

    def __init__(self, httpserver: HTTPServer, key: SmartKey, *, life: object = 300) -> None:
        self.url = httpserver.url_for("/auth/token")
        self.seen: list[dict[str, Any]] = []
        self.scopes: list[str] = []
        self._public = {each["kid"]: each for each in key.jwks["keys"]}
        self.answers: list[Response] = []  # instead of a token
        self.life = life
        httpserver.expect_request("/fhir/.well-known/smart-configuration").respond_with_json(
            {"token_endpoint": self.url}
        )
        httpserver.expect_request("/auth/token", method="POST").respond_with_handler(self._token)

    def _token(self, request: Request) -> Response:
        if self.answers:
            return self.answers.pop(0)
        assert request.form["grant_type"] == "client_credentials"
        assert request.form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        raw = request.form["client_assertion"]
        header = jwt.decode(raw, self._imported(raw), algorithms=["ES384", "RS384"])
        claims = header.claims
        assert (claims["iss"], claims["sub"], claims["aud"]) == (CLIENT, CLIENT, self.url)
        assert 0 < claims["exp"] - time.time() <= 300
        if claims["jti"] in {each["jti"] for each in self.seen}:
            return error("invalid_client", 401)
        self.seen.append(claims)
        self.scopes.append(request.form["scope"])
        answer = {"access_token": f"token-{len(self.seen)}", "token_type": "bearer", "expires_in": self.life}
        return Response(json.dumps(answer), content_type="application/json")

    def _imported(self, raw: str) -> ECKey | RSAKey:
        import base64

        head = raw.split(".")[0]
        kid = json.loads(base64.urlsafe_b64decode(head + "=="))["kid"]
        public = self._public[kid]
        assert "d" not in public
        return ECKey.import_key(public) if public["kty"] == "EC" else RSAKey.import_key(public)


def error(code: str, status: int = 400) -> Response:
    return Response(json.dumps({"error": code, "error_description": "secret"}), status, content_type="application/json")


def tokens(httpserver: HTTPServer, key: SmartKey, clock: Callable[[], float] | None = None) -> SmartTokens:
    return SmartTokens(
        server=httpserver.url_for("/fhir"),
        client_id=CLIENT,
        key=key,
        scope="system/DocumentReference.rs system/Condition.cruds",
        clock=clock or time.monotonic,
    )


def test_a_token_is_asked_for_once_and_kept(httpserver: HTTPServer, key: SmartKey) -> None:
    authority = Authority(httpserver, key)
    asked = tokens(httpserver, key)
    assert [asked.header() for _ in range(3)] == ["Bearer token-1"] * 3
    assert authority.scopes == ["system/DocumentReference.rs system/Condition.cruds"]


def test_it_is_renewed_before_it_ends(httpserver: HTTPServer, ec_key: SmartKey) -> None:
    authority, clock = Authority(httpserver, ec_key), Clock()
    asked = tokens(httpserver, ec_key, clock)
    assert asked.header() == "Bearer token-1"
    clock.now += 239  # of 300
    assert asked.header() == "Bearer token-1"
    clock.now += 2
    assert asked.header() == "Bearer token-2"
    assert len({claims["jti"] for claims in authority.seen}) == 2


@pytest.mark.parametrize(("life", "kept"), [(10, 7), (None, 47), ("300", 47), (True, 47)])
def test_the_life_that_is_stated_or_not(httpserver: HTTPServer, ec_key: SmartKey, life: object, kept: int) -> None:
    Authority(httpserver, ec_key, life=life)
    clock = Clock()
    asked = tokens(httpserver, ec_key, clock)
    assert asked.header() == "Bearer token-1"
    clock.now += kept
    assert asked.header() == "Bearer token-1"
    clock.now += 2
    assert asked.header() == "Bearer token-2"


def test_while_it_is_good_a_failed_renewal_does_no_harm(httpserver: HTTPServer, ec_key: SmartKey) -> None:
    authority, clock = Authority(httpserver, ec_key), Clock()
    asked = tokens(httpserver, ec_key, clock)
    asked.header()
    authority.answers = [error("temporarily_unavailable", 503)]
    clock.now += 250
    assert asked.header() == "Bearer token-1"
    assert asked.header() == "Bearer token-1"  # and the server is not asked at every note
    clock.now += 6
    assert asked.header() == "Bearer token-2"


def test_after_it_ended_a_failed_renewal_is_told(httpserver: HTTPServer, ec_key: SmartKey) -> None:
    authority, clock = Authority(httpserver, ec_key), Clock()
    asked = tokens(httpserver, ec_key, clock)
    asked.header()
    authority.answers = [error("invalid_client", 401)]
    clock.now += 301
    with pytest.raises(TransientDeliveryError, match="answered 401 \\(invalid_client\\)") as caught:
        asked.header()
    assert "secret" not in str(caught.value)
    clock.now += 6
    assert asked.header() == "Bearer token-2"


def test_one_that_was_refused_is_renewed_once_for_all(httpserver: HTTPServer, ec_key: SmartKey) -> None:
    authority = Authority(httpserver, ec_key)
    asked = tokens(httpserver, ec_key)
    refused = asked.header()
    begin = threading.Barrier(8)

    def again(_: int) -> str:
        begin.wait()
        return asked.header(refused)

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(again, range(8))) == {"Bearer token-2"}
    assert len(authority.seen) == 2


def test_threads_that_need_the_first_token_share_it(httpserver: HTTPServer, ec_key: SmartKey) -> None:
    authority = Authority(httpserver, ec_key)
    asked = tokens(httpserver, ec_key)
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda _: asked.header(), range(20))) == {"Bearer token-1"}
    assert len(authority.seen) == 1


@pytest.mark.parametrize(
    "answer",
    [
        error("invalid_scope"),
        error("Mr Smith"),
        Response("<html>", 200),
        Response("[]", 200),
        Response('{"access_token": "a b", "token_type": "bearer"}'),
        Response('{"access_token": "a\\r\\nX-Evil: 1", "token_type": "bearer"}'),
        Response('{"access_token": "abc", "token_type": "mac"}'),
        Response('{"token_type": "bearer"}'),
        Response("x" * 200_000),
        Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
    ],
)
def test_an_answer_without_a_token(httpserver: HTTPServer, ec_key: SmartKey, answer: Response) -> None:
    authority = Authority(httpserver, ec_key)
    authority.answers = [answer]
    with pytest.raises(TransientDeliveryError, match="authorization server answered") as caught:
        tokens(httpserver, ec_key).header()
    assert "Smith" not in str(caught.value)
    assert "Evil" not in str(caught.value)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"token_endpoint": "http://evil.example/token"}, "not https"),
        ({"token_endpoint": "ftp://evil.example/token"}, "not https"),
        ({"token_endpoint": 7}, "smart_token_url"),
        ({}, "smart_token_url"),
        ([], "smart_token_url"),
    ],
)
def test_a_discovery_that_leads_nowhere(
    httpserver: HTTPServer, ec_key: SmartKey, document: object, reason: str
) -> None:
    httpserver.expect_request("/fhir/.well-known/smart-configuration").respond_with_json(document)
    with pytest.raises(TransientDeliveryError, match=reason):
        tokens(httpserver, ec_key).header()
    assert len(httpserver.log) == 1


def test_a_server_that_is_away(ec_key: SmartKey) -> None:
    asked = SmartTokens(server="http://127.0.0.1:1/fhir", client_id=CLIENT, key=ec_key, scope="system/*.rs")
    with pytest.raises(TransientDeliveryError, match="cannot be reached"):
        asked.header()


def test_other_scopes_than_asked_for_are_told(
    httpserver: HTTPServer, ec_key: SmartKey, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(httpserver, ec_key)
    granted = {"access_token": "abc", "token_type": "Bearer", "expires_in": 60, "scope": "system/Condition.r"}
    authority.answers = [Response(json.dumps(granted))]
    assert tokens(httpserver, ec_key).header() == "Bearer abc"
    assert "granted other scopes" in caplog.text
    assert "abc" not in caplog.text
