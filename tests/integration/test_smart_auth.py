"""SMART Backend Services against `sekmet-fhir`, which checks assertions, scopes and the life of tokens."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from joserfc import jwt

from fhir_coder.attachments.fetch import fetch
from fhir_coder.credentials.smart_key import SmartKey, load_key, make_key
from fhir_coder.delivery.client import FhirClient
from fhir_coder.errors import DeliveryError, TransientDeliveryError
from fhir_coder.settings import Settings
from fhir_coder.upstream.rest import Upstream
from tests.integration.conftest import free_port
from tests.integration.sekmet import Sekmet, sekmet

LIFE = 5  # seconds of a token


@dataclass(frozen=True)
class Guarded:
    """A server that lets in who has one of the keys, and the keys."""

    server: Sekmet
    keys: dict[str, Path]

    def settings(self, **given: Any) -> Settings:
        """Return the settings of a client with all rights."""
        wanted = {"server_auth": "smart", "smart_client_id": "ES384", "smart_key": self.keys["ES384"]}
        return Settings.load(server=self.server.url, **{**wanted, **given})


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder, keys = tmp_path_factory.mktemp("keys"), {}
    for name in ("ES384", "RS384", "unknown"):
        keys[name] = folder / f"{name}.pem"
        make_key(keys[name], use_rsa=name == "RS384")
    clients = [
        {"client_id": name, "jwks": load_key(keys[name]).jwks, "scopes": "system/*.cruds"}
        for name in ("ES384", "RS384")
    ]
    reader = {"client_id": "reader", "jwks": load_key(keys["ES384"]).jwks, "scopes": "system/DocumentReference.rs"}
    auth = {"types": ["smart"], "smart_clients": [*clients, reader], "token_lifetime": LIFE}
    with sekmet(tmp_path_factory.mktemp("sekmet") / "data", free_port(), server_auth=auth) as server:
        yield Guarded(server, keys)


def transaction(number: int) -> dict[str, Any]:
    patient = {"resourceType": "Patient", "identifier": [{"system": "urn:test", "value": str(number)}]}
    request = {"method": "POST", "url": "Patient", "ifNoneExist": f"identifier=urn:test|{number}"}
    return {"resourceType": "Bundle", "entry": [{"resource": patient, "request": request}]}


def client(settings: Settings) -> FhirClient:
    made = FhirClient.of(settings, attempts=1)
    assert made is not None
    return made


@pytest.mark.parametrize("algorithm", ["ES384", "RS384"])
def test_the_endpoint_is_found_and_resources_are_written(guarded: Guarded, algorithm: str) -> None:
    using = guarded.settings(smart_client_id=algorithm, smart_key=guarded.keys[algorithm])
    with client(using) as writing:
        (place,) = writing.send(transaction(1))
    upstream = Upstream.of(using)
    assert upstream is not None
    with upstream:
        assert upstream.ask("GET", place).body["resourceType"] == "Patient"


def test_a_token_that_ended_is_replaced(guarded: Guarded) -> None:
    using = guarded.settings()
    with client(using) as writing:
        writing.send(transaction(2))
        time.sleep(LIFE + 1)
        writing.send(transaction(3))


def test_a_binary_is_fetched_with_it(guarded: Guarded) -> None:
    using = guarded.settings()
    binary = {"resourceType": "Binary", "contentType": "text/plain", "data": "SFRO"}
    entry = {"resource": binary, "request": {"method": "POST", "url": "Binary"}}
    with client(using) as writing:
        (place,) = writing.send({"resourceType": "Bundle", "entry": [entry]})
    assert fetch(place, "text/plain", using, place="x").raw == b"HTN"


def test_scopes_that_are_not_granted(guarded: Guarded) -> None:
    with client(guarded.settings(smart_client_id="reader")) as writing, pytest.raises(TransientDeliveryError) as caught:
        writing.send(transaction(4))
    assert "invalid_scope" in str(caught.value)
    narrow = guarded.settings(smart_client_id="reader", smart_scope="system/DocumentReference.rs")
    with client(narrow) as writing, pytest.raises(DeliveryError, match="403"):
        writing.send(transaction(4))


@pytest.mark.parametrize("wrong", [{"smart_client_id": "nobody"}, {"smart_key": "unknown"}])
def test_who_is_not_known(guarded: Guarded, wrong: dict[str, str]) -> None:
    given = {name: guarded.keys[value] if name == "smart_key" else value for name, value in wrong.items()}
    with client(guarded.settings(**given)) as writing, pytest.raises(TransientDeliveryError, match="invalid_client"):
        writing.send(transaction(5))


def test_the_server_takes_nothing_without(guarded: Guarded) -> None:
    with client(Settings(server=guarded.server.url)) as writing, pytest.raises(TransientDeliveryError, match="401"):  # type: ignore[arg-type]
        writing.send(transaction(6))


def test_no_assertion_is_used_twice(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server refuses: the same assertion again, one that has ended, one that lasts too long, another's url."""
    key, url = load_key(guarded.keys["ES384"]), f"{guarded.server.url.removesuffix('/fhir')}/auth/token"
    now = int(time.time())
    good = {"iss": "ES384", "sub": "ES384", "aud": url, "jti": "a", "exp": now + 200}
    assert _asked(url, key, good) == (200, None)
    for changed in (
        {},
        {"jti": "b", "exp": now - 100},
        {"jti": "c", "exp": now + 3_000},
        {"jti": "d", "aud": "http://evil.example/token"},
    ):
        assert _asked(url, key, good | changed) == (401, "invalid_client")


def _asked(url: str, key: SmartKey, claims: dict[str, Any]) -> tuple[int, str | None]:
    assertion = jwt.encode({"alg": key.algorithm, "kid": key.id}, claims, key.private, algorithms=[key.algorithm])
    form = {
        "grant_type": "client_credentials",
        "scope": "system/*.cruds",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": assertion,
    }
    answer = httpx2.post(url, data=form, trust_env=False)
    return answer.status_code, json.loads(answer.content).get("error")
