"""Tokens of an issuer: the good one is let in, and none of the others."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey
from pytest_httpserver import HTTPServer

from fhir_coder.errors import AccessError, SettingsError
from fhir_coder.service.access.access_tokens import AccessTokens
from fhir_coder.service.access.issuer_keys import IssuerKeys, IssuerUnavailableError
from fhir_coder.service.access.scopes import Need
from fhir_coder.settings import Settings
from tests.unit.service.access.conftest import AUDIENCE, Issuer

READ = Need("DocumentReference", "r")


class _FromNow(int):
    """Seconds from the moment at which the test runs, which may be long after it was collected."""


def _now(claims: dict[str, Any]) -> dict[str, Any]:
    return {name: int(time.time()) + value if isinstance(value, _FromNow) else value for name, value in claims.items()}


@pytest.fixture
def tokens(issuer: Issuer) -> AccessTokens:
    """What checks tokens."""
    found = AccessTokens.from_settings(Settings(oidc_issuer=issuer.url, oidc_audience=AUDIENCE))
    assert found is not None
    return found


@pytest.mark.parametrize("key", ["rsa", "ec", "ec384"])
def test_a_good_token(issuer: Issuer, tokens: AccessTokens, key: str) -> None:
    caller = tokens.caller(issuer.token(getattr(issuer, key)))
    assert caller.name == "token engine engine"
    assert caller.scopes.grant(READ)


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": ["https://other.example.org", AUDIENCE]},
        {"scope": None, "scp": ["system/DocumentReference.rs"]},
        {"scope": None, "scp": "system/DocumentReference.read"},
        {"exp": _FromNow(-10)},  # clocks differ
        {"nbf": None, "iat": None, "client_id": None},
    ],
)
def test_tokens_that_issuers_differ_in(issuer: Issuer, tokens: AccessTokens, changed: dict[str, Any]) -> None:
    assert tokens.caller(issuer.token(**_now(changed))).scopes.grant(READ)


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "https://other.example.org"},
        {"aud": AUDIENCE + "/"},
        {"aud": AUDIENCE.upper()},
        {"aud": [AUDIENCE, 7]},
        {"aud": {"value": AUDIENCE}},
        {"aud": None},
        {"aud": []},
        {"iss": "https://other.example.org"},
        {"iss": None},
        {"iss": ["x"]},
        {"exp": _FromNow(-60)},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": True},
        {"exp": 1e400},
        {"nbf": _FromNow(600)},
        {"nbf": "now"},
        {"iat": _FromNow(600)},
        {"sub": None, "client_id": None},
        {"sub": 7},
    ],
)
def test_claims_that_are_not_accepted(issuer: Issuer, tokens: AccessTokens, changed: dict[str, Any]) -> None:
    with pytest.raises(AccessError):
        tokens.caller(issuer.token(**_now(changed)))


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "RS512"},
        {"alg": "PS256"},
        {"kid": None},
        {"kid": 7},
        {"kid": "unknown"},
        {"kid": "ec"},
        {"kid": "../rsa"},
        {"typ": "logout+jwt"},
        {"crit": ["exp"], "exp": 1},
        {"b64": False, "crit": ["b64"]},
    ],
)
def test_headers_that_are_not_accepted(issuer: Issuer, tokens: AccessTokens, header: dict[str, Any]) -> None:
    given = {"alg": "RS256", "kid": "rsa", **header}
    given = {name: value for name, value in given.items() if value is not None}
    with pytest.raises(AccessError):
        tokens.caller(_signed(issuer, given))


def test_the_same_token_with_a_good_header(issuer: Issuer, tokens: AccessTokens) -> None:
    assert tokens.caller(_signed(issuer, {"alg": "RS256", "kid": "rsa"}))


def _signed(issuer: Issuer, header: dict[str, Any]) -> str:
    """A token whose signature is right for its header, whatever that says."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, issuer.claims())]
    signed = b".".join(parts)
    digest = hashes.SHA512() if header["alg"] == "RS512" else hashes.SHA256()
    scheme: Any = padding.PKCS1v15()
    if header["alg"] == "PS256":
        scheme = padding.PSS(padding.MGF1(digest), digest.digest_size)
    signature = issuer.rsa.private_key.sign(signed, scheme, digest)
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def test_a_token_without_a_signature(issuer: Issuer, tokens: AccessTokens) -> None:
    for algorithm in ("none", "None", "NONE", ""):
        header = base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "kid": "rsa"}).encode()).rstrip(b"=").decode()
        claims = base64.urlsafe_b64encode(json.dumps(issuer.claims()).encode()).rstrip(b"=").decode()
        for token in (f"{header}.{claims}.", f"{header}.{claims}", f"{header}.{claims}.AA"):
            with pytest.raises(AccessError):
                tokens.caller(token)


