"""The tables of dose forms, routes, frequencies and units are well formed."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

MAPPINGS = Path(__file__).resolve().parents[3] / "mappings"
HEADERS = {
    "medication_forms.csv": ["form", "names"],
    "medication_routes.csv": ["route", "names", "snomed", "display"],
    "medication_frequencies.csv": [
        "text", "names", "frequency", "period", "periodMax", "periodUnit", "when",
    ],
    "medication_units.csv": ["unit", "ucum", "names"],
}  # fmt: skip
PERIOD_UNITS = {"s", "min", "h", "d", "wk", "mo", "a"}
# http://hl7.org/fhir/event-timing and the v3 TimingEvent codes that R4 binds.
EVENT_TIMING = {
    "MORN", "MORN.early", "MORN.late", "NOON", "AFT", "AFT.early", "AFT.late",
    "EVE", "EVE.early", "EVE.late", "NIGHT", "PHS", "HS", "WAKE",
    "C", "CM", "CD", "CV", "AC", "ACM", "ACD", "ACV", "PC", "PCM", "PCD", "PCV",
}  # fmt: skip
# The UCUM atoms that the unit table may use; annotations stand in braces.
UCUM_ATOMS = {
    "mg", "ug", "g", "ng", "kg", "[gr]", "mL", "L", "dL", "[iU]", "10*3", "10*6",
    "meq", "mmol", "mol", "mCi", "%", "h", "min", "d", "wk", "m2", "5", "10", "15",
    "2", "3", "[tsp_us]", "[tbs_us]", "[foz_us]", "[in_i]", "[drp]", "[cup_us]",
}  # fmt: skip


def _rows(file: str) -> list[dict[str, str]]:
    """All rows of a table."""
    with (MAPPINGS / file).open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.mark.parametrize("file", sorted(HEADERS))
def test_header_and_surface_forms(file: str) -> None:
    """The columns are the agreed ones and no surface form occurs twice."""
    with (MAPPINGS / file).open(encoding="utf-8", newline="") as handle:
        header, *rows = list(csv.reader(handle))
    assert header == HEADERS[file]
    assert all(len(row) == len(header) for row in rows)
    seen: dict[str, str] = {}
    keys = [row[0] for row in rows]
    assert len(keys) == len(set(keys))
    for row in _rows(file):
        names = row["names"].split("|")
        for name in names:
            assert name, row
            assert name == " ".join(name.split()), (row, name)
            # Matching ignores case, so a form that differs in case only is the same.
            folded = name.lower()
            assert folded not in seen, (name, seen.get(folded), row[header[0]])
            seen[folded] = row[header[0]]


def test_routes_with_a_code_have_a_display() -> None:
    """A SNOMED CT route code is digits and comes with its display."""
    for row in _rows("medication_routes.csv"):
        assert bool(row["snomed"]) == bool(row["display"]), row
        assert re.fullmatch(r"\d*", row["snomed"]), row


def test_frequencies_are_fhir_timing() -> None:
    """Every row is a valid FHIR Timing.repeat."""
    for row in _rows("medication_frequencies.csv"):
        assert int(row["frequency"]) > 0, row
        assert float(row["period"]) > 0, row
        assert row["periodUnit"] in PERIOD_UNITS, row
        if row["periodMax"]:
            assert float(row["periodMax"]) > float(row["period"]), row
        assert set(filter(None, row["when"].split("|"))) <= EVENT_TIMING, row


def test_units_are_ucum() -> None:
    """Every unit is an annotation or is built of known UCUM atoms."""
    for row in _rows("medication_units.csv"):
        plain = re.sub(r"\{[^{}\s]+\}", "", row["ucum"])
        atoms = [atom for atom in re.split(r"[./()]", plain) if atom]
        assert row["ucum"], row
        assert set(atoms) <= UCUM_ATOMS, row


@pytest.mark.parametrize(
    ("name", "timing"),
    [
        ("bid", ("2", "1", "", "d", "")),
        ("qhs", ("1", "1", "", "d", "HS")),
        ("q4-6h", ("1", "4", "6", "h", "")),
        ("qod", ("1", "2", "", "d", "")),
        ("every 2 weeks", ("1", "2", "", "wk", "")),
    ],
)
def test_well_known_frequencies(name: str, timing: tuple[str, ...]) -> None:
    """The most frequent forms have the timing that they are known for."""
    found = [row for row in _rows("medication_frequencies.csv") if name in row["names"].split("|")]
    columns = ["frequency", "period", "periodMax", "periodUnit", "when"]
    assert [tuple(row[column] for column in columns) for row in found] == [timing]
