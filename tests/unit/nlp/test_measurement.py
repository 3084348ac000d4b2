"""Values behind tests and vital signs."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_coder.nlp.measurement import BLOOD_PRESSURE, is_dose, read_measurement
from fhir_coder.terminology.release import Measure

POTASSIUM = (Measure(code="2823-3", unit="mmol/L", low=1, high=12),)
TEMPERATURE = (Measure(code="8310-5", unit="[degF]", low=75, high=115),)


def _read(text: str, measures: tuple[Measure, ...] = POTASSIUM, code: str = "2823-3") -> Any:
    """Read what stands behind the first word."""
    return read_measurement(text, text.index(" "), len(text), measures, code)


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("K 4.2", 4.2, "mmol/L"),
        ("K 4", 4, "mmol/L"),
        ("K : 4.2 mmol/L", 4.2, "mmol/L"),
        ("K was 4.2 mEq/L today", 4.2, "meq/L"),
        ("K level of 4.2", 4.2, "mmol/L"),
        ("K (serum) 4.2", 4.2, "mmol/L"),
        ("K came back at 5.9", 5.9, "mmol/L"),
        ("K 4.2.", 4.2, "mmol/L"),
    ],
)
def test_value(text: str, value: float, unit: str) -> None:
    found = _read(text)
    assert (found["value"], found["unit"]) == (value, unit)


@pytest.mark.parametrize(
    "text",
    [
        "K 4000",  # not plausible
        "K 12/03",  # a date
        "K 3-4",  # a range
        "K 10:30",  # a time
        "K was checked on day 3",
        "K is pending",
        "K and 4 others",
        "K ",
    ],
)
def test_no_value(text: str) -> None:
    assert "value" not in _read(text)


@pytest.mark.parametrize(
    ("text", "comparator"),
    [("K <3", "<"), ("K >= 5", ">="), ("K ≤3", "<="), ("K less than 3", "<"), ("K greater than 6", ">"), ("K 3", None)],
)
def test_comparator(text: str, comparator: str | None) -> None:
    assert _read(text).get("comparator") == comparator


def test_end_of_the_value() -> None:
    text = "K 4.2 mmol/L, well"
    assert text[: _read(text)["value_end"]] == "K 4.2 mmol/L"


@pytest.mark.parametrize(("text", "unit"), [("T 98.6", "[degF]"), ("T 37.2", "Cel"), ("T 98.6 F", "[degF]")])
def test_the_unit_follows_from_the_value(text: str, unit: str) -> None:
    assert _read(text, TEMPERATURE, "8310-5")["unit"] == unit


@pytest.mark.parametrize(
    ("text", "pressure"),
    [
        ("BP 148/92", (148, 92)),
        ("BP: 148 / 92 mmHg", (148, 92)),
        ("BP 148 over 92", (148, 92)),
        ("BP was 148/92", (148, 92)),
        ("BP 92/148", None),
        ("BP 900/80", None),
        ("BP high", None),
    ],
)
def test_blood_pressure(text: str, pressure: tuple[int, int] | None) -> None:
    found = _read(text, (), BLOOD_PRESSURE)
    assert (found.get("systolic"), found.get("diastolic")) == (pressure or (None, None))


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("UA negative", "negative"),
        ("UA: trace", "trace"),
        ("UA 2+", "2+"),
        ("UA was within normal limits", "within normal limits"),
        ("UA sent", None),
    ],
)
def test_finding(text: str, finding: str | None) -> None:
    assert _read(text, (), "x").get("value_text") == finding


@pytest.mark.parametrize(
    ("text", "dose"), [("K 20 mEq", True), ("K 4.2 mmol/L", False), ("K 4.2", False), ("K", False)]
)
def test_is_dose(text: str, dose: bool) -> None:
    assert is_dose(text, 1, len(text)) is dose


def test_values_of_a_note(read: Any) -> None:
    text = (
        "BP 148/92, HR 88, T 98.6 F. INR 2.3, troponin <0.01 ng/mL. Urine nitrite negative. Hgb 10.2 g/dL on 12/03/2024"
    )
    found = {entity.text: entity.attributes for entity in read.note(text).entities}
    assert (found["BP"]["systolic"], found["HR"]["value"], found["T"]["unit"]) == (148, 88, "[degF]")
    assert (found["INR"]["value"], found["troponin"]["comparator"], found["Hgb"]["value"]) == (2.3, "<", 10.2)
    assert found["Urine nitrite"]["value_text"] == "negative"
    assert not read.one(text, "Urine nitrite").assertion.negated  # it is the result
    assert all("value_end" not in attributes for attributes in found.values())
