"""Checks of the HCPCS starter table and its re-verification.

The first tests always run: they look only at the file of the repository.  The
last one compares every row with the CMS release, when it is present.
"""

from __future__ import annotations

import csv
import json
import os
import re
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
TABLE = REPOSITORY / "mappings" / "starter" / "hcpcs.csv"
REFERENCES = Path(os.environ.get("FHIR_CODER_REFERENCES", REPOSITORY.parent / "shared" / "data"))
RELEASE = REFERENCES / "terminology" / "hcpcs_2020" / "2020-Alpha-Numeric-HCPCS-File.zip"
RELEASE_MEMBER = "HCPC2020_ANWEB_w_disclaimer.txt"
SYNTHEA = REFERENCES / "terminology" / "synthea"

HEADER = ["code", "type", "display", "names", "snomed"]
# Words that say nothing about the device.
EMPTY_WORDS = frozenset(
    {"a", "and", "any", "each", "for", "in", "less", "more", "not", "of", "or", "over"}
    | {"per", "the", "to", "with", "without"}
)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    """Return the rows of the HCPCS starter table."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_header() -> None:
    """The table has exactly the agreed columns."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file)) == HEADER


def test_enough_rows(rows: list[dict[str, str]]) -> None:
    """The table is large enough to be of use."""
    assert len(rows) >= 400


def test_codes(rows: list[dict[str, str]]) -> None:
    """Codes are device codes of HCPCS Level II and stand once."""
    codes = [row["code"] for row in rows]
    assert len(codes) == len(set(codes))
    for code in codes:
        assert re.fullmatch(r"[ABEKLQV]\d{4}", code), code


def test_fields(rows: list[dict[str, str]]) -> None:
    """Every row is a device with a display; a SNOMED code is a number."""
    for row in rows:
        assert row["type"] == "device", row
        assert row["display"], row
        assert row["display"] == row["display"].strip(), row
        assert re.fullmatch(r"(\d{6,18})?", row["snomed"]), row


def test_names_are_unambiguous(rows: list[dict[str, str]]) -> None:
    """A name stands in one row only, else the coder would have to guess."""
    seen: dict[str, str] = {}
    for row in rows:
        for name in row["names"].split("|"):
            assert name, row
            assert name == name.strip(), row
            assert name not in seen, (name, row["code"], seen.get(name))
            seen[name] = row["code"]


def content_words(text: str) -> set[str]:
    """Return the words that say something, in lower case and without plural s."""
    found = set(re.findall(r"[a-z]+|\d+", text.casefold()))
    return {word.rstrip("s") for word in found - EMPTY_WORDS}


def load_release() -> dict[str, tuple[str, str]]:
    """Return code to long description and termination date of the CMS release.

    Records have a fixed width: code 1-5, sequence 6-10, record type 11, long
    description 12-91, termination date 285-292.  A record of type 3 opens a
    procedure code, records of type 4 continue its description.
    """
    codes: dict[str, tuple[str, str]] = {}
    with zipfile.ZipFile(RELEASE) as archive:
        text = archive.read(RELEASE_MEMBER).decode("latin-1")
    for line in text.splitlines():
        code, kind, description = line[:5], line[10:11], line[11:91].strip()
        if kind == "3":
            codes[code] = (description, line[284:292].strip())
        elif kind == "4" and code in codes:
            start, terminated = codes[code]
            codes[code] = (f"{start} {description}", terminated)
    return codes


def test_rows_agree_with_release(rows: list[dict[str, str]]) -> None:
    """Every code is in the CMS release, in force, with a like description."""
    if not RELEASE.is_file():
        pytest.skip("the CMS release of HCPCS is absent; set FHIR_CODER_REFERENCES")
    release = load_release()
    wrong = []
    for row in rows:
        description, terminated = release.get(row["code"], ("", ""))
        alike = content_words(row["display"]) & content_words(description)
        if not alike or terminated:
            wrong.append((row["code"], row["display"], description, terminated))
    assert not wrong


def test_snomed_codes_are_known(rows: list[dict[str, str]]) -> None:
    """Every SNOMED code is one of the device codes of the references."""
    if not SYNTHEA.is_dir():
        pytest.skip("the Synthea code lists are absent; set FHIR_CODER_REFERENCES")
    known = set(json.loads((SYNTHEA / "dme_code_map.json").read_text(encoding="utf-8")))
    for line in (SYNTHEA / "module_codes.tsv").read_text(encoding="utf-8").splitlines():
        system, code = [*line.split("\t"), ""][:2]
        if system == "SNOMED-CT":
            known.add(code)
    assert {row["snomed"] for row in rows if row["snomed"]} <= known