def test_a_token_signed_with_the_public_key_as_a_secret(issuer: Issuer, tokens: AccessTokens) -> None:
    for secret in (issuer.rsa.as_pem(private=False), json.dumps(issuer.rsa.as_dict(private=False)).encode()):
        key = OctKey.import_key(base64.b64encode(secret).decode(), {"kid": "rsa"})
        forged = jwt.encode({"alg": "HS256", "kid": "rsa"}, issuer.claims(), key, algorithms=["HS256"])
        with pytest.raises(AccessError):
            tokens.caller(forged)


def test_a_symmetric_key_among_the_published_ones_signs_nothing(issuer: Issuer, tokens: AccessTokens) -> None:
    secret = OctKey.generate_key(256, {"kid": "shared"})
    published = issuer.keys()
    issuer.keys = lambda: {"keys": [*published["keys"], secret.as_dict(private=True)]}  # type: ignore[method-assign]
    forged = jwt.encode({"alg": "HS256", "kid": "shared"}, issuer.claims(), secret, algorithms=["HS256"])
    with pytest.raises(AccessError):
        tokens.caller(forged)
    assert tokens.caller(issuer.token())


def test_signatures_of_others(issuer: Issuer, tokens: AccessTokens, signing_keys: dict[str, Any]) -> None:
    stranger = ECKey.generate_key("P-256", {"kid": "ec"})
    good = issuer.token()
    changed = good.split(".")
    changed[1] = base64.urlsafe_b64encode(json.dumps(issuer.claims(sub="boss")).encode()).rstrip(b"=").decode()
    own_key = issuer.token(signing_keys["stranger"], {"jwk": signing_keys["stranger"].as_dict(private=False)})
    for token in (issuer.token(signing_keys["stranger"]), issuer.token(stranger), ".".join(changed), own_key):
        with pytest.raises(AccessError):
            tokens.caller(token)
    assert tokens.caller(good)


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "a" * 20_000, "ä.b.c", "eyJ.e30.", "a.b.c.d.e", "\x00"])
def test_what_is_no_token(tokens: AccessTokens, token: str) -> None:
    with pytest.raises(AccessError):
        tokens.caller(token)


def test_an_expired_token_is_said_to_be(issuer: Issuer, tokens: AccessTokens) -> None:
    with pytest.raises(AccessError, match="expired") as caught:
        tokens.caller(issuer.token(exp=int(time.time()) - 3600))
    assert caught.value.kind == "expired"


def test_keys_for_encryption_or_too_short_verify_nothing(issuer: Issuer, tokens: AccessTokens) -> None:
    published = issuer.keys()
    for change in ({"use": "enc"}, {"key_ops": ["wrapKey"]}, {"alg": "RS384"}):
        issuer.keys = lambda change=change: {"keys": [{**published["keys"][0], **change}]}  # type: ignore[method-assign,misc]
        fresh = AccessTokens(IssuerKeys(issuer.url, None), issuer.url, AUDIENCE)
        with pytest.raises(AccessError):
            fresh.caller(issuer.token())


def test_made_up_key_ids_are_not_passed_on_to_the_issuer(issuer: Issuer) -> None:
    now = 0.0
    keys = IssuerKeys(issuer.url, None, clock=lambda: now)
    assert keys.find("rsa") is not None
    for number in range(50):
        assert keys.find(f"made-up-{number}") is None
    assert issuer.fetched == 1
    now = 31.0
    for number in range(50):
        assert keys.find(f"made-up-{number}") is None
    assert issuer.fetched == 2


