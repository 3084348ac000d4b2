"""The public key, fetched by whoever wants to check what this client signs."""

import json
from pathlib import Path
from typing import Any

import pytest

from fhir_coder.credentials.smart_key import load_key, make_key
from tests.unit.command import run_command


def test_the_public_key_is_published_and_nothing_else_of_it(serve: Any, tmp_path: Path) -> None:
    make_key(tmp_path / "key.pem")
    client = serve(smart_key=tmp_path / "key.pem").client
    answer = client.get("/.well-known/jwks.json")
    assert answer.json() == load_key(tmp_path / "key.pem").jwks
    assert "d" not in answer.json()["keys"][0]


def test_without_a_key_there_is_nothing(serve: Any) -> None:
    assert serve().client.get("/.well-known/jwks.json").status_code == 404


@pytest.mark.parametrize("kind", [(), ("--rsa",)])
def test_the_command_makes_a_key_once_and_prints_its_public_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], kind: tuple[str, ...]
) -> None:
    file = tmp_path / "smart.pem"
    shown = [run_command(monkeypatch, capfd, "keys", "smart", file, *kind) for _ in range(2)]
    assert [status for status, _, _ in shown] == [0, 0]
    first, second = (json.loads(out) for _, out, _ in shown)
    assert first == second == load_key(file).jwks
    assert first["keys"][0]["alg"] == ("RS384" if kind else "ES384")


def test_a_key_of_another_kind_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "smart.pem"
    file.write_text("no key")
    status, out, err = run_command(monkeypatch, capfd, "keys", "smart", file)
    assert (status, out) == (2, "")
    assert "smart_key" in err
    assert "no key" not in err.replace("holds no private key", "")
