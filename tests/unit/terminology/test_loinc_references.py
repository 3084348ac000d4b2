"""Checks of the LOINC starter table and the unit table, and their re-verification.

The first tests always run: they look only at the files of the repository.  The
last one compares every row with the reference files, when these are present: the
LOINC excerpts, Synthea, the FHIR examples and guide packages, the C-CDA samples.
"""

from __future__ import annotations

import csv
import json
import os
import re
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
LOINC_TABLE = REPOSITORY / "mappings" / "starter" / "loinc.csv"
UNIT_TABLE = REPOSITORY / "mappings" / "units.csv"
REFERENCES = Path(os.environ.get("FHIR_CODER_REFERENCES", REPOSITORY.parent / "shared" / "data"))

HEADER = ["code", "type", "category", "display", "names", "unit", "low", "high"]

# An empty type is a row for lookup and validation only: an imaging order, a document, a questionnaire.
TYPES = {"lab-test", "vital-sign", ""}

# The codes of http://terminology.hl7.org/CodeSystem/observation-category.
CATEGORIES = {
    "activity",
    "exam",
    "imaging",
    "laboratory",
    "procedure",
    "social-history",
    "survey",
    "therapy",
    "vital-signs",
}

# Words that say how or in what something is measured, not what: sharing them proves nothing.
GENERIC_WORDS = set(
    """
    a ab acnc ag an and angio angiogram at blood bld blda bldc bldv by ccnc cerebral contr contrast csf ct
    cta dna doppler dop fld flr fluid for iga igg igm in is it iv mam mass mcnc method mg moles mr mri nm of
    on or panel pcr pet plas plasma pnl po pr presence ql ratio rf ri rna scnc ser serpl serum single spect
    spinal stl stool the tiss tissue titer titr to total units ur urine urns us v view views volume w with
    without wo xr
    """.split()
)

# What the short names abbreviate beyond recognition, and a word of what is meant.
ABBREVIATIONS = {
    "afp": "fetoprotein",
    "ala": "aminolevulinate",
    "bod": "bodies",
    "ca": "calcium",
    "cea": "carcinoembryonic",
    "chloroquine": "hydroxychloroquine",
    "ck": "creatine",
    "cmv": "cytomegalovirus",
    "co2": "dioxide",
    "cohgb": "carboxyhemoglobin",
    "d": "donath",
    "ebv": "epstein",
    "ef": "ejection",
    "ena": "extractable",
    "era": "estrogen",
    "ev": "enterovirus",
    "fluorocytosine": "flucytosine",
    "frc": "functional",
    "fs": "fractional",
    "fvc": "forced",
    "gad65": "glutamate",
    "gcs": "glasgow",
    "hav": "hepatitis",
    "hbv": "hepatitis",
    "hco3": "bicarbonate",
    "hev": "hepatitis",
    "hgb": "hemoglobin",
    "hhv6": "herpes",
    "hhv8": "herpes",
    "hva": "homovanillate",
    "ibd": "inflammatory",
    "igg1": "subclass",
    "igg2": "subclass",
    "igg3": "subclass",
    "jcpyv": "jc",
    "ldh": "lactate",
    "lp": "lipoprotein",
    "mag": "myelin",
    "mdma": "methylenedioxymethamphetamine",
    "methgb": "methemoglobin",
    "mvv": "maximum",
    "o2": "oxygen",
    "ob": "obstetrical occult",
    "oxyhgb": "oxyhemoglobin",
    "pacs": "premature",
    "papp": "pregnancy",
    "pbg": "porphobilinogen",
    "pco2": "dioxide",
    "pk": "pyruvate",
    "po2": "oxygen",
    "psa": "prostate",
    "pulm": "lung",
    "pvcs": "premature",
    "rbc": "erythrocytes",
    "rsv": "syncytial",
    "sao2": "oxygen",
    "scc": "squamous",
    "srp": "recognition",
    "sv": "stroke",
    "tb": "tuberculosis",
    "tlc": "capacity",
    "vc": "capacity",
    "vgkc": "potassium",
    "vti": "velocity",
    "vzv": "varicella",
    "wb": "whole",
    "wbc": "leukocytes",
    "wnv": "nile",
}


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the header and the rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
        return list(reader.fieldnames or []), rows


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    """Return the rows of the LOINC starter table."""
    return read_table(LOINC_TABLE)[1]


