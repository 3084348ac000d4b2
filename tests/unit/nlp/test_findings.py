"""What is said of problems and devices beside their names."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.nlp.findings import Target, _phrases, read_findings


def _read(text: str, *names: str) -> list[dict[str, Any]]:
    """Describe the names in a text; what begins with ! is no problem, with * a device."""
    targets = []
    for name in names:
        bare = name.lstrip("!*")
        start = text.index(bare)
        targets.append(Target(start, start + len(bare), (0, len(text)), "!" not in name, "*" in name))
    read_findings(text, targets)
    for target in targets:
        for start, end in target.found.pop("spans", {}).values():
            assert 0 <= start < end <= len(text)
    return [target.found for target in targets]


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        ("severe X", "X", {"severity": "severe"}),
        ("X, severe", "X", {"severity": "severe"}),
        ("mild to moderate X", "X", {"severity": "mild to moderate"}),
        ("X 8/10", "X", {"severity": "8/10"}),
        ("2+ X", "X", {"severity": "2+"}),
        ("acute on chronic X", "X", {"course": "acute on chronic"}),
        ("chronic X, now worsening", "X", {"course": "chronic, worsening"}),
        ("X has resolved", "X", {"course": "resolved"}),
        ("X is well controlled", "X", {"course": "controlled"}),
        ("acute onset of X", "X", {"course": "sudden onset"}),
        ("X stage 3b", "X", {"stage": "stage 3b"}),
        ("stage IV X", "X", {"stage": "stage IV"}),
        ("NYHA class III X", "X", {"stage": "NYHA class III"}),
        ("X, NYHA III", "X", {"stage": "NYHA III"}),
        ("X (T2N0M0)", "X", {"stage": "T2N0M0"}),
        ("grade 2 X", "X", {"stage": "grade 2"}),
        ("X, Child-Pugh B", "X", {"stage": "Child-Pugh B"}),
        ("X in the left knee", "X", {"body_site": "knee", "laterality": "left"}),
        ("X of the right distal radius", "X", {"body_site": "distal radius", "laterality": "right"}),
        ("X over the R hip", "X", {"body_site": "hip", "laterality": "right"}),
        ("left knee X", "X", {"body_site": "knee", "laterality": "left"}),
        ("RUQ X", "X", {"body_site": "upper quadrant of abdomen", "laterality": "right"}),
        ("abdominal X", "X", {"body_site": "abdomen"}),
        ("bilateral X", "X", {"laterality": "bilateral"}),
        ("left-sided X", "X", {"laterality": "left"}),
        ("R 7th X", "X", {"laterality": "right"}),
        ("right 10th X", "X", {"laterality": "right"}),
        ("2 L 10th X", "X", {}),
        ("X R, and more", "X", {"laterality": "right"}),
        ("X L4", "X", {}),
        ("X on the right", "X", {"laterality": "right"}),
        ("left hip X", "hip X", {"laterality": "left"}),
        ("X x 3 days", "X", {"onset": "x 3 days"}),
        ("X since 2019", "X", {"onset": "since 2019"}),
        ("X for the past week", "X", {"onset": "for the past week"}),
        ("X started yesterday", "X", {"onset": "started yesterday"}),
        ("X in 2015", "X", {"onset": "in 2015"}),
        ("MI 2 years ago", "MI", {"onset": "2 years ago"}),
        ("3-day history of X", "X", {"onset": "3-day history"}),
        ("two weeks of X", "X", {"onset": "two weeks"}),
        ("severe left knee X for 3 days", "X",
         {"severity": "severe", "body_site": "knee", "laterality": "left", "onset": "for 3 days"}),
        ("X", "X", {}),
        ("The severe weather and X", "X", {}),  # another clause
        ("X. Severe cold outside", "X", {}),
        ("he left without X", "X", {}),
        ("right ventricular X", "X", {}),  # a side of the heart is no side of the patient
        ("X radiating to the left arm", "X", {}),
        ("X but severe distress", "X", {}),
    ],
)  # fmt: skip
def test_one_problem(text: str, name: str, found: dict[str, Any]) -> None:
    assert _read(text, name) == [found]


@pytest.mark.parametrize(
    ("text", "names", "found"),
    [
        ("AAA, BBB and CCC for 3 days", ("AAA", "BBB", "CCC"), [{"onset": "for 3 days"}] * 3),
        ("AAA in 2015, BBB 2 years ago", ("AAA", "BBB"), [{"onset": "in 2015"}, {"onset": "2 years ago"}]),
        ("mild AAA, severe BBB", ("AAA", "BBB"), [{"severity": "mild"}, {"severity": "severe"}]),
        ("AAA improved with DRUG for 3 years", ("AAA", "!DRUG"), [{"course": "improving"}, {}]),
        ("DRUG for 3 days for AAA", ("!DRUG", "AAA"), [{}, {}]),
    ],
)
def test_whose_words_they_are(text: str, names: tuple[str, ...], found: list[dict[str, Any]]) -> None:
    assert _read(text, *names) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("PICC in the right arm", {"body_site": "arm", "laterality": "right"}),
        ("left PICC", {"laterality": "left"}),
        ("severe PICC", {}),
    ],
)
def test_device(text: str, found: dict[str, Any]) -> None:
    assert _read(text, "*PICC") == [found]


def test_tables_load() -> None:
    assert _phrases()


def test_attributes_of_a_note(read: Any) -> None:
    pain = read.one("Severe chest pain for 3 days, worsening.", "chest pain")
    assert {name: pain.attributes[name] for name in ("severity", "onset", "course")} == {
        "severity": "severe",
        "onset": "for 3 days",
        "course": "worsening",
    }


WORDS = st.lists(
    st.sampled_from(
        "severe left knee X for 3 days since 2019 stage IV , . ; ( ) \n İ é both and of the 8/10 2+ T2N0M0".split(" ")
    )
    | st.text(max_size=5),
    max_size=25,
)


@given(WORDS, st.data())
def test_any_text(words: list[str], data: st.DataObject) -> None:
    text = " ".join(words) + " end"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8, unique=True)))
    targets = [Target(start, end, (0, len(text)), True) for start, end in zip(cuts[::2], cuts[1::2], strict=False)]
    read_findings(text, targets)
    for target in targets:
        for start, end in target.found.get("spans", {}).values():
            assert 0 <= start < end <= len(text)
