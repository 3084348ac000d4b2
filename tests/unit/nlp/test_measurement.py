"""Values behind tests and vital signs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        "K 3rd",  # an ordinal
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


@pytest.mark.parametrize(
    ("text", "unit"), [("T 98.6", "[degF]"), ("T 37.2", "Cel"), ("T 98.6 F", "[degF]"), ("T 98.6 HR 80", "[degF]")]
)
def test_the_unit_follows_from_the_value(text: str, unit: str) -> None:
    assert _read(text, TEMPERATURE, "8310-5")["unit"] == unit


@pytest.mark.parametrize(
    ("text", "pressure"),
    [
        ("BP 148/92", (148, 92)),
        ("BP: 148 / 92 mmHg", (148, 92)),
        ("BP 148/92mmHg,", (148, 92)),
        ("BP 148/92mm[Hg]", (148, 92)),
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("K 3.1 L (3.5-5.0)", {"value": 3.1, "interpretation": "L"}),
        ("K 5.9 H", {"interpretation": "H"}),
        ("K 7.9 (HH)", {"interpretation": "HH"}),
        ("K was high at 5.9", {"interpretation": "H"}),
        ("K 5.9 h later", {"interpretation": None}),
        ("K 5.9 Low back", {"value": 5.9}),
        ("K 4.2 (3.5-5.0)", {"reference_range": {"low": 3.5, "high": 5, "text": "3.5-5.0"}}),
        ("K 4.2 mmol/L [ref 3.5 - 5.0]", {"reference_range": {"low": 3.5, "high": 5, "text": "ref 3.5 - 5.0"}}),
        ("K 4.2 (normal <5)", {"reference_range": {"high": 5, "text": "normal <5"}}),
        ("K 4.2 (5.0-3.5)", {"reference_range": None}),
        ("K 4.2 3-5 times", {"reference_range": None}),
        ("K trended from 5.9 to 4.2", {"value": 4.2, "previous_value": 5.9}),
        ("K 5.9 -> 5.1 -> 4.2 mmol/L", {"value": 4.2, "previous_value": 5.1}),
        ("K 4.2, down from 5.9", {"value": 4.2, "previous_value": 5.9}),
        ("K 4.2 on 3/4", {"value": 4.2, "time": "on 3/4"}),
        ("K 4.2 at 0600", {"time": "at 0600"}),
        ("K on 3/4 was 4.2", {"value": 4.2, "time": "on 3/4"}),
        ("K 4.2 this morning", {"time": "this morning"}),
        ("K 3.5-4.2", {"value_text": "3.5-4.2"}),
        ("K 3-4 mmol/L", {"value_text": "3-4 mmol/L"}),
        ("Na 138 K 4.2", {"value": None}),  # what is no potassium
        ("K from 5.9", {"value": None}),
    ],
)
def test_around_the_value(text: str, expected: dict[str, Any]) -> None:
    found = _read(text)
    assert {name: found.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("before", "finding"),
    [
        ("a negative ", "negative"),
        ("positive ", "positive"),
        ("no positive ", None),
        ("", None),
        ("negative for ", None),
    ],
)
def test_result_before_the_test(before: str, finding: str | None) -> None:
    text = f"{before}ANA was sent"
    end = text.index(" was")
    assert read_measurement(text, end, len(text), (), "x", before).get("value_text") == finding


@pytest.mark.parametrize(
    ("text", "finding", "code"),
    [
        ("ANA 1:160", "1:160", None),
        ("HIV non-reactive", "non-reactive", "NR"),
        ("ANA (+)", "positive", "POS"),
        ("PCR not detected", "not detected", "ND"),
        ("UA normal", "normal", "N"),
    ],
)
def test_interpretation_of_a_finding(text: str, finding: str, code: str | None) -> None:
    found = _read(text, (), "x")
    assert (found["value_text"], found.get("interpretation")) == (finding, code)


def test_a_row_of_values(read: Any) -> None:
    entities = read.note("Na 138 K 4.2 Cl 101 BUN 12").entities
    assert [(each.text, each.attributes.get("value")) for each in entities] == [
        ("Na", 138), ("K", 4.2), ("Cl", 101), ("BUN", 12),
    ]  # fmt: skip


def test_a_level_is_a_test_and_no_medication(read: Any) -> None:
    assert read.one("Digoxin level 0.9 today.", "Digoxin level").type == "lab-test"


@given(
    st.lists(
        st.sampled_from("4.2 5.9 - -> from to ( ) [ ] H L (3.5-5.0) on 3/4 at 0600 mmol/L K İ 1:160 positive".split())
        | st.text(max_size=4)
    )
)
def test_any_text(words: list[str]) -> None:
    text = " ".join(["K", *words])
    found = read_measurement(text, 1, len(text), POTASSIUM, "2823-3", text[:1])
    assert 1 <= found.get("value_end", 1) <= len(text)


@pytest.mark.parametrize(
    "text", ["K 4.2 mmol/L", "K 4.2 mmol/L;", "K 3.9 mmol/L -> 4.2 mmol/L", "K was 4.2 mmol/L today"]
)
def test_the_litre_of_a_unit_is_no_flag(text: str) -> None:
    assert "interpretation" not in _read(text)


def test_what_it_changed_to_is_the_value() -> None:
    assert _read("K dropped 0.4 mmol/L to 3.2")["value"] == 3.2
    assert _read("K up 4.1")["value"] == 4.1


def test_how_long_ago_is_no_value() -> None:
    assert not _read("K 3 weeks ago")