@pytest.fixture(scope="module")
def units() -> list[dict[str, str]]:
    """Return the rows of the unit table."""
    return read_table(UNIT_TABLE)[1]


def check_digit(number: str) -> int:
    """Return the LOINC check digit (mod 10, Luhn) of the number before the hyphen."""
    total = 0
    for position, character in enumerate(reversed(number)):
        product = int(character) * (2 if position % 2 == 0 else 1)
        total += product // 10 + product % 10
    return -total % 10


def test_headers() -> None:
    """Both tables have exactly the agreed columns."""
    assert read_table(LOINC_TABLE)[0] == HEADER
    assert read_table(UNIT_TABLE)[0] == ["ucum", "names"]


def test_enough_rows(rows: list[dict[str, str]]) -> None:
    """The table is large enough to be of use."""
    assert len(rows) >= 1300


def test_codes(rows: list[dict[str, str]]) -> None:
    """Codes are well-formed, with a right check digit, and stand once."""
    codes = [row["code"] for row in rows]
    assert len(codes) == len(set(codes))
    for code in codes:
        assert re.fullmatch(r"\d{1,5}-\d", code), code
        number, digit = code.split("-")
        assert check_digit(number) == int(digit), code


def test_types_and_displays(rows: list[dict[str, str]]) -> None:
    """Every row has a known type and a display."""
    for row in rows:
        assert row["type"] in TYPES, row
        assert row["display"], row
        assert row["display"] == row["display"].strip(), row


def test_categories(rows: list[dict[str, str]]) -> None:
    """Every row has a FHIR observation category; only vital signs are `vital-signs`."""
    for row in rows:
        assert row["category"] in CATEGORIES, row
        assert row["category"] != "vital-signs" or row["type"] == "vital-sign", row


def test_lookup_rows_have_no_measure(rows: list[dict[str, str]]) -> None:
    """A row that is never an entity of a note has no value, hence no unit."""
    assert not [row for row in rows if not row["type"] and row["unit"]]


def test_names_are_unambiguous(rows: list[dict[str, str]]) -> None:
    """A name stands in one row only, whatever its case, else the coder would have to guess."""
    seen: dict[str, str] = {}
    for row in rows:
        names = row["names"].split("|")
        assert len(names) == len(set(names)), row
        for name in names:
            assert name, row
            assert name == name.strip(), row
        for name in {name.casefold() for name in [row["display"], *names]}:
            assert name not in seen, (name, row["code"], seen.get(name))
            seen[name] = row["code"]


def test_ranges(rows: list[dict[str, str]]) -> None:
    """A range has both ends, in order, and belongs to a unit."""
    for row in rows:
        present = {bool(row["unit"]), bool(row["low"]), bool(row["high"])}
        assert len(present) == 1, row
        if row["low"]:
            assert float(row["low"]) < float(row["high"]), row


def test_units_are_known(rows: list[dict[str, str]], units: list[dict[str, str]]) -> None:
    """Every unit of the LOINC table is one that the unit table knows."""
    known = {row["ucum"] for row in units}
    assert len(known) == len(units)
    assert {row["unit"] for row in rows if row["unit"]} <= known


def test_unit_names_are_unambiguous(units: list[dict[str, str]]) -> None:
    """A written unit means one UCUM unit, whatever the case it is written in."""
    seen: dict[str, str] = {}
    for row in units:
        assert re.fullmatch(r"\S+", row["ucum"]), row
        for name in row["names"].split("|"):
            assert name, row
            assert name == name.strip(), row
            assert name.casefold() not in seen, (name, row["ucum"], seen.get(name.casefold()))
            seen[name.casefold()] = row["ucum"]


def codings(node: Any) -> Iterator[tuple[str, str]]:
    """Yield code and display of every LOINC coding inside a FHIR resource."""
    if isinstance(node, dict):
        if "loinc.org" in str(node.get("system", "")):
            for coding in [node, *node.get("concept", [])]:
                if coding.get("code") and coding.get("display"):
                    yield coding["code"], coding["display"]
        for value in node.values():
            yield from codings(value)
    elif isinstance(node, list):
        for value in node:
            yield from codings(value)


