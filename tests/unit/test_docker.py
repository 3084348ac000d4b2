"""docker/: what can be said of it without a Docker daemon. `docker/prove.sh` runs the same steps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from fhir_coder.service.http_server import require_admission
from fhir_coder.settings import Settings

DOCKER = Path(__file__).resolve().parents[2] / "docker"
ROOT = DOCKER.parent
DOCKERFILE = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]


def environment(service: str) -> dict[str, str]:
    """The variables of a service, as compose would give them."""
    given = SERVICES[service]["environment"]
    return {name: re.sub(r"\$\{\w+:\?[^}]*\}", "0123456789abcdef", str(value)) for name, value in given.items()}


def test_the_settings_of_the_adapter_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    given = environment("adapter")
    names = {name.removeprefix("FHIR_CODER_").lower() for name in given}
    assert names <= set(Settings.model_fields)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert settings.subscribe == "rest-hook"
    require_admission(settings)  # starts


def test_nothing_is_reachable_from_other_machines() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_passwords_are_not_written_down() -> None:
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if re.search("password|secret", key, re.IGNORECASE):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), (name, key)
    assert "docker/.env" in (ROOT / ".gitignore").read_text().splitlines()


def test_images_have_a_version() -> None:
    images = [service["image"] for service in SERVICES.values() if "build" not in service]
    images += re.findall(r"^FROM (python\S*)", DOCKERFILE, re.MULTILINE)
    assert images
    for image in images:
        assert re.search(r":[v\d][\w.-]*\d[\w.-]*$", image), image


def test_services_wait_for_what_they_need() -> None:
    for service in SERVICES.values():
        for other, on in service.get("depends_on", {}).items():
            if on["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other]
    assert "HEALTHCHECK" in DOCKERFILE
    assert "/health/live" in DOCKERFILE
    assert SERVICES["adapter"]["read_only"] is True


def test_the_image_runs_as_nobody_of_note() -> None:
    last = DOCKERFILE.rpartition("FROM runtime")[0]
    assert re.findall(r"^USER (\S+)", last, re.MULTILINE)[-1] == "10001:10001"
    assert not re.search(r"^(ADD|.*\bsudo\b)", DOCKERFILE, re.MULTILINE)


def test_what_is_copied_is_let_in() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        name for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE) for name in line.split()[:-1]
    }
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)


def test_every_port_is_named() -> None:
    exposed = re.search(r"^EXPOSE (.*)$", DOCKERFILE, re.MULTILINE)
    assert exposed
    settings = Settings.load()
    for port in (settings.port, settings.mllp_port, settings.mllp_tls_port):
        assert str(port) in exposed[1].split()
    for first in (settings.line_port, settings.line_tls_port):
        assert f"{first}-{first + 4}" in exposed[1]


def test_scripts_can_be_run() -> None:
    for name in ("prove.sh", "hapi-database.sh"):
        path = DOCKER / name
        assert path.stat().st_mode & 0o111
        assert re.search(r"^set -eu", path.read_text(), re.MULTILINE)
