"""RxTerms: a small release, written here by hand, what can be wrong with one, and the true file where it is."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.errors import TerminologyError
from fhir_coder.model import RXNORM
from fhir_coder.terminology.loaders.rxterms import _strengths, load, recognises
from fhir_coder.terminology.release import Concept, Drug, Fact, Import, MapRow, Name, Options, Property, Release
from fhir_coder.terminology.source import Source

HEADER = (
    "RXCUI|GENERIC_RXCUI|TTY|FULL_NAME|RXN_DOSE_FORM|FULL_GENERIC_NAME|BRAND_NAME|DISPLAY_NAME|ROUTE|NEW_DOSE_FORM|"
    "STRENGTH|SUPPRESS_FOR|DISPLAY_NAME_SYNONYM|IS_RETIRED|SXDG_RXCUI|SXDG_TTY|SXDG_NAME|PSN"
)


def drug(
    code: object, tty: str, name: str, *, generic: object = "", brand: str = "", synonym: str = "", retired: str = "",
    suppress: str = "", psn: str = "", form: str = "Oral Tablet",
) -> str:  # fmt: skip
    full = f"{name} [{brand.title()}]" if brand else name
    return (
        f"{code}|{generic}|{tty}|{full}|{form}|{name}|{brand}|shown (Oral Pill)|Oral Pill|Tab|20 mg|{suppress}|"
        f"{synonym}|{retired}||||{psn}"
    )


DRUGS = [
    HEADER,
    drug(617318, "SCD", "atorvastatin 20 MG Oral Tablet", psn="atorvastatin 20 MG Oral Tablet (PSN)"),
    drug(617320, "SBD", "atorvastatin 20 MG Oral Tablet", generic=617318, brand="LIPITOR"),
    drug(197770, "SCD", "hydrochlorothiazide 50 MG Oral Tablet", synonym="HCTZ"),
    drug(
        999996, "SCD", "amlodipine 5 MG / hydrochlorothiazide 12.5 MG / olmesartan medoxomil 40 MG Oral Tablet",
        synonym="HCTZ", suppress="LONG",
    ),
    drug(
        1000000, "SBD", "amlodipine 5 MG / hydrochlorothiazide 12.5 MG / olmesartan medoxomil 40 MG Oral Tablet",
        generic=999996, brand="TRIBENZOR",
    ),
    drug(77, "SCD", "atorvastatin 5 MG Oral Tablet", retired="TRUE"),
    drug(78, "SCD", "atorvastatin Oral Tablet"),
    drug(79, "BPCK", "{6 (x 250 MG Oral Tablet) } Pack", brand="Z-PAK", form="Pack"),
    drug(80, "FUTURE", "x"),
]  # fmt: skip
INGREDIENTS = [
    "RXCUI|INGREDIENT|ING_RXCUI",
    *[f"{code}|atorvastatin|83367" for code in (617318, 617320, 77, 78)],
    "197770|hydrochlorothiazide|5487",
    *[
        f"{code}|{name}"
        for code in (999996, 1000000)
        for name in ("hydrochlorothiazide|5487", "amlodipine|17767", "olmesartan|321064")
    ],
]


def write(
    folder: Path, *, month: str = "202306", drugs: list[str] | None = None, parts: list[str] | None = None
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in (
        ("", DRUGS if drugs is None else drugs),
        ("Ingredients", INGREDIENTS if parts is None else parts),
    ):
        if lines:
            (folder / f"RxTerms{name}{month}.txt").write_bytes("\r\n".join([*lines, ""]).encode())
    return folder


def facts_of(imported: Import) -> list[Fact]:
    return [fact for _, fact in imported.facts]


def read(folder: Path) -> list[Fact]:
    return facts_of(load(Source(folder), Options()))


def test_a_release(tmp_path: Path) -> None:
    imported = load(Source(write(tmp_path)), Options())
    assert imported.releases == (Release(system=RXNORM, version="2023-06", title="RxTerms (RxNorm) 2023-06"),)
    facts = facts_of(imported)
    concepts = [fact for fact in facts if isinstance(fact, Concept)]
    assert concepts[:5] == [
        Concept("83367", "atorvastatin", "medication"),
        Concept("5487", "hydrochlorothiazide", "medication"),
        Concept("17767", "amlodipine", "medication"),
        Concept("321064", "olmesartan", "medication"),
        Concept("617318", "atorvastatin 20 MG Oral Tablet", "medication"),
    ]
    assert Concept("77", "atorvastatin 5 MG Oral Tablet", "medication", "retired") in concepts
    assert [
        fact for fact in facts if isinstance(fact, Name) and fact.code in ("83367", "5487", "617318", "1000000")
    ] == [
        Name("83367", "atorvastatin", "preferred", True),
        Name("5487", "hydrochlorothiazide", "preferred", True),
        Name("617318", "atorvastatin 20 MG Oral Tablet", "preferred", False),
        Name("617318", "atorvastatin 20 MG Oral Tablet (PSN)", "synonym", False),
        Name(
            "1000000",
            "amlodipine 5 MG / hydrochlorothiazide 12.5 MG / olmesartan medoxomil 40 MG Oral Tablet [Tribenzor]",
            "preferred",
            False,
        ),
        Name("83367", "Lipitor", "brand", True),
        Name("5487", "HCTZ", "synonym", True),
    ]
    assert [fact for fact in facts if isinstance(fact, Drug)] == [
        Drug("617318", "83367", "20 mg", "oral tablet"),
        Drug("617320", "83367", "20 mg", "oral tablet"),
        Drug("197770", "5487", "50 mg", "oral tablet"),
        Drug("999996", "5487/17767/321064", "12.5 mg/5 mg/40 mg", "oral tablet"),
        Drug("1000000", "5487/17767/321064", "12.5 mg/5 mg/40 mg", "oral tablet"),
    ]
    maps = [fact for fact in facts if isinstance(fact, MapRow)]
    assert MapRow(RXNORM, "617320", RXNORM, "617318", "tradename-of", "rxterms") in maps
    assert MapRow(RXNORM, "999996", RXNORM, "17767", "has-ingredient", "rxterms") in maps
    assert len(maps) == 2 + len(INGREDIENTS) - 1
    assert Property("999996", "SUPPRESS_FOR", "LONG") in facts
    assert Property("617318", "TTY", "SCD") in facts
    assert imported.skipped == {
        "drugs of the term type FUTURE, which is unknown": 1,
        "retired drugs: not offered by ingredient and strength": 1,
        "drugs whose strengths cannot be told: not offered by ingredient and strength": 1,
        "synonyms that stand with a combination, not with an ingredient": 1,
        "names of combinations, for which RxTerms has no code": 1,
        "names of drugs without ingredients": 1,
    }


def test_a_zip_and_an_older_edition(tmp_path: Path) -> None:
    place = tmp_path / "RxTerms202306.zip"
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("RxTerms202306.txt", "\n".join(line.rsplit("|", 4)[0] for line in DRUGS))
        archive.writestr("RxTermsIngredients202306.txt", "\n".join(INGREDIENTS))
        archive.writestr("RxTermsArchive202306.txt", "not read")
    source = Source(place)
    assert recognises(source)
    of_zip, of_folder = facts_of(load(source, Options())), read(write(tmp_path / "folder"))
    assert set(of_folder) - set(of_zip) == {Name("617318", "atorvastatin 20 MG Oral Tablet (PSN)", "synonym", False)}
    source.close()


def test_the_ingredients_alone(tmp_path: Path) -> None:
    imported = load(Source(write(tmp_path, drugs=[])), Options(version="mine"))
    assert imported.releases[0] == Release(
        system=RXNORM, version="mine", title="RxTerms (RxNorm) mine, ingredients only"
    )
    facts = facts_of(imported)
    assert len([fact for fact in facts if isinstance(fact, Concept)]) == 4
    assert not [fact for fact in facts if isinstance(fact, Drug)]
    assert list(imported.skipped.values()) == [7]


def test_an_ingredient_with_two_names(tmp_path: Path) -> None:
    facts = read(write(tmp_path, drugs=[], parts=[INGREDIENTS[0], "1|iron|90176", "2|ferrum|90176", "2|iron|90176"]))
    assert [fact for fact in facts if isinstance(fact, Name)] == [
        Name("90176", "iron", "preferred", True),
        Name("90176", "ferrum", "synonym", True),
    ]


@pytest.mark.parametrize(
    ("drugs", "parts", "message"),
    [
        ([*DRUGS[:2], DRUGS[2][:20]], INGREDIENTS, r"RxTerms202306\.txt, line 3: 4 columns instead of 18"),
        ([*DRUGS[:2], "", DRUGS[2] + "|x"], INGREDIENTS, r"RxTerms202306\.txt, line 4: 19 columns instead of 18"),
        (["RXCUI|TTY"], INGREDIENTS, r"RxTerms202306\.txt, line 1: the column GENERIC_RXCUI is missing"),
        ([HEADER, drug("A1", "SCD", "x")], INGREDIENTS, r"RxTerms202306\.txt, line 2, column RXCUI: 'A1' is no RXCUI"),
        (
            [HEADER, drug(1, "SCD", " ")],
            INGREDIENTS,
            r"RxTerms202306\.txt, line 2, column FULL_NAME: the name is empty",
        ),
        (
            [HEADER, drug(1, "SBD", "x", generic="y")],
            INGREDIENTS,
            r"RxTerms202306\.txt, line 2, column GENERIC_RXCUI: 'y' is no RXCUI",
        ),
        (DRUGS, [*INGREDIENTS[:2], "617320|ator"], r"RxTermsIngredients202306\.txt, line 3: 2 columns instead of 3"),
        (DRUGS, INGREDIENTS[1:], r"RxTermsIngredients202306\.txt, line 1: the columns are not RXCUI, INGREDIENT"),
        (DRUGS, [INGREDIENTS[0], "1|x|y"], r"Ingredients202306\.txt, line 2, column ING_RXCUI: 'y' is no RXCUI"),
        (DRUGS, [INGREDIENTS[0], "1| |2"], r"Ingredients202306\.txt, line 2, column INGREDIENT: the name is empty"),
        (DRUGS, INGREDIENTS[:1], r"RxTermsIngredients202306\.txt: there are no ingredients; is the file cut off\?"),
        ([], [], r"there is no RxTermsYYYYMM\.txt"),
        (DRUGS, [], r"RxTerms202306\.txt: RxTermsIngredientsYYYYMM\.txt is missing beside it"),
    ],
)
def test_a_fault_is_told_with_its_place(tmp_path: Path, drugs: list[str], parts: list[str], message: str) -> None:
    with pytest.raises(TerminologyError, match=message):
        read(write(tmp_path, drugs=drugs, parts=parts))


def test_another_encoding(tmp_path: Path) -> None:
    (write(tmp_path) / "RxTermsIngredients202306.txt").write_bytes(
        f"{INGREDIENTS[0]}\n1|bétahistine|2\n".encode("latin-1")
    )
    with pytest.raises(TerminologyError, match=r"Ingredients202306\.txt, line 2, column 4: the byte 0xE9 is not UTF-8"):
        read(tmp_path)


def test_files_of_two_months(tmp_path: Path) -> None:
    write(tmp_path, parts=[])
    write(tmp_path, month="202307", drugs=[])
    with pytest.raises(TerminologyError, match=r"Ingredients202307\.txt: this is of another month than RxTerms202306"):
        read(tmp_path)
    write(tmp_path)
    with pytest.raises(TerminologyError, match=r"Ingredients202307\.txt: here is a second release beside"):
        read(tmp_path)


@pytest.mark.parametrize("month", ["2023", "202313"])
def test_a_name_without_a_month(tmp_path: Path, month: str) -> None:
    with pytest.raises(TerminologyError, match=r"the name states no month .*: give the version with --version"):
        read(write(tmp_path, month=month))


def test_other_files_are_not_claimed(tmp_path: Path) -> None:
    for name in ("RXNCONSO.RRF", "rxterm_allconcepts.csv", "RxTermsArchive202306.txt"):
        (tmp_path / name).write_text("")
    assert not recognises(Source(tmp_path))


@pytest.mark.parametrize(
    ("name", "form", "made_of", "strengths"),
    [
        # Two parts of one ingredient, and the name of a salt.
        (
            "amphetamine aspartate 1.25 MG / amphetamine sulfate 1.5 MG / dextroamphetamine sulfate 2 MG Oral Capsule",
            "Oral Capsule",
            {725: "amphetamine", 3288: "dextroamphetamine"},
            [(725, "1.25 mg"), (725, "1.5 mg"), (3288, "2 mg")],
        ),
        # A part that is called otherwise, but is the only one.
        ("vitamin X 5 MG / zinc 1 MG Gel", "Gel", {1: "ascorbate", 2: "zinc"}, [(1, "5 mg"), (2, "1 mg")]),
        # Two of them: no guess.
        ("vitamin X 5 MG / vitamin Y 1 MG Gel", "Gel", {1: "ascorbate", 2: "zinc"}, []),
        (
            "0.4 ML enoxaparin sodium 100 MG/ML Prefilled Syringe",
            "Prefilled Syringe",
            {67108: "x"},
            [(67108, "100 mg/ml")],
        ),
        ("zinc 1 MG Gel", "Gel", {}, []),
    ],
)
def test_whose_strength_is_which(
    name: str, form: str, made_of: dict[int, str], strengths: list[tuple[int, str]]
) -> None:
    assert _strengths(name, form, made_of) == strengths


_PARTS = st.dictionaries(
    st.integers(1, 10**7),
    st.tuples(st.text("abcdefg", min_size=3, max_size=9), st.integers(1, 9999)),
    min_size=1,
    max_size=4,
).filter(lambda parts: len({name for name, _ in parts.values()}) == len(parts))


@given(_PARTS, st.randoms())
def test_each_strength_goes_to_its_ingredient_in_any_order(parts: dict[int, tuple[str, int]], random: object) -> None:
    written = [f"{name} {amount} MG" for name, amount in parts.values()]
    random.shuffle(written)  # type: ignore[attr-defined]
    made_of = {code: name for code, (name, _) in parts.items()}
    expected = sorted((code, f"{amount} mg") for code, (_, amount) in parts.items())
    assert _strengths(f"{' / '.join(written)} Oral Tablet", "Oral Tablet", made_of) == expected


def test_the_true_file_of_ingredients() -> None:
    configured = os.environ.get("FHIR_CODER_REFERENCES")
    root = Path(configured) if configured else Path(__file__).resolve().parents[4].parent / "shared" / "data"
    place = root / "terminology" / "rxterms_202306"
    if not place.is_dir():
        pytest.skip("RxTerms reference files are absent (set FHIR_CODER_REFERENCES)")
    source = Source(place)
    assert recognises(source)
    imported = load(source, Options())
    assert imported.releases[0].version == "2023-06"
    facts = facts_of(imported)
    concepts = {fact.code: fact for fact in facts if isinstance(fact, Concept)}
    assert concepts["83367"] == Concept("83367", "atorvastatin", "medication")
    assert len(concepts) == 2416
    assert sum(isinstance(fact, MapRow) for fact in facts) == 28_749
