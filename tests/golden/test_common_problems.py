"""The problems that notes name most, as clinicians write them, and the ICD-10-CM code of each.

The list keeps what is right from going wrong. It is no measure: it was written beside the code, and leaves out what the
code does not reach.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from fhir_coder.model import ICD10CM, Note
from fhir_coder.pipeline import Coder

with (Path(__file__).parent / "common_problems.csv").open(encoding="utf-8", newline="") as lines:
    ROWS = [(row["problem"], row["icd10cm"]) for row in csv.DictReader(lines)]


@pytest.mark.parametrize(("problem", "code"), ROWS)
def test_common_problem(coder: Coder, problem: str, code: str) -> None:
    entities = coder(Note(text=f"Assessment: {problem}.")).entities
    found = [coding.code for entity in entities for coding in entity.codings if coding.system == ICD10CM]
    assert code in found


def test_no_problem_is_listed_twice() -> None:
    assert len({problem.lower() for problem, _ in ROWS}) == len(ROWS)
