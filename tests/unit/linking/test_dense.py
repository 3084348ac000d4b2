"""Similar meaning: a paraphrase that shares few letters with any name."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_coder.errors import SettingsError
from fhir_coder.linking.encoder import Encoder
from fhir_coder.pipeline import Coder


def test_a_paraphrase_finds_its_name(full_coder: Coder) -> None:
    found = full_coder.lookup("icd10cm", "kidney failing for a long time", 5)
    assert "dense" in {candidate.stage for candidate in found}
    assert found[0].code.startswith(("N18", "N19"))


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="setting encoder"):
        Encoder(tmp_path, "mean")
