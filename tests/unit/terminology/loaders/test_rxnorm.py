"""RxNorm in RRF: a small release, written here by hand, and what can be wrong with one."""

from __future__ import annotations

import tracemalloc
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.errors import TableError, TerminologyError
from fhir_coder.model import RXNORM
from fhir_coder.terminology.loaders import rxnorm
from fhir_coder.terminology.loaders.rxnorm import is_spoken, load, recognises
from fhir_coder.terminology.release import (
    Broader,
    Concept,
    Drug,
    Fact,
    Import,
    MapRow,
    Name,
    Options,
    Property,
    Release,
)
from fhir_coder.terminology.source import Source


def atom(code: object, tty: str, text: str, suppress: str = "N", sab: str = "RXNORM") -> str:
    return f"{code}|ENG||||||9{code}||{code}||{sab}|{tty}|{code}|{text}||{suppress}|4096|"


def relation(source: object, rela: str, target: object, suppress: str = "", sab: str = "RXNORM") -> str:
    """As the sentence reads; in the file, the target comes first."""
    return f"{target}||CUI|RO|{source}||CUI|{rela}|1||{sab}||||{suppress}|4096|"


def attribute(code: object, name: str, value: str, suppress: str = "N", sab: str = "RXNORM") -> str:
    return f"{code}|||9{code}|AUI|{code}|||{name}|{sab}|{value}|{suppress}|4096|"


def sab(sver: str) -> str:
    return (
        f"C1|C2|RXNORM_{sver}|RXNORM|RxNorm Vocabulary|RXNORM|{sver}|||2024AB||a|b|0||||IN|NDC|ENG|UTF-8|Y|Y|RxNorm|c|"
    )


def archived(code: object, tty: str, text: str, merged: object, sab: str = "RXNORM") -> str:
    return f"9|A1|{text}|2010/01/01|2009/01/01|2009/02/01|{code}||ENG|09AA|||{code}|{sab}|{tty}|{merged}|"


CONSO = [
    atom(83367, "IN", "atorvastatin"),
    atom(83367, "SY", "atorvastatina"),
    atom(83367, "TMSY", "atorvaSTATin"),
    atom(83367, "SY", "ATV", suppress="O"),
    atom(83367, "SU", "ATORVASTATIN", sab="MTHSPL"),
    atom(153165, "BN", "Lipitor"),
    atom(329299, "SCDC", "atorvastatin 20 MG"),
    atom(617318, "PSN", "atorvastatin 20 MG Oral Tablet"),
    atom(617318, "SCD", "atorvastatin 20 MG Oral Tablet"),
    atom(617320, "SBD", "atorvastatin 20 MG Oral Tablet [Lipitor]"),
    atom(317541, "DF", "Oral Tablet"),
    atom(1151133, "DFG", "Pill"),
    atom(6918, "IN", "metoprolol"),
    atom(221124, "PIN", "metoprolol succinate"),
    atom(5487, "IN", "hydrochlorothiazide"),
    atom(214617, "MIN", "hydrochlorothiazide / metoprolol"),
    atom(315437, "SCDC", "metoprolol succinate 0.05 GM"),
    atom(316047, "SCDC", "hydrochlorothiazide 12.5 MG"),
    atom(1234, "SCD", "hydrochlorothiazide 12.5 MG / metoprolol succinate 50 MG Oral Tablet"),
    atom(99, "SCD", "atorvastatin 99 MG Oral Tablet", suppress="E"),
    atom(98, "SCD", "atorvastatin 98 MG Oral Tablet"),
    atom(5, "IN", "former name", suppress="O"),
    atom(5, "IN", "insulin, human"),
    atom(6, "SY", "of nothing"),
    atom(7, "NEWTTY", "of a kind to come"),
]
REL = [
    relation(153165, "tradename_of", 83367),
    relation(83367, "has_tradename", 153165),
    relation(617320, "tradename_of", 617318),
    relation(617320, "has_ingredient", 153165),
    relation(617318, "consists_of", 329299),
    relation(329299, "has_ingredient", 83367),
    relation(617318, "has_dose_form", 317541),
    relation(617320, "has_dose_form", 317541),
    relation(317541, "isa", 1151133),
    relation(221124, "form_of", 6918),
    relation(214617, "has_part", 5487),
    relation(214617, "has_part", 221124),
    relation(1234, "consists_of", 315437),
    relation(1234, "consists_of", 316047),
    relation(1234, "has_dose_form", 317541),
    relation(315437, "has_ingredient", 6918),
    relation(315437, "has_precise_ingredient", 221124),
    relation(316047, "has_ingredient", 5487),
    relation(83367, "isa", 424242),
    relation(83367, "isa", 5, suppress="O"),
    relation("", "isa", ""),
    relation(83367, "isa", 6918, sab="ATC"),
]
SAT = [
    attribute(329299, "RXN_STRENGTH", "20 MG"),
    attribute(617318, "RXN_HUMAN_DRUG", "US"),
    attribute(617318, "NDC", "00071015623"),
    attribute(617318, "DCSA", "3", sab="MTHSPL"),
]
CORE = {"RXNCONSO.RRF": CONSO, "RXNREL.RRF": REL, "RXNSAT.RRF": SAT}
FULL = CORE | {"RXNSAB.RRF": [sab("20AA_250106F")]}


