"""Every route asks who calls; what each caller may do; and that nothing of a credential is told."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

from fhir_coder.errors import SettingsError
from fhir_coder.service.access.api_keys import add_key
from fhir_coder.service.access.needs import need_of
from fhir_coder.service.http_server import require_admission
from fhir_coder.settings import Settings
from tests.unit.service.access.conftest import AUDIENCE, Issuer
from tests.unit.service.conftest import serve

__all__ = ["serve"]  # the fixture of the folder above

TEXT = {"resourceType": "Parameters", "parameter": [{"name": "text", "valueString": "HTN"}]}
PERSISTED = {
    "resourceType": "Parameters",
    "parameter": [*TEXT["parameter"], {"name": "persist", "valueBoolean": True}],
}


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    """Keys by what they may do; the file is keys.json."""
    path = tmp_path / "keys.json"
    scopes = {
        "all": "system/*.cruds",
        "read": "system/DocumentReference.rs",
        "write": "system/DocumentReference.cu",
        "terms": "system/CodeSystem.read",
    }
    return {name: add_key(path, name, [scope]) for name, scope in scopes.items()}


@pytest.fixture
def client(serve: Any, keys: dict[str, str], tmp_path: Path) -> Any:
    """A client of a service that asks for a key."""
    return serve(api_keys=tmp_path / "keys.json", out=tmp_path / "out").client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_every_route_is_known_to_the_guard(client: Any) -> None:
    routes = [route.path for route in client.app.routes if isinstance(route, APIRoute)]
    assert len(routes) == len(client.app.routes) >= 15
    assert [route for route in routes if not need_of(route)[0]] == []


@pytest.mark.parametrize("headers", [{}, bearer("fhc_wrong"), bearer("a.b.c"), {"Authorization": "Basic YTpi"}])
def test_nobody_else_is_let_in(client: Any, headers: dict[str, str]) -> None:
    for route in client.app.routes:
        for method in (*route.methods, "OPTIONS", "TRACE"):
            path = route.path_format.replace("{identifier}", "d1").replace("{job}", "j").replace("{path}", "x")
            response = client.request(method, path, headers=headers, content=b"{")
            if path == "/health/live":
                continue
            assert response.status_code == 401, (method, path)
            assert response.headers["www-authenticate"].startswith("Bearer")
            assert response.json()["issue"][0]["code"] == "login"
    assert client.get("/nowhere", headers=headers).status_code == 401
    assert client.get("/health/live").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer ")],
        [("Authorization", "KEY")],
        [("Authorization", "Basic KEY")],
        [("Authorization", "BearerKEY")],
        [("Authorization", "Bearer KEYx")],
        [("Authorization", "Bearer KEY KEY")],
        [("Authorization", "Bearer x"), ("Authorization", "Bearer KEY")],
        [("Authorization", "Bearer KEY"), ("Authorization", "Bearer KEY")],
        [("X-API-Key", "KEY")],
        [("Cookie", "Authorization=Bearer KEY")],
        [("X-Forwarded-User", "all"), ("X-Client-Names", "all")],
    ],
)
def test_ways_to_send_a_key_that_are_none(client: Any, keys: dict[str, str], headers: list[tuple[str, str]]) -> None:
    given = [(name, value.replace("KEY", keys["all"])) for name, value in headers]
    assert client.get("/metrics", headers=given).status_code == 401


@pytest.mark.parametrize("name", ["access_token", "api_key", "token", "Access_Token"])
def test_a_credential_in_the_url_is_refused(client: Any, keys: dict[str, str], name: str) -> None:
    response = client.get("/metrics", params={name: keys["all"]}, headers=bearer(keys["all"]))
    assert response.status_code == 400
    assert response.json()["issue"][0]["code"] == "security"
    assert keys["all"] not in response.text


@pytest.mark.parametrize(
    ("key", "method", "path", "body", "status"),
    [
        ("all", "POST", "/fhir/$code-note", TEXT, 200),
        ("read", "POST", "/fhir/$code-note", TEXT, 200),
        ("write", "POST", "/fhir/$code-note", TEXT, 403),
        ("terms", "POST", "/fhir/$code-note", TEXT, 403),
        ("read", "POST", "/fhir/DocumentReference/$code-note", PERSISTED, 403),
        ("all", "POST", "/fhir/DocumentReference/$code-note", PERSISTED, 200),
        ("read", "POST", "/fhir/DocumentReference/%2e%2e%2f%2e%2e/$code-note", TEXT, 404),
        ("terms", "POST", "/fhir/DocumentReference/d1/$code-note", None, 403),
        ("read", "POST", "/v1/code", {"text": "HTN"}, 200),
        ("write", "POST", "/v1/code", {"text": "HTN"}, 403),
        ("terms", "GET", "/v1/lookup?system=icd10cm&text=a", None, 200),
        ("read", "GET", "/v1/lookup?system=icd10cm&text=a", None, 403),
        ("read", "POST", "/hl7v2", None, 403),
        ("write", "POST", "/hl7v2", None, 400),  # let in, and no message
        ("read", "GET", "/fhir/ConceptMap/$translate", None, 403),
        ("terms", "GET", "/fhir/CodeSystem/$lookup", None, 422),
        ("read", "POST", "/fhir/subscription", {}, 403),
        ("terms", "GET", "/fhir/metadata", None, 200),
        ("terms", "HEAD", "/fhir/metadata", None, 200),
        ("terms", "GET", "/metrics", None, 200),
        ("terms", "OPTIONS", "/fhir/$code-note", None, 403),
    ],
)
def test_what_callers_may_do(
    client: Any, keys: dict[str, str], key: str, method: str, path: str, body: Any, status: int
) -> None:
    content = None if body is None else json.dumps(body)
    response = client.request(method, path, content=content, headers=bearer(keys[key]))
    assert response.status_code == status
    if status == 403:
        assert response.json()["issue"][0]["code"] == "forbidden"
        assert 'error="insufficient_scope"' in response.headers["www-authenticate"]


def test_tokens_of_an_issuer(serve: Any, issuer: Issuer) -> None:
    client = serve(oidc_issuer=issuer.url, oidc_audience=AUDIENCE).client
    call = lambda **changed: client.post("/fhir/$code-note", json=TEXT, headers=bearer(issuer.token(**changed)))  # noqa: E731
    assert call().status_code == 200
    assert call(scope="system/Condition.rs").status_code == 403
    assert call(scope="patient/*.*").status_code == 403
    assert call(aud="other").status_code == 401
    expired = call(exp=1)
    assert (expired.status_code, expired.json()["issue"][0]["code"]) == (401, "expired")
    assert 'error="invalid_token"' in expired.headers["www-authenticate"]
    assert client.post("/fhir/$code-note", json=TEXT, headers=bearer("fhc_x")).status_code == 401


def test_an_issuer_that_is_away(serve: Any, issuer: Issuer) -> None:
    client = serve(oidc_issuer="http://127.0.0.1:9", oidc_audience=AUDIENCE).client
    response = client.get("/metrics", headers=bearer(issuer.token()))
    assert response.status_code == 503
    assert response.headers["retry-after"]


def test_no_credential_is_told_or_logged(client: Any, keys: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for key in (keys["all"], keys["terms"], "fhc_Zebrafinch", "Zebrafinch.Zebrafinch.Zebrafinch"):
        response = client.post(f"/fhir/$code-note?token={key}", json=TEXT, headers=bearer(key))
        assert key not in response.text + str(response.headers)
        response = client.post("/fhir/$code-note", json=TEXT, headers=bearer(key))
        assert key not in response.text + str(response.headers)
    metrics = client.get("/metrics", headers=bearer(keys["all"])).text
    ours = "".join(record.getMessage() for record in caplog.records if record.name.startswith("fhir_coder"))
    for secret in (*keys.values(), "Zebrafinch"):
        assert secret not in metrics
        assert secret not in ours


def test_an_asynchronous_call_is_told_to_its_owner_alone(serve: Any, keys: dict[str, str], tmp_path: Path) -> None:
    with serve(api_keys=tmp_path / "keys.json").client as client:
        accepted = client.post(
            "/fhir/$code-note", json=TEXT, headers=bearer(keys["read"]) | {"Prefer": "respond-async"}
        )
        assert accepted.status_code == 202
        job = accepted.headers["content-location"]
        assert client.get(job).status_code == 401
        for method in ("GET", "DELETE"):
            assert client.request(method, job, headers=bearer(keys["all"])).status_code == 404
        assert client.get(job, headers=bearer(keys["read"])).status_code in (200, 202)
        assert client.delete(job, headers=bearer(keys["read"])).status_code == 202


def test_notifications_bear_the_secret_of_their_subscription(serve: Any, keys: dict[str, str], tmp_path: Path) -> None:
    client = serve(api_keys=tmp_path / "keys.json", subscription_secret="s" * 16).client
    # The answer is that of the route, which has no FHIR server here; the guard would say 401.
    assert client.post("/fhir/subscription", headers=bearer("s" * 16)).status_code == 422
    assert client.post("/fhir/$code-note", json=TEXT, headers=bearer("s" * 16)).status_code == 401


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://127.0.0.1:8000", 200),
        ("http://localhost:8000", 200),
        ("http://[::1]:8000", 200),
        ("https://evil.example.org", 403),
        ("http://127.0.0.1.evil.example.org", 403),
        ("http://localhost@evil.example.org", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_pages_of_other_sites_may_not_call_an_open_service(serve: Any, origin: str | None, status: int) -> None:
    headers = {} if origin is None else {"Origin": origin}
    assert serve().client.post("/v1/code", json={"text": "HTN"}, headers=headers).status_code == status


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "coder.example.org", "127.0.0.1.example.org"])  # noqa: S104
def test_an_address_that_others_reach_needs_authentication(host: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"setting host: .* nobody is asked who they are"):
        require_admission(Settings(host=host))
    assert any("whoever reaches" in said for said in require_admission(Settings(host=host, auth="none", mllp="off")))
    add_key(tmp_path / "k", "a", ["system/*.*"])
    with pytest.raises(SettingsError, match=r"setting host: .* by MLLP .* mllp_peers"):
        require_admission(Settings(host=host, api_keys=tmp_path / "k"))
    said = require_admission(Settings(host=host, api_keys=tmp_path / "k", mllp_peers=["10.1.2.3"]))
    assert not any("whoever reaches" in each for each in said)
    assert [each.partition(":")[0] for each in said if "clear text" in each] == ["HTTP", "MLLP"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_a_loopback_address_is_open(host: str) -> None:
    assert require_admission(Settings(host=host)) == []


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"auth": "none", "oidc_issuer": "https://a.example.org", "oidc_audience": "x"}, "auth"),
        ({"http_tls_client_names": ["a"]}, "http_tls_client_names"),
        ({"http_tls_client_ca": "/nowhere"}, "http_tls_certificate"),
        ({"http_tls_key": "/nowhere"}, "http_tls_certificate"),
        ({"api_keys": "/nowhere/keys"}, "api_keys"),
    ],
)
def test_settings_that_contradict_each_other(given: dict[str, Any], name: str) -> None:
    with pytest.raises(SettingsError, match=f"setting {name}"):
        require_admission(Settings(**given))


@pytest.mark.parametrize("value", ["all", "internet"])
def test_auth_is_one_of_two(value: str) -> None:
    with pytest.raises(SettingsError, match="setting auth"):
        Settings.load(auth=value)