def test_a_new_key_of_the_issuer_is_found(issuer: Issuer) -> None:
    now = 0.0
    keys = IssuerKeys(issuer.url, f"{issuer.url}/keys", clock=lambda: now)
    assert keys.find("new") is None
    issuer.ec = ECKey.generate_key("P-256", {"kid": "new"})
    now = 31.0
    assert keys.find("new") is not None
    assert keys.find("ec") is None


def test_keys_are_used_for_a_day_while_the_issuer_is_away(issuer: Issuer, httpserver: HTTPServer) -> None:
    now = 0.0
    keys = IssuerKeys(issuer.url, None, clock=lambda: now)
    assert keys.find("rsa") is not None
    httpserver.clear()
    now = 7_200.0
    assert keys.find("rsa") is not None
    now = 90_000.0
    with pytest.raises(IssuerUnavailableError):
        keys.find("rsa")


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://other.example.org", "jwks_uri": "http://127.0.0.1/keys"},
        {"issuer": "OURS", "jwks_uri": "http://other.example.org/keys"},
        {"issuer": "OURS"},
        {"issuer": "OURS", "jwks_uri": "file:///etc/passwd"},
        [],
    ],
)
def test_a_wrong_discovery_document(httpserver: HTTPServer, document: Any) -> None:
    url = httpserver.url_for("").rstrip("/")
    answer = json.loads(json.dumps(document).replace("OURS", url))
    httpserver.expect_request("/.well-known/openid-configuration").respond_with_json(answer)
    with pytest.raises(IssuerUnavailableError):
        IssuerKeys(url, None).find("rsa")


def test_an_issuer_that_cannot_be_reached_is_a_transient_fault() -> None:
    tokens = AccessTokens(IssuerKeys("http://127.0.0.1:9", None), "http://127.0.0.1:9", AUDIENCE)
    header = base64.urlsafe_b64encode(b'{"alg":"RS256","kid":"rsa"}').rstrip(b"=").decode()
    with pytest.raises(AccessError) as caught:
        tokens.caller(f"{header}.e30.AA")
    assert caught.value.kind == "transient"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"oidc_issuer": "https://a.example.org"}, "oidc_audience"),
        ({"oidc_audience": "x"}, "oidc_issuer"),
        ({"oidc_issuer": "http://a.example.org", "oidc_audience": "x"}, "oidc_issuer"),
        ({"oidc_issuer": "a", "oidc_audience": "x"}, "oidc_issuer"),
        (
            {"oidc_issuer": "https://a.example.org", "oidc_audience": "x", "oidc_jwks_url": "http://b.example.org/k"},
            "oidc_jwks_url",
        ),
    ],
)
def test_settings_that_are_not_accepted(given: dict[str, str], name: str) -> None:
    with pytest.raises(SettingsError, match=f"setting {name}"):
        AccessTokens.from_settings(Settings(**given))


def test_a_token_is_sent_again_but_no_other_has_its_jti(issuer: Issuer, tokens: AccessTokens) -> None:
    first = issuer.token(jti="1")
    assert tokens.caller(first) == tokens.caller(first)
    assert tokens.caller(issuer.token(jti="2"))
    for other in (issuer.token(jti="1", sub="somebody"), issuer.token(issuer.ec, jti="1"), issuer.token(jti=7)):
        with pytest.raises(AccessError, match="not accepted"):
            tokens.caller(other)
    assert tokens.caller(first)


def test_a_refused_token_takes_no_jti_from_a_good_one(issuer: Issuer, tokens: AccessTokens) -> None:
    with pytest.raises(AccessError):
        tokens.caller(issuer.token(jti="1", aud="https://other.example.org"))
    assert tokens.caller(issuer.token(jti="1"))


def test_tokens_of_a_single_use(issuer: Issuer) -> None:
    settings = Settings(oidc_issuer=issuer.url, oidc_audience=AUDIENCE, oidc_single_use=True)
    tokens = AccessTokens.from_settings(settings)
    assert tokens is not None
    assert tokens.caller(issuer.token(jti="1"))
    for changed in ({"jti": "1"}, {"jti": "1", "sub": "somebody"}, {"jti": ""}, {}):
        with pytest.raises(AccessError, match="not accepted"):
            tokens.caller(issuer.token(**changed))