def package_resources() -> Iterator[Any]:
    """Yield the resources of the FHIR guide packages."""
    for path in sorted((REFERENCES.parent / "fhir" / "packages").glob("*.tgz")):
        with tarfile.open(path) as package:
            for member in package:
                file = package.extractfile(member) if member.name.endswith(".json") else None
                if file is not None:
                    yield json.loads(file.read())


def load_long_names() -> dict[str, set[str]]:
    """Return the long names that the references give for a LOINC code."""
    terminology = REFERENCES / "terminology"
    names: dict[str, set[str]] = defaultdict(set)
    lab_orders = terminology / "loinc" / "LoincUniversalLabOrdersValueSet.csv"
    with lab_orders.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            names[row["LOINC_NUM"]].add(row["LONG_COMMON_NAME"].casefold())
    modules = terminology / "synthea" / "module_codes.tsv"
    for line in modules.read_text(encoding="utf-8").splitlines():
        system, code, name = [*line.split("\t"), "", ""][:3]
        if system == "LOINC":
            names[code].add(name.strip().casefold())
    resources = [terminology / "loinc" / "valueset-mii-top-300-loinc.json"]
    resources += sorted((REFERENCES / "fhir").rglob("*.json"))
    for path in resources:
        for code, display in codings(json.loads(path.read_text(encoding="utf-8"))):
            names[code].add(display.strip().casefold())
    for resource in package_resources():
        for code, display in codings(resource):
            names[code].add(display.strip().casefold())
    return names


def load_ccda_names() -> dict[str, set[str]]:
    """Return the display names of the C-CDA samples, which are often free text: a last resort."""
    names: dict[str, set[str]] = defaultdict(set)
    for path in sorted((REFERENCES / "ccda").rglob("*.xml")):
        text = path.read_text(encoding="utf-8", errors="replace")
        for element in re.findall(r'<[^>]*codeSystem="2\.16\.840\.1\.113883\.6\.1"[^>]*>', text):
            code = re.search(r'\bcode="([^"]+)"', element)
            display = re.search(r'\bdisplayName="([^"]+)"', element)
            if code and display:
                names[code[1]].add(display[1].strip().casefold())
    return names


def load_short_names() -> dict[str, str]:
    """Return LOINC code to SHORTNAME; for narratives, as of imaging, followed by the body site."""
    path = REFERENCES / "terminology" / "loinc" / "short_loinc.txt"
    names = {}
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["SHORTNAME"]:
                site = f" {row['SYSTEM']}" if row["SCALE_TYP"] == "Nar" else ""
                names[row["LOINC_NUM"]] = row["SHORTNAME"] + site
    return names


def words(text: str) -> set[str]:
    """Return the telling words of a name, in lower case."""
    found = set(re.findall(r"[a-z]+\d*|\d+", text.casefold()))
    found |= {meant for word in found for meant in ABBREVIATIONS.get(word, "").split()}
    return found - GENERIC_WORDS or found


def share_component(display: str, short_name: str) -> bool:
    """Tell whether a display and a short name have a word in common.

    Short names cut words ("Bdy temp Ax"), therefore a word of at least three
    letters may also begin the other one.
    """
    return any(
        one == other or (min(len(one), len(other)) >= 3 and (one.startswith(other) or other.startswith(one)))
        for one in words(display)
        for other in words(short_name)
    )


def test_rows_agree_with_references(rows: list[dict[str, str]]) -> None:
    """Every code is in a reference, under the name that the row gives it."""
    if not (REFERENCES / "terminology" / "loinc").is_dir():
        pytest.skip("LOINC references are absent; set FHIR_CODER_REFERENCES")
    long_names, short_names, ccda_names = load_long_names(), load_short_names(), load_ccda_names()
    wrong = []
    for row in rows:
        code, display = row["code"], row["display"]
        if code in long_names:
            agrees = display.casefold() in long_names[code]
        elif code in short_names:
            agrees = share_component(display, short_names[code])
        else:
            agrees = display.casefold() in ccda_names[code]
        if not agrees:
            wrong.append((code, display, sorted(long_names[code]), short_names.get(code)))
    assert not wrong
