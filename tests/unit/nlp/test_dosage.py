"""How a medication is taken: sigs of notes, and what is read out of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.nlp.dosage import is_taken, read_dosage

DAILY = {"frequency": 1, "period": 1, "periodUnit": "d"}


def _read(text: str, drug: str = "X") -> Any:
    start = text.index(drug)
    return read_dosage(text, start, start + len(drug), 0, len(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("X 81 mg daily", {"dose": 81, "unit": "mg", "ucum": "mg", "frequency": "daily", "timing": DAILY}),
        ("X 1000 mg PO BID", {"dose": 1000, "route": "oral", "frequency": "twice daily"}),
        ("X 1,000 mg IV q8h", {"dose": 1000, "route": "intravenous", "frequency": "every 8 hours"}),
        (
            "X 10 mg tablet, take 2 tablets by mouth daily",
            {"strength": "10 mg", "dose": 2, "ucum": "{tbl}", "form": "tablet", "route": "oral"},
        ),
        (
            "X 2 puffs q4-6h prn wheezing",
            {
                "dose": 2,
                "ucum": "{puff}",
                "timing": {"frequency": 1, "period": 4, "periodMax": 6, "periodUnit": "h"},
                "as_needed": True,
                "reason": "wheezing",
            },
        ),
        ("X 40 mg x 5 days", {"dose": 40, "duration": "5 days", "duration_value": 5, "duration_unit": "d"}),
        ("X 500 mg TID for two weeks", {"duration_value": 2, "duration_unit": "wk"}),
        ("X 5/325 mg 1-2 tabs q6h", {"strength": "5/325 mg", "dose": 1, "dose_high": 2, "ucum": "{tbl}"}),
        ("X 5,000 units SC q8h", {"dose": 5000, "ucum": "[iU]", "route": "subcutaneous"}),
        ("X 5 mg po qhs", {"timing": {**DAILY, "when": ["HS"]}}),
        ("X 75 mcg qAM", {"dose": 75, "ucum": "ug", "timing": {**DAILY, "when": ["MORN"]}}),
        ("X .5 mg daily", {"dose": 0.5}),
        (
            "X patch 25 mcg/hr q72h",
            {"dose": 25, "ucum": "ug/h", "timing": {"frequency": 1, "period": 72, "periodUnit": "h"}},
        ),
        ("X 0.4 mg SL prn chest pain", {"route": "sublingual", "reason": "chest pain"}),
        ("10 mg of X", {"dose": 10}),
        ("half tablet of X at bedtime", {"dose": 0.5, "unit": "tablet"}),
        ("stopped X", {"action": "stop"}),
        ("started on X 5 mg daily", {"action": "start", "dose": 5}),
        ("increase X to 100 mg daily", {"action": "increase", "dose": 100}),
        ("held X", {"action": "hold"}),
        ("decreased his X to 5 mg", {"action": "decrease"}),
        ("continue X", {"action": "continue"}),
    ],
)
def test_sig(text: str, expected: dict[str, Any]) -> None:
    found = _read(text)
    assert {name: found.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    "text", ["X", "X was given on 12/03/2024", "X levels were high", "X helps the 45-year-old woman", "X 3 of them"]
)
def test_nothing_is_said(text: str) -> None:
    assert "dose" not in _read(text)


def test_sig_is_as_written() -> None:
    assert _read("X:  10 mg\n po daily; well")["sig"] == "10 mg po daily"


def test_it_reads_no_further_than_it_may() -> None:
    text = "X and Y 5 mg daily"
    assert read_dosage(text, 0, 1, 0, text.index("Y")) == {}


@pytest.mark.parametrize(
    ("dosage", "taken"), [({}, False), ({"action": "stop"}, False), ({"dose": 1}, True), ({"route": "oral"}, True)]
)
def test_is_taken(dosage: dict[str, Any], taken: bool) -> None:
    assert is_taken(dosage) is taken


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        ("increase X from 10 mg to 20 mg daily", 10, 20),
        ("X increased from 10 to 20 mg", 10, 20),
        ("X decreased from 40 mg daily to 20 mg daily", 40, 20),
        ("X 10 mg -> 20 mg", 10, 20),
        ("increase X to 20 mg", None, 20),
    ],
)
def test_change_of_dose(text: str, old: float | None, new: float) -> None:
    found = _read(text)
    assert found.get("old_dose", {}).get("value") == old
    assert (found["new_dose"]["value"], found["dose"]) == (new, new)


def test_a_changed_concentration_is_no_changed_dose() -> None:
    """Seen on an abstract: "increased from 5% to 10%"."""
    found = _read("X increased from 5% to 10%")
    assert found["strength"] == "10%"
    assert "dose" not in found
    assert "new_dose" not in found


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("X was stopped", "stop"),
        ("X 10 mg was discontinued", "stop"),
        ("X has been held", "hold"),
        ("X increased to 20 mg", "increase"),
        ("discontinuation of X", "stop"),
        ("did not stop X", None),
        ("never started X", None),
        ("X and the drain was stopped", None),
    ],
)
def test_action(text: str, action: str | None) -> None:
    assert _read(text).get("action") == action


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("16 cc of 2% X", {"dose": 16, "strength": "2%"}),
        ("high-dose X", {"dose_level": "high"}),
        ("X overdose", {"dose_level": "overdose"}),
        ("X 500 mg, 7-day course", {"duration_value": 7, "duration_unit": "d"}),
        ("X tablet, then a patch was put on the skin", {"form": "tablet", "route": None}),
        ("X. The catheter was flushed intravenously", {"route": None}),
        ("X 10 mg tablets. Take one daily", {"frequency": "daily", "dose": 10}),
    ],
)
def test_what_is_its_own(text: str, expected: dict[str, Any]) -> None:
    found = _read(text)
    assert {name: found.get(name) for name in expected} == expected


def test_an_amount_of_the_next_medication() -> None:
    text = "50 mg of X and 2 mg of Y"
    found = read_dosage(text, text.index("X"), text.index("X") + 1, 0, text.index("Y"))
    assert (found["dose"], "sig" in found) == (50, False)


@given(
    st.lists(
        st.sampled_from("X 10 mg -> to from 5/325 % po daily prn for İ . ; , tablets was stopped".split())
        | st.text(max_size=4)
    )
)
def test_any_text(words: list[str]) -> None:
    text = " ".join(["X", *words])
    for start in range(0, len(text), 3):
        found = read_dosage(text, start, min(start + 1, len(text)), 0, len(text))
        for first, last in found.get("spans", {}).values():
            assert 0 <= first < last <= len(text)


def test_the_strength_is_what_stands_before_the_count() -> None:
    found = _read("X 15 mg weekly (7.5 mg x 2 tabs)")
    assert (found["strength"], found["dose"], found["ucum"]) == ("7.5 mg", 2, "{tbl}")
