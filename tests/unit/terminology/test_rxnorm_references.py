"""The RxNorm starter table: its form, and its facts against the RxTerms files.

The form is always checked. The facts are checked again whenever the reference
files are present: they are not part of this repository, so those tests are
skipped without them.
"""

from __future__ import annotations

import csv
import os
import re
from collections import defaultdict
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
TABLE = REPOSITORY / "mappings" / "starter" / "rxnorm.csv"
HEADER = ["code", "kind", "display", "mention", "names", "brands", "ingredients"]

# RxTerms lists the salts of penicillin only, and no Echinacea by itself. These
# ingredients are confirmed by sample documents: (file under the references directory, code, display).
SAMPLE_CONFIRMED = {
    "7984": ("terminology/synthea/module_codes.tsv", "penicillin v"),
    "7980": ("ccda/Documents/Discharge Summary/Discharge_Summary.xml", "penicillin g"),
    "70618": ("ccda/Documents/Consultation Note/Consultation_Note.xml", "penicillin"),
    "10831": ("terminology/synthea/module_codes.tsv", "sulfamethoxazole / trimethoprim"),
    "236121": (
        "ccda/Medications/Withdrawn Patient reported oral medication/"
        "Withdrawn Patient reported oral medication no brand(C-CDA2.1).xml",
        "echinacea angustifolia extract",
    ),
}

# RxTerms lists no combinations (MIN). Each of these was seen with its name in answers of RxNav (the National Library of
# Medicine's service) that public projects keep: code and display, to be changed in both places or in none.
RXNAV_CONFIRMED = {
    "19711": "amoxicillin / clavulanate",
    "74169": "piperacillin / tazobactam",
    "103990": "carbidopa / levodopa",
    "214182": "acetaminophen / hydrocodone",
    "214183": "acetaminophen / oxycodone",
    "214199": "albuterol / ipratropium",
    "214223": "amlodipine / benazepril",
    "214558": "ethinyl estradiol / levonorgestrel",
    "214617": "hydrochlorothiazide / irbesartan",
    "214618": "hydrochlorothiazide / lisinopril",
    "214619": "hydrochlorothiazide / losartan",
    "214626": "hydrochlorothiazide / valsartan",
    "282448": "artemether / lumefantrine",
    "284623": "atovaquone / proguanil",
    "284635": "fluticasone / salmeterol",
    "284640": "lopinavir / ritonavir",
    "352364": "buprenorphine / naloxone",
    "352387": "lovastatin / niacin",
    "404773": "amlodipine / atorvastatin",
    "729717": "metformin / sitagliptin",
    "817579": "acetaminophen / codeine",
    "1043562": "metformin / saxagliptin",
    "1243019": "linagliptin / metformin",
    "1375947": "doxylamine / pyridoxine",
    "1486436": "dapagliflozin / metformin",
    "1545149": "canagliflozin / metformin",
    "1656339": "sacubitril / valsartan",
    "1664314": "empagliflozin / metformin",
    "1799211": "sofosbuvir / velpatasvir",
}


def _references() -> Path:
    """The reference directory, or a skip that says why."""
    configured = os.environ.get("FHIR_CODER_REFERENCES")
    root = Path(configured) if configured else REPOSITORY.parent / "shared" / "data"
    if not (root / "terminology" / "rxterms_202306").is_dir():
        pytest.skip("RxTerms reference files are absent (set FHIR_CODER_REFERENCES)")
    return root


def _split(cell: str) -> list[str]:
    """The values of a cell that holds several."""
    return [part for part in cell.split("|") if part]


def _fold(text: str) -> str:
    """A name reduced to letters and digits, as two spellings are compared."""
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()


def _rows() -> list[dict[str, str]]:
    """All rows of the table."""
    with TABLE.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def _ingredients(root: Path) -> tuple[dict[str, str], dict[str, set[str]]]:
    """RxTerms: the name of every ingredient, and the ingredients of every drug."""
    names: dict[str, str] = {}
    parts: dict[str, set[str]] = defaultdict(set)
    path = root / "terminology" / "rxterms_202306" / "RxTermsIngredients202306.txt"
    for line in path.read_text(encoding="utf-8-sig").splitlines()[1:]:
        drug, name, code = line.split("|")
        names[code] = name
        parts[drug].add(code)
    return names, parts


def _brands(root: Path) -> dict[str, set[frozenset[str]]]:
    """RxTerms: the ingredient sets of every brand that names a branded drug."""
    _, parts = _ingredients(root)
    brands: dict[str, set[frozenset[str]]] = defaultdict(set)
    path = root / "terminology" / "rxterms_202306" / "rxterm_allconcepts.csv"
    with path.open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            match = re.search(r"\[([^\]]+)\]\s*$", row["fullName"])
            if row["termType"] == "SBD" and match and row["rxcui"] in parts:
                brands[_fold(match[1])].add(frozenset(parts[row["rxcui"]]))
    return brands


