"""Names that say the opposite."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_coder import tables
from fhir_coder.errors import TableError
from fhir_coder.linking import opposites
from fhir_coder.linking.opposites import Said
from fhir_coder.terminology.normalise import content_words, normalise


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("type 2 diabetes", "diabetes type I", True),
        ("type 2 diabetes", "diabetes type II", False),
        ("CKD stage 3", "chronic kidney disease, stage 4", True),
        ("fracture of left femur", "fracture of right femur", True),
        ("fracture of femur", "fracture of right femur", False),
        ("fracture of left and right femur", "fracture of right femur", False),
        ("hypokalemia", "hyperkalemia", True),
        ("hyperkalemia", "hypokalemia", True),
        ("hypokalemia", "hyponatremia", False),
        ("diabetes with neuropathy", "diabetes without neuropathy", True),
        ("acute bronchitis", "chronic bronchitis", True),
        ("asthma", "asthma", False),
        ("", "asthma", False),
        ("vitamin b", "vitamin B2", True),
        ("vitamin B12", "vitamin B2", True),
        ("b12 deficiency", "vitamin B12 deficiency", False),
    ],
)
def test_is_denied_by(text: str, name: str, expected: bool) -> None:
    words = normalise(name).split()
    assert Said(normalise(text)).is_denied_by(content_words(words).union(words)) == expected


@pytest.mark.parametrize("row", ["left,", "hypo-,hyper"])
def test_a_faulty_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: str) -> None:
    (tmp_path / "opposites.csv").write_text(f"one,other\n{row}\n")
    monkeypatch.setattr(tables, "folder", lambda _: tmp_path)
    with pytest.raises(TableError, match="opposites"):
        opposites._opposites.__wrapped__()
