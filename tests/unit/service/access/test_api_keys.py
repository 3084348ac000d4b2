"""API keys: shown once, kept as hashes, added and removed while the service runs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fhir_coder.cli import app
from fhir_coder.errors import AccessError, SettingsError
from fhir_coder.service.access.api_keys import ApiKeys, add_key, read_keys, remove_key
from fhir_coder.service.access.scopes import EVERYTHING, Need


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of keys that is not there yet."""
    return tmp_path / "keys" / "api_keys.json"


def test_a_key_lets_its_holder_in(path: Path) -> None:
    key = add_key(path, "mirth", ["system/DocumentReference.c"])
    keys = ApiKeys(path)
    caller = keys.caller(key)
    assert caller is not None
    assert caller.name == "key mirth"
    assert caller.scopes.grant(Need("DocumentReference", "c"))
    assert not caller.scopes.grant(Need("DocumentReference", "r"))
    for wrong in ("", "fhc_", key[:-1], key + "x", key.upper(), read_keys(path)[0].sha256, "é"):
        assert keys.caller(wrong) is None


def test_the_key_is_not_in_the_file_which_is_its_owners_alone(path: Path) -> None:
    key = add_key(path, "mirth", [EVERYTHING])
    assert len(key) == 47
    assert key not in path.read_text()
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_keys_come_and_go_without_a_restart(path: Path) -> None:
    first = add_key(path, "first", [EVERYTHING])
    keys = ApiKeys(path)
    second = add_key(path, "second", [EVERYTHING])
    assert keys.caller(second) is not None
    remove_key(path, "first")
    assert keys.caller(first) is None
    assert keys.caller(second) is not None
    path.write_text("not json")
    assert keys.caller(second) is None
    path.unlink()
    assert keys.caller(second) is None


def test_names_are_unique_and_plain(path: Path) -> None:
    add_key(path, "a", [EVERYTHING])
    for name in ("a", "", "a b", "../a", "x" * 65, "a\n"):
        with pytest.raises(SettingsError):
            add_key(path, name, [EVERYTHING])
    with pytest.raises(SettingsError, match="no key named b"):
        remove_key(path, "b")
    with pytest.raises(AccessError):
        add_key(path, "b", ["everything"])
    assert [key.name for key in read_keys(path)] == ["a"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"keys": [1]}', '{"keys": [{"name": "a"}]}', '{"keys": 1}'])
def test_a_file_that_is_none_of_ours(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(SettingsError, match="setting api_keys"):
        ApiKeys(path)


def test_a_hash_that_is_none(path: Path) -> None:
    add_key(path, "a", [EVERYTHING])
    path.write_text(json.dumps({"keys": [{**json.loads(path.read_text())["keys"][0], "sha256": "secret"}]}))
    with pytest.raises(SettingsError, match="sha256"):
        ApiKeys(path)


def test_a_missing_file_says_how_to_make_it(path: Path) -> None:
    with pytest.raises(SettingsError, match="keys add"):
        ApiKeys(path)


def test_the_command(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIR_CODER_API_KEYS", str(path))
    run = CliRunner().invoke
    added = run(app, ["keys", "add", "mirth", "--scope", "system/*.rs"])
    assert added.exit_code == 0
    assert ApiKeys(path).caller(added.stdout.strip()) is not None
    listed = run(app, ["keys", "list"]).stdout
    assert "mirth" in listed
    assert "system/*.rs" in listed
    assert "fhc_" not in listed
    assert run(app, ["keys", "remove", "mirth"]).exit_code == 0
    assert run(app, ["keys", "list"]).stdout == ""


def test_the_command_needs_to_know_the_file() -> None:
    result = CliRunner().invoke(app, ["keys", "add", "mirth"])
    assert isinstance(result.exception, SettingsError)