def test_header_and_kinds() -> None:
    """The columns are the agreed ones and each row is of a known kind."""
    with TABLE.open(encoding="utf-8", newline="") as handle:
        assert next(csv.reader(handle)) == HEADER
    for row in _rows():
        assert row["kind"] in {"ingredient", "combination"}, row
        assert row["mention"] in {"yes", "no"}, row
        assert row["display"], row
        assert row["display"] == row["display"].strip(), row
        assert re.fullmatch(r"\d+", row["code"]) or (row["kind"] == "combination" and row["code"] == ""), row
        assert (len(_split(row["ingredients"])) > 1) == (row["kind"] == "combination"), row


def test_size() -> None:
    """The table covers the usual formulary."""
    kinds = [row["kind"] for row in _rows()]
    assert kinds.count("ingredient") >= 2400
    assert kinds.count("combination") >= 500


def test_codes_are_unique() -> None:
    """No code and no set of ingredients stands in two rows."""
    codes = [row["code"] for row in _rows() if row["code"]]
    sets = [frozenset(_split(row["ingredients"])) for row in _rows() if row["ingredients"]]
    assert len(codes) == len(set(codes))
    assert len(sets) == len(set(sets))


def test_names_are_unambiguous() -> None:
    """No display, name or brand stands in two rows, nor twice in one."""
    owner: dict[str, str] = {}
    for row in _rows():
        display = [row["display"]] if row["mention"] == "yes" else []  # else nobody looks for it
        written = [*display, *_split(row["names"]), *_split(row["brands"])]
        assert len({text.lower() for text in written}) == len(written), row
        for text in written:
            assert text == text.strip(), row
            assert _fold(text), row
            assert owner.setdefault(_fold(text), row["display"]) == row["display"], text


def test_brands_carry_no_strength_or_packaging() -> None:
    """A brand is a name only: no strength, count or pack."""
    pattern = re.compile(r"\b\d+\s?(?:mg|mcg|ml|unt|day|count)\b|\b(?:pack|kit|carton)\b", re.I)
    for row in _rows():
        for brand in _split(row["brands"]):
            assert not pattern.search(brand), (row["display"], brand)


def test_ingredients_match_rxterms() -> None:
    """Every ingredient code has the name that RxTerms gives it."""
    names, _ = _ingredients(_references())
    for row in _rows():
        if row["kind"] != "ingredient" or row["code"] in SAMPLE_CONFIRMED:
            continue
        assert row["code"] in names, row
        if row["mention"] == "no":  # the name of something else, too; the row's other names are looked for
            assert names[row["code"]] == row["display"], row
            assert row["names"], row
            continue
        written = {_fold(text) for text in [row["display"], *_split(row["names"])]}
        assert _fold(names[row["code"]]) in written, row


def test_combinations_match_rxterms() -> None:
    """A combination is made of the ingredients that its display names."""
    names, _ = _ingredients(_references())
    for row in _rows():
        if row["kind"] == "combination":
            expected = " / ".join(names[code] for code in _split(row["ingredients"]))
            assert _fold(row["display"]) == _fold(expected), row
            assert not row["code"] or row["code"] in SAMPLE_CONFIRMED or row["code"] in RXNAV_CONFIRMED, row


def test_codes_that_rxnav_confirmed() -> None:
    """Each has the display that it was confirmed with."""
    shown = {row["code"]: row["display"] for row in _rows()}
    assert {code: shown.get(code) for code in RXNAV_CONFIRMED} == RXNAV_CONFIRMED


@pytest.mark.parametrize("code", sorted(SAMPLE_CONFIRMED))
def test_sample_confirmed_codes(code: str) -> None:
    """The few codes that RxTerms does not list stand in a sample document."""
    file, display = SAMPLE_CONFIRMED[code]
    path = _references() / file
    if not path.is_file():
        pytest.skip(f"sample document absent: {path.name}")
    shown = [row["display"].lower() for row in _rows() if row["code"] == code]
    assert shown == [display]
    text = path.read_text(encoding="utf-8", errors="replace").lower()
    if path.suffix == ".tsv":
        assert f"rxnorm\t{code}\t{display}" in text
    else:
        pattern = rf'<[^>]*code="{code}"[^>]*>'
        tags = re.findall(pattern, text)
        assert any(f'displayname="{display}"' in tag for tag in tags), tags


def test_brands_have_only_this_content() -> None:
    """A brand that RxTerms knows has the ingredients of its row and no others."""
    brands = _brands(_references())
    checked = 0
    for row in _rows():
        # An ingredient row has no ingredients of its own: it is the ingredient.
        expected = frozenset(_split(row["ingredients"]) or [row["code"]])
        for brand in [*_split(row["brands"]), *_split(row["names"])]:
            found = brands.get(_fold(brand))
            if found:
                assert found == {expected}, (row["display"], brand)
                checked += 1
    # A join that went wrong would find nothing and pass.
    assert checked > 1000
