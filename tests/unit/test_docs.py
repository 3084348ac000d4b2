"""The README says what is: every setting, route and command line option it must know."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_coder.settings import Settings

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented_in_its_own_words(name: str) -> None:
    description = Settings.model_fields[name].description
    assert description
    assert f"| `{name}` |" in README
    assert description in README


def test_no_setting_is_documented_that_is_not_there() -> None:
    table = README.partition("## Settings")[2].partition("\n## ")[0]
    documented = {line.split("`")[1] for line in table.splitlines() if line.startswith("| `")}
    assert documented == set(Settings.model_fields)
