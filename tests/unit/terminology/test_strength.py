"""One form for strengths, whoever writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.errors import TableError
from fhir_coder.terminology import strength
from fhir_coder.terminology.strength import normal_strength


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("10 MG", "10 mg"),
        ("10mg", "10 mg"),
        ("10-mg", "10 mg"),
        (" 10.0 mg. ", "10 mg"),
        (".5 mg", "0.5 mg"),
        ("1,000 mg", "1000 mg"),
        ("1 g", "1000 mg"),
        ("50 mcg", "0.05 mg"),
        ("50 µg", "0.05 mg"),
        ("100 units/mL", "100 unt/ml"),
        ("100 UNT/ML", "100 unt/ml"),
        ("1.2 million units", "1200000 unt"),
        ("20 MEQ", "20 meq"),
        ("1%", "1 %"),
        ("25 mcg/hr", "0.025 mg/h"),
        ("7 mg/24 hr", "0.292 mg/h"),
        ("10 mg/g", "0.01 mg/mg"),
        ("125 mg/5 mL", "25 mg/ml"),
        ("5 MG/5ML", "1 mg/ml"),
        ("2.5 mg per 3 ml", "0.833 mg/ml"),
        ("40 MG in 0.4 ML", "100 mg/ml"),
        ("12.5 MG / 5 MG", "12.5 mg/5 mg"),
        ("12.5-5 mg", "12.5 mg/5 mg"),
        ("12.5-.5 mg", "12.5 mg/0.5 mg"),
        ("5/325 mg", "5 mg/325 mg"),
        ("5-12.5-40 mg", "5 mg/12.5 mg/40 mg"),
        ("160-4.5 mcg/actuat", "0.16 mg/actuat/0.0045 mg/actuat"),
        ("100 VECTOR-GENOMES/ML", "100 vector-genomes/ml"),
    ],
)
def test_normal_form(text: str, normal: str) -> None:
    assert normal_strength(text) == normal


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "low dose",
        "mg",
        "5",
        "10 mg tablet",
        "5 mg/0 ml",
        "5/",
        "/",
        "mg/5 ml",
        "5 mg/ml/ml",
        "10^5",
        "5 " * 200,
    ],
)
def test_what_is_no_strength(text: str) -> None:
    assert normal_strength(text) == ""


@given(st.text(max_size=40) | st.text(alphabet="0123456789.,-/ mgclunt%h", max_size=25))
def test_the_normal_form_of_any_text_is_its_own(text: str) -> None:
    once = normal_strength(text)
    assert normal_strength(once) == once


_NUMBERS = st.decimals(min_value="0.001", max_value=99999, places=3)
_UNITS = st.sampled_from(["mg", "mcg", "g", "unt", "meq", "MG/ML", "mcg/actuat", "UNT/ML"])


@given(st.lists(st.tuples(_NUMBERS, _UNITS), min_size=1, max_size=4))
def test_a_combination_is_the_strengths_of_its_parts(parts: list[tuple[object, str]]) -> None:
    written = [f"{number} {unit}" for number, unit in parts]
    assert normal_strength(" / ".join(written)) == "/".join(normal_strength(text) for text in written)


@pytest.mark.parametrize(
    ("rows", "message"),
    [([("mg", "one")], "'one' is no number"), ([("mg", "1"), ("ml", "1")], "the name same stands there twice")],
)
def test_a_table_that_says_what_cannot_be(
    monkeypatch: pytest.MonkeyPatch, rows: list[tuple[str, str]], message: str
) -> None:
    table = [{"unit": unit, "factor": factor, "per": "no", "names": "same"} for unit, factor in rows]
    monkeypatch.setattr(strength, "read_table", lambda *_: table)
    with pytest.raises(TableError, match=message):
        strength._units.__wrapped__()
