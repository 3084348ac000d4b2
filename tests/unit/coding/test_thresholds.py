"""From which score on a code is chosen."""

from __future__ import annotations

import pytest

from fhir_coder.coding import thresholds as module
from fhir_coder.coding.thresholds import thresholds
from fhir_coder.errors import TableError
from fhir_coder.model import CODE_SYSTEMS


def test_a_given_threshold_is_that_of_every_code_system() -> None:
    assert thresholds(0.3) == dict.fromkeys(CODE_SYSTEMS.values(), 0.3)


def test_each_code_system_has_a_threshold_from_which_on_few_codes_are_wrong() -> None:
    assert thresholds().keys() == set(CODE_SYSTEMS.values())
    rows = module.read_table("coding/thresholds.csv", ("system", "threshold", "wrong", "abstained", "descriptions"))
    assert all(float(row["wrong"]) <= 0.05 for row in rows)


@pytest.mark.parametrize(
    "rows", [[], [{"system": "icd10", "threshold": "0.8"}], [{"system": "icd10cm", "threshold": "2"}]]
)
def test_a_table_that_is_not_whole_is_refused(monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, str]]) -> None:
    monkeypatch.setattr(module, "read_table", lambda *_: rows)
    with pytest.raises(TableError, match=r"thresholds\.csv"):
        module._table.__wrapped__()
