"""The tables of the attachments fit what they refer to."""

from __future__ import annotations

import re

from fhir_coder.nlp.sections import find_sections
from fhir_coder.tables import read_table


def test_every_heading_of_a_cda_section_is_a_title_that_is_known() -> None:
    for row in read_table("cda_sections.csv", ("loinc", "name", "heading")):
        for heading in (row["heading"], f"{row['heading']}:", f"{row['heading']} (Something of our own):"):
            (section,) = find_sections(f"{heading}\nText.")
            assert section.category, row


def test_codes_of_cda_sections_are_loinc_and_once() -> None:
    codes = [row["loinc"] for row in read_table("cda_sections.csv", ("loinc", "name", "heading"))]
    assert len(set(codes)) == len(codes)
    for code in codes:
        number, check = re.fullmatch(r"(\d{4,5})-(\d)", code).groups()  # type: ignore[union-attr]
        assert _check_digit(number) == int(check), code


def _check_digit(number: str) -> int:
    """The check digit of LOINC codes (Luhn, modulus 10)."""
    digits = [int(digit) for digit in reversed(number)]
    doubled = [digit * 2 // 10 + digit * 2 % 10 for digit in digits[::2]]
    return -(sum(doubled) + sum(digits[1::2])) % 10


def test_words_before_a_hyphen_are_written_once_and_in_lower_case() -> None:
    words = [row["word"] for row in read_table("hyphenated_words.csv", ("word",))]
    assert len(set(words)) == len(words)
    assert all(word.isalpha() and word.islower() for word in words)
