"""Settings: argument > environment > file > default; what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from fhir_coder.errors import SettingsError
from fhir_coder.settings import Settings, misspelt


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A settings file."""
    path = tmp_path / "settings.toml"
    path.write_text("max_candidates = 7\nport = 7\n", encoding="utf-8")
    return path


def test_defaults() -> None:
    settings = Settings.load()
    assert (settings.max_candidates, settings.encoder, settings.server) == (5, "embedded", None)


def test_precedence(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load(file).max_candidates == 7
    monkeypatch.setenv("FHIR_CODER_MAX_CANDIDATES", "8")
    assert (Settings.load(file).max_candidates, Settings.load(file).port) == (8, 7)
    assert Settings.load(file, max_candidates=9).max_candidates == 9
    assert Settings.load(file, max_candidates=None).max_candidates == 8


def test_file_named_by_the_environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIR_CODER_SETTINGS", str(file))
    assert Settings.load().max_candidates == 7


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"min_confidence": 1.5}, "min_confidence"),
        ({"max_candidates": 0}, "max_candidates"),
        ({"port": 70000}, "port"),
        ({"server": "not a url"}, "server"),
        ({"encoder_pooling": "max"}, "encoder_pooling"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_a_wrong_value_is_named(given: dict[str, object], name: str) -> None:
    with pytest.raises(SettingsError, match=f"setting {name}"):
        Settings.load(**given)


def test_a_wrong_value_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIR_CODER_MIN_CONFIDENCE", "much")
    with pytest.raises(SettingsError, match="setting min_confidence"):
        Settings.load()


@pytest.mark.parametrize("content", ["colour = 1", "port = ", "port = 'x'"])
def test_a_wrong_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"setting (colour|port)|bad\.toml"):
        Settings.load(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml"):
        Settings.load(tmp_path / "none.toml")


def test_settings_are_frozen() -> None:
    settings = Settings.load()
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]


def test_a_name_that_is_none_is_told_with_the_one_that_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("queue_max_itms = 7\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="no such setting; is queue_max_items meant"):
        Settings.load(path)


def test_a_variable_that_is_nearly_a_setting() -> None:
    of_others = {"FHIR_CODER_SERVICE_HOST": "10.0.0.1", "FHIR_CODER_PORT_8000_TCP_ADDR": "10.0.0.1", "PATH": "/bin"}
    ours = {"FHIR_CODER_SETTINGS": "a.toml", "FHIR_CODER_QUEUE_MAX_ITEMS": "7"}
    assert misspelt({**of_others, **ours}) == []
    (remark,) = misspelt({**of_others, **ours, "FHIR_CODER_API_KEY": "secret"})
    assert "FHIR_CODER_API_KEY is no setting" in remark
    assert "api_keys" in remark
    assert "secret" not in remark