def write(folder: Path, files: Mapping[str, list[str]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in files.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def facts_of(imported: Import) -> list[Fact]:
    pairs = list(imported.facts)
    assert {index for index, _ in pairs} <= {0}
    return [fact for _, fact in pairs]


def read(folder: Path, options: Options | None = None) -> list[Fact]:
    return facts_of(load(Source(folder), options or Options()))


def kept(source: object, relationship: str, target: object) -> MapRow:
    return MapRow(RXNORM, str(source), RXNORM, str(target), relationship, "rxnorm")  # type: ignore[arg-type]


def test_a_release(tmp_path: Path) -> None:
    imported = load(Source(write(tmp_path / "rrf", FULL)), Options())
    assert imported.releases == (Release(system=RXNORM, version="01062025", title="RxNorm, 01062025"),)
    facts = facts_of(imported)
    assert [fact for fact in facts if isinstance(fact, Concept)][:4] == [
        Concept("83367", "atorvastatin", "medication"),
        Concept("153165", "Lipitor", "medication"),
        Concept("329299", "atorvastatin 20 MG", ""),
        Concept("617318", "atorvastatin 20 MG Oral Tablet", "medication"),
    ]
    assert [fact for fact in facts if isinstance(fact, Name) and fact.code in ("83367", "153165", "617318", "5")] == [
        Name("83367", "atorvastatin", "preferred", True),
        Name("83367", "atorvastatina", "synonym", True),
        Name("83367", "atorvaSTATin", "synonym", True),
        Name("153165", "Lipitor", "preferred", True),
        Name("617318", "atorvastatin 20 MG Oral Tablet", "synonym", False),
        Name("617318", "atorvastatin 20 MG Oral Tablet", "preferred", False),
        Name("5", "insulin, human", "preferred", False),
    ]
    assert {fact for fact in facts if isinstance(fact, MapRow)} == {
        kept(153165, "tradename-of", 83367),
        kept(617320, "tradename-of", 617318),
        kept(221124, "wider", 6918),
        kept(221124, "has-ingredient", 6918),
        kept(214617, "has-ingredient", 5487),
        kept(214617, "has-ingredient", 6918),
        kept(617318, "has-ingredient", 83367),
        kept(617320, "has-ingredient", 83367),
        kept(1234, "has-ingredient", 5487),
        kept(1234, "has-ingredient", 6918),
    }
    assert {fact for fact in facts if isinstance(fact, Drug)} == {
        Drug("617318", "83367", "20 mg", "oral tablet"),
        Drug("617320", "83367", "20 mg", "oral tablet", "153165"),
        Drug("1234", "5487/6918", "12.5 mg/50 mg", "oral tablet"),
    }
    assert [fact for fact in facts if isinstance(fact, Broader)] == [Broader("317541", "1151133")]
    assert {fact for fact in facts if isinstance(fact, Property) and fact.name != "TTY"} == {
        Property("329299", "RXN_STRENGTH", "20 MG"),
        Property("617318", "RXN_HUMAN_DRUG", "US"),
        Property("617318", "has_doseformgroup", "pill"),
        Property("617320", "has_doseformgroup", "pill"),
        Property("1234", "has_doseformgroup", "pill"),
        Property("1234", "has_precise_ingredient", "221124"),
    }
    assert Property("153165", "TTY", "BN") in facts
    assert imported.skipped == {
        "RXNCONSO.RRF: rows of other sources than RXNORM": 1,
        "RXNREL.RRF: rows of other sources than RXNORM": 1,
        "RXNSAT.RRF: rows of other sources than RXNORM": 1,
        "names of the term type NEWTTY, which is unknown": 1,
        "synonyms of codes that have no name of their own": 1,
        "synonyms that are suppressed or obsolete": 2,
        "relationships of codes that have no name": 1,
        "relationships that are suppressed or obsolete": 1,
        "attributes that are not kept (NDC, ORIG_CODE, ...)": 1,
        "retired drugs: not offered by ingredient and strength": 1,
        "drugs without ingredients: not offered by ingredient and strength": 1,
    }


def test_what_is_suppressed_is_retired_and_what_is_in_use_wins(tmp_path: Path) -> None:
    concepts = {fact.code: fact for fact in read(write(tmp_path, FULL)) if isinstance(fact, Concept)}
    assert concepts["99"] == Concept("99", "atorvastatin 99 MG Oral Tablet", "medication", "retired")
    assert concepts["5"] == Concept("5", "insulin, human", "medication")
    for letter in "OYE":
        retired = CORE | {"RXNCONSO.RRF": [atom(1, "IN", "gone", letter), atom(1, "SY", "lost")]}
        facts = read(write(tmp_path / letter, retired), Options(version="x"))
        assert [fact for fact in facts if isinstance(fact, Concept | Name)] == [
            Concept("1", "gone", "medication", "retired"),
            Name("1", "gone", "preferred", False),
            Name("1", "lost", "synonym", False),
        ]


def test_drugs_that_say_too_little(tmp_path: Path) -> None:
    files = CORE | {
        "RXNCONSO.RRF": [
            *CONSO[:12],
            atom(97, "SCDC", "atorvastatin some"),
            atom(96, "SCD", "atorvastatin some Tablet"),
        ],
        "RXNREL.RRF": [
            *[line for line in REL if "|has_dose_form|" not in line],
            relation(97, "has_ingredient", 83367),
            relation(96, "consists_of", 97),
        ],
        "RXNSAT.RRF": [attribute(97, "RXN_STRENGTH", "some")],
    }
    imported = load(Source(write(tmp_path, files)), Options(version="x"))
    assert not [fact for fact in facts_of(imported) if isinstance(fact, Drug)]
    assert imported.skipped["drugs without a dose form: not offered by ingredient and strength"] == 2
    assert imported.skipped["drugs without a strength that can be read: not offered by ingredient and strength"] == 1


def test_retired_codes_and_their_successors(tmp_path: Path) -> None:
    files = FULL | {
        "RXNATOMARCHIVE.RRF": [
            archived(11, "IN", "old atorvastatin", 83367),
            archived(11, "SY", "older atorvastatin", 83367),
            archived(12, "SCD", "split drug", 617318),
            archived(12, "SCD", "split drug 2", 1234),
            archived(13, "IN", "ended", 13),
            archived(83367, "IN", "still there", 6918),
            archived(14, "IN", "another source", 83367, sab="VANDF"),
        ],
        "RXNCUI.RRF": [
            "11|RXNORM_09AA_090706F|RXNORM_09AA_090706F|1|9999|",
            "15|RXNORM_09AA_090706F|RXNORM_09AA_090706F|1|6918|",
            "16|RXNORM_09AA_090706F|RXNORM_09AA_090706F|2|6918|",
            "16|RXNORM_09AA_090706F|RXNORM_09AA_090706F|2|5487|",
            "17|RXNORM_09AA_090706F|RXNORM_09AA_090706F|1|17|",
            "83367|RXNORM_09AA_090706F|RXNORM_09AA_090706F|1|6918|",
        ],
    }
    imported = load(Source(write(tmp_path, files)), Options())
    facts = facts_of(imported)
    assert [fact for fact in facts if isinstance(fact, Concept)][-3:] == [
        Concept("11", "old atorvastatin", "medication", "retired"),
        Concept("12", "split drug", "medication", "retired"),
        Concept("13", "ended", "medication", "retired"),
    ]
    assert [fact for fact in facts if isinstance(fact, MapRow) and fact.relationship == "replaced-by"] == [
        kept(11, "replaced-by", 83367),
        kept(15, "replaced-by", 6918),
    ]
    assert imported.skipped["retired codes that became several"] == 2


def test_the_zip_of_the_full_release_holds_the_prescribable_content_too(tmp_path: Path) -> None:
    place = tmp_path / "RxNorm_full_01062025.zip"
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, lines in CORE.items():
            archive.writestr(f"prescribe/rrf/{name}", "wrong\n")
            archive.writestr(f"rrf/{name}", "\n".join(lines) + "\n")
    source = Source(place)
    assert recognises(source)
    imported = load(source, Options())
    assert imported.releases[0] == Release(system=RXNORM, version="01062025", title="RxNorm, 01062025")
    assert facts_of(imported) == read(write(tmp_path / "rrf", CORE), Options(version="any"))
    source.close()


@pytest.mark.parametrize("name", ["rxnorm_full_PRESCRIBE_09022024", "data/Readme_Full_Prescribe_09022024.txt"])
def test_the_prescribable_content_has_its_date_in_a_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name.partition("/")[0]
    write(folder / "prescribe", CORE)
    if "/" in name:
        (tmp_path / name).write_text("readme")
    (release,) = load(Source(folder), Options()).releases
    assert release == Release(system=RXNORM, version="09022024", title="RxNorm, prescribable content, 09022024")


def test_the_version_that_is_given_wins(tmp_path: Path) -> None:
    (release,) = load(Source(write(tmp_path, FULL)), Options(version="2025")).releases
    assert release.version == "2025"


def test_a_byte_order_mark_and_blank_lines(tmp_path: Path) -> None:
    write(tmp_path, FULL)
    conso = tmp_path / "RXNCONSO.RRF"
    conso.write_bytes(b"\xef\xbb\xbf" + conso.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert Concept("83367", "atorvastatin", "medication") in read(tmp_path)


def test_other_files_are_not_claimed(tmp_path: Path) -> None:
    for name in ("MRCONSO.RRF", "RxTerms202306.txt", "RXNDOC.RRF"):
        (tmp_path / name).write_text("")
    assert not recognises(Source(tmp_path))


def _cut(lines: list[str], number: int, by: int) -> list[str]:
    return [line[:-by] if place == number else line for place, line in enumerate(lines, 1)]


FAULTS: dict[str, tuple[Mapping[str, list[str]], str]] = {
    "name cut off": (
        FULL | {"RXNCONSO.RRF": _cut(CONSO, 25, 8)},
        r"RXNCONSO\.RRF, line 25: 15 columns .* instead of 18; is the file cut off\?",
    ),
    "column too many": (
        FULL | {"RXNREL.RRF": [*REL[:3], REL[3] + "|", *REL[4:]]},
        r"RXNREL\.RRF, line 4: 17 columns .* instead of 16",
    ),
    "line of another source cut off": (
        FULL | {"RXNSAT.RRF": _cut(SAT, 4, 1)},
        r"RXNSAT\.RRF, line 4: 12 columns .* instead of 13",
    ),
    "code of the UMLS": (
        FULL | {"RXNCONSO.RRF": [atom("C0286651", "IN", "atorvastatin")]},
        r"RXNCONSO\.RRF, line 1, column RXCUI: 'C0286651' is no RXCUI",
    ),
    "suppress": (
        FULL | {"RXNCONSO.RRF": [CONSO[0], atom(2, "IN", "x", suppress="X")]},
        r"RXNCONSO\.RRF, line 2, column SUPPRESS: 'X' is none of N, O, Y, E",
    ),
    "empty name": (
        FULL | {"RXNCONSO.RRF": [CONSO[0], atom(2, "IN", " ")]},
        r"RXNCONSO\.RRF, line 2, column STR: the name is empty",
    ),
    "code in a relationship": (
        FULL | {"RXNREL.RRF": [relation("x1", "isa", 5)]},
        r"RXNREL\.RRF, line 1, column RXCUI2: 'x1' is no RXCUI",
    ),
    "code in an attribute": (
        FULL | {"RXNSAT.RRF": [attribute("", "RXN_STRENGTH", "5 MG")]},
        r"RXNSAT\.RRF, line 1, column RXCUI: '' is no RXCUI",
    ),
    "other sources only": (
        FULL | {"RXNCONSO.RRF": [atom(2, "IN", "x", sab="MTHSPL")]},
        r"RXNCONSO\.RRF: there are no names of the source RXNORM",
    ),
    "empty": (FULL | {"RXNCONSO.RRF": []}, r"RXNCONSO\.RRF: there are no names of the source RXNORM"),
    "archive": (
        FULL | {"RXNATOMARCHIVE.RRF": [archived(1, "IN", "x", "none")]},
        r"RXNATOMARCHIVE\.RRF, line 1, column MERGED_TO_RXCUI: 'none' is no RXCUI",
    ),
    "successors": (
        FULL | {"RXNCUI.RRF": ["11|a|b|1|12|", "13|a|b|1"]},
        r"RXNCUI\.RRF, line 2: 3 columns instead of 5",
    ),
    "version": (
        CORE | {"RXNSAB.RRF": [sab("20AA_251306F")]},
        r"RXNSAB\.RRF, line 1, column SVER: '20AA_251306F' is no version",
    ),
    "no version": (CORE, r"RXNCONSO\.RRF: the date of the release stands nowhere: give it with --version"),
    "no relationships": (
        {name: lines for name, lines in FULL.items() if name != "RXNREL.RRF"},
        r"RXNCONSO\.RRF: RXNREL\.RRF is missing beside it: import the whole folder",
    ),
    "no names": (
        {name: lines for name, lines in FULL.items() if name != "RXNCONSO.RRF"},
        r"RXNCONSO\.RRF is missing: import the whole folder",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_with_its_place(tmp_path: Path, name: str) -> None:
    files, message = FAULTS[name]
    with pytest.raises(TerminologyError, match=message):
        read(write(tmp_path, files))


def _latin(folder: Path) -> None:
    (folder / "RXNCONSO.RRF").write_bytes(f"{CONSO[0]}\n{atom(2, 'IN', 'bétahistine')}\n".encode("latin-1"))


def _second(folder: Path) -> None:
    write(folder / "other", CORE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_latin, r"RXNCONSO\.RRF, line 2, column \d+: the byte 0xE9 is not UTF-8"),
        (_second, r"other/RXNCONSO\.RRF: here is a second release beside RXNCONSO\.RRF"),
    ],
)
def test_a_wrong_folder(tmp_path: Path, change: Callable[[Path], None], message: str) -> None:
    change(write(tmp_path, FULL))
    with pytest.raises(TerminologyError, match=message):
        read(tmp_path)


def test_a_weekly_update_is_no_release(tmp_path: Path) -> None:
    with pytest.raises(TerminologyError, match="weekly update, which holds only what changed"):
        read(write(tmp_path / "RxNorm_weekly_01152025", FULL))


def test_one_file_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(TerminologyError, match=r"RXNREL\.RRF is missing"):
        read(write(tmp_path, FULL) / "RXNCONSO.RRF")


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Lipitor", True),
        ("insulin, human", False),
        ("estrogens (USP)", False),
        ("a b c d e f", True),
        ("a b c d e f g", False),
    ],
)
def test_what_is_spoken(text: str, spoken: bool) -> None:
    assert is_spoken(text) is spoken


def test_the_table_of_term_types_says_what_a_note_may_mean() -> None:
    table = rxnorm.term_types()
    assert {tty for tty, row in table.items() if row["mention"] == "yes" and row["role"] == "concept"} == {
        "IN", "PIN", "MIN", "BN",
    }  # fmt: skip
    assert {tty for tty, row in table.items() if row["role"] == "synonym"} == {"SY", "TMSY", "PSN", "ET"}


_SEVERAL = st.lists(
    st.tuples(st.integers(1, 10**7), st.integers(1, 9999)), min_size=1, max_size=5, unique_by=lambda part: part[0]
)


@given(_SEVERAL)
def test_strengths_stand_in_the_order_of_the_ingredients(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[int, int]]
) -> None:
    conso = [atom(10**8, "SCD", "drug"), atom(10**8 + 1, "DF", "Oral Tablet")]
    rel = [relation(10**8, "has_dose_form", 10**8 + 1)]
    for place, (code, amount) in enumerate(parts):
        component = 2 * 10**8 + place
        conso += [atom(code, "IN", f"i{code}"), atom(component, "SCDC", f"i{code} {amount} MG")]
        rel += [relation(10**8, "consists_of", component), relation(component, "has_ingredient", code)]
    folder = tmp_path_factory.mktemp("rrf")
    facts = read(write(folder, CORE | {"RXNCONSO.RRF": conso, "RXNREL.RRF": rel}), Options(version="x"))
    (drug,) = [fact for fact in facts if isinstance(fact, Drug)]
    codes, strengths = zip(*sorted(parts), strict=True)
    assert drug.ingredients == "/".join(map(str, codes))
    assert drug.strengths == "/".join(f"{amount} mg" for amount in strengths)


def test_facts_are_made_while_they_are_read(tmp_path: Path) -> None:
    folder = write(tmp_path, FULL | {"RXNSAT.RRF": ["wrong"]})
    facts = iter(load(Source(folder), Options()).facts)
    assert next(facts) == (0, Concept("83367", "atorvastatin", "medication"))
    with pytest.raises(TerminologyError, match=r"RXNSAT\.RRF, line 1: 0 columns"):
        list(facts)


def test_rows_of_other_sources_are_not_held(tmp_path: Path) -> None:
    many = [attribute(617318, "LABELER", f"maker {number} " + "x" * 80, sab="MTHSPL") for number in range(60_000)]
    folder = write(tmp_path, FULL | {"RXNSAT.RRF": many})
    assert (folder / "RXNSAT.RRF").stat().st_size > 8_000_000
    facts = load(Source(folder), Options()).facts
    tracemalloc.start()
    try:
        for _ in facts:
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6_000_000  # a block of 1 MB, decoded and split


@pytest.mark.parametrize("wrong", [{"role": "x"}, {"type": "drug"}, {"mention": "maybe"}])
def test_a_table_that_says_what_cannot_be(monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str]) -> None:
    row = {"tty": "IN", "name": "Ingredient", "role": "concept", "type": "medication", "mention": "yes"} | wrong
    monkeypatch.setattr(rxnorm, "read_table", lambda *_: [row])
    with pytest.raises(TableError, match=r"rxnorm_ttys\.csv: IN: the role, type or mention is unknown"):
        rxnorm.term_types.__wrapped__()
