"""UMLS: a small MRCONSO.RRF, written here by hand, and what can be wrong with one."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.errors import TerminologyError
from fhir_coder.model import HPO, ICD10CM, LOINC, RXNORM, SNOMED
from fhir_coder.terminology.importer import store
from fhir_coder.terminology.loaders import umls
from fhir_coder.terminology.release import Fact, Import, MapRow, Name, Options
from fhir_coder.terminology.source import Source
from fhir_coder.terminology.stored_release import StoredRelease


def atom(
    cui: str, sab: str, tty: str, code: str, text: str, *, lat: str = "ENG", srl: str = "0", suppress: str = "N"
) -> str:
    number = cui[1:]
    return (
        f"{cui}|{lat}|P|L{number}|PF|S{number}|Y|A{number}||||{sab}|{tty}|{code}|{text}|{srl}|{suppress}|256|"
    )  # fmt: skip


ASTHMA = [
    atom("C0004096", "SNOMEDCT_US", "PT", "195967001", "Asthma", srl="9"),
    atom("C0004096", "SNOMEDCT_US", "FN", "195967001", "Asthma (disorder)", srl="9"),
    atom("C0004096", "MSH", "ET", "D001249", "Bronchial Asthma"),
    atom("C0004096", "MSHGER", "MH", "D001249", "Asthma bronchiale", lat="GER", srl="3"),
    atom("C0004096", "CHV", "SY", "0000000972", "asthmatic disease", suppress="O"),
    atom("C0004096", "MDR", "LLT", "10003553", "Asthma NOS aggravated", srl="3"),
    atom("C0004096", "HPO", "PT", "HP:0002099", "Asthma"),
]
ASPIRIN = [
    atom("C0004057", "RXNORM", "IN", "1191", "aspirin"),
    atom("C0004057", "MTH", "PN", "NOCODE", "aspirin"),
    atom("C0004057", "MSH", "ET", "D001241", "ASA"),
    atom("C0004057", "MSH", "ET", "D001241", "Acid, Acetylsalicylic"),
]
NOTHING = [atom("C0004999", "MSH", "MH", "D000000", "Something else")]


def release(folder: Path, lines: list[str] | None = None, *, name: str = "2026AA/META") -> Path:
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    chosen = [*ASPIRIN, *ASTHMA, *NOTHING] if lines is None else lines
    (place / "MRCONSO.RRF").write_bytes("".join(f"{line}\n" for line in chosen).encode())
    return place


def facts_of(imported: Import) -> list[tuple[str, Fact]]:
    return [(imported.releases[index].system, fact) for index, fact in imported.facts]


def read(path: Path, options: Options | None = None) -> list[tuple[str, Fact]]:
    return facts_of(umls.load(Source(path), options or Options()))


def test_a_release(tmp_path: Path) -> None:
    imported = umls.load(Source(release(tmp_path)), Options())
    assert {(each.version, each.kind) for each in imported.releases} == {("2026AA", "supplement"), ("2026AA", "map")}
    assert facts_of(imported) == [
        (RXNORM, Name("1191", "aspirin", "synonym", True)),
        (RXNORM, Name("1191", "ASA", "synonym", False)),
        (RXNORM, Name("1191", "Acid, Acetylsalicylic", "synonym", False)),
        (SNOMED, Name("195967001", "Asthma", "synonym", True)),
        (SNOMED, Name("195967001", "Asthma (disorder)", "synonym", False)),
        (SNOMED, Name("195967001", "Bronchial Asthma", "synonym", True)),
        (HPO, Name("HP:0002099", "Asthma", "synonym", True)),
        (HPO, Name("HP:0002099", "Asthma (disorder)", "synonym", False)),
        (HPO, Name("HP:0002099", "Bronchial Asthma", "synonym", True)),
        (
            "http://www.nlm.nih.gov/research/umls",
            MapRow(SNOMED, "195967001", HPO, "HP:0002099", "equivalent", "umls 2026AA", derived=True),
        ),
    ]
    assert imported.skipped == Counter(
        {
            "names in other languages": 1,
            "suppressed or obsolete names": 1,
            "names that may not be used to code records of patients (SRL 2 and 3)": 1,
        }
    )


def test_a_release_as_it_is_stored(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    stored = store(
        umls.load(Source(release(tmp_path)), Options()), tmp_path / "out", lambda *_: None
    )  # the releases of which nothing was found are left out
    assert [each.release.title for each in stored] == [
        "UMLS synonyms for snomed",
        "UMLS synonyms for rxnorm",
        "UMLS synonyms for hpo",
        "UMLS cross-references",
    ]
    snomed = StoredRelease(stored[0].folder)
    assert [row.code for row in snomed.names("bronchial asthma")] == ["195967001"]
    snomed.close()


def test_maps_go_from_the_same_system_whatever_the_order_of_the_rows(tmp_path: Path) -> None:
    icd10cm = atom("C0004096", "ICD10CM", "PT", "J45", "Asthma")
    for lines in ([icd10cm, ASTHMA[0]], [ASTHMA[0], icd10cm]):
        rows = [fact for _, fact in read(release(tmp_path, lines)) if isinstance(fact, MapRow)]
        assert [(row.source_system, row.target_system) for row in rows] == [(SNOMED, ICD10CM)]


def test_codes_of_one_system_that_share_a_concept_are_not_mapped(tmp_path: Path) -> None:
    other = atom("C0004096", "SNOMEDCT_US", "PT", "233681001", "Extrinsic asthma")
    facts = read(release(tmp_path, [ASTHMA[0], other]))
    assert not [fact for _, fact in facts if isinstance(fact, MapRow)]
    assert len(facts) == 4  # both names for both codes


def test_what_is_looked_for_in_notes(tmp_path: Path) -> None:
    texts = {
        "Sodium": True,
        "Na": False,
        "2951-2": False,
        "4711": False,
        "Sodium:SCnc:Pt:Ser/Plas:Qn": False,
        "Sodium [Moles/volume]": False,
        "one two three four five six": True,
        "one two three four five six seven": False,
    }
    facts = read(release(tmp_path, [atom("C0337443", "LNC", "LC", "2951-2", text) for text in texts]))
    assert {fact.text: fact.mention for _, fact in facts if isinstance(fact, Name)} == texts
    assert {system for system, _ in facts} == {LOINC}


def test_a_zip_with_the_release_in_its_name(tmp_path: Path) -> None:
    path = tmp_path / "umls-2026AA-mrconso.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(release(tmp_path, name="x") / "MRCONSO.RRF", "MRCONSO.RRF")
    source = Source(path)
    assert umls.recognises(source)
    assert umls.load(source, Options()).releases[0].version == "2026AA"
    source.close()


def test_a_single_file(tmp_path: Path) -> None:
    path = release(tmp_path, name="2026AB") / "MRCONSO.RRF"
    assert umls.load(Source(path), Options()).releases[0].version == "2026AB"


def test_release_dat_names_the_release_not_the_program_that_made_it(tmp_path: Path) -> None:
    place = release(tmp_path, name="META")
    (place / "release.dat").write_text(
        "#Release Metadata\nmmsys.version=MMSYS-2016AA-20160329\numls.release.date=20260504\numls.release.name=2026AA\n"
    )
    assert umls.load(Source(place), Options()).releases[0].version == "2026AA"
    assert umls.load(Source(place), Options(version="mine")).releases[0].version == "mine"


def test_a_release_that_is_not_named(tmp_path: Path) -> None:
    with pytest.raises(TerminologyError, match=r"^MRCONSO\.RRF: neither release\.dat nor a folder .* give --version"):
        umls.load(Source(release(tmp_path, name="META")), Options())


def test_a_folder_without_the_file(tmp_path: Path) -> None:
    (tmp_path / "MRSTY.RRF").write_text("x")
    (tmp_path / "MRSAB.RRF").write_text("x")
    assert not umls.recognises(Source(tmp_path))
    with pytest.raises(TerminologyError, match=r"one file MRCONSO\.RRF is wanted, found: none"):
        umls.load(Source(tmp_path), Options(version="1"))


def test_two_releases_at_once(tmp_path: Path) -> None:
    release(tmp_path, name="2025AB")
    release(tmp_path, name="2026AA")
    assert umls.recognises(Source(tmp_path))
    with pytest.raises(TerminologyError, match=r"found: 2025AB/MRCONSO\.RRF, 2026AA/MRCONSO\.RRF"):
        umls.load(Source(tmp_path), Options())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("C0004097|ENG|P|L1|PF", r", line 3: 4 columns \(each ends with a \|\) instead of 18; is the file cut off"),
        (f"{NOTHING[0]}x|", r", line 3: 19 columns"),
        (atom("C0000001", "MSH", "MH", "D1", "Earlier"), r", line 3, column CUI: C0000001 comes after C0004057"),
        (atom("1191", "RXNORM", "IN", "1191", "aspirin"), r", line 3, column CUI: '1191' is no CUI"),
        (atom("C0004057", "RXNORM", "IN", "1191", " "), r", line 3, column STR: the name is empty"),
        (atom("C0004057", "RXNORM", "IN", "", "aspirin"), r", line 3, column CODE: the code is empty"),
        (atom("C0004057", "RXNORM", "IN", "1191", "x", suppress="?"), r", line 3, column SUPPRESS: '\?' is none of N"),
    ],
)
def test_a_line_that_cannot_be(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(TerminologyError, match=rf"^MRCONSO\.RRF{message}"):
        read(release(tmp_path, [*ASPIRIN[:2], line, *NOTHING]))


def test_a_byte_of_another_encoding(tmp_path: Path) -> None:
    place = release(tmp_path)
    with (place / "MRCONSO.RRF").open("ab") as stream:
        stream.write(atom("C0005000", "MSH", "MH", "D1", "M\xe9ni\xe8re").encode("latin-1"))
    with pytest.raises(TerminologyError, match=r"^MRCONSO\.RRF, line 13, column \d+: the byte 0xE9 is not UTF-8"):
        read(place)


def test_an_empty_file(tmp_path: Path) -> None:
    with pytest.raises(TerminologyError, match=r"^MRCONSO\.RRF: the file is empty"):
        read(release(tmp_path, []))


def test_a_concept_that_would_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(umls, "_MOST", 3)
    with pytest.raises(TerminologyError, match=r", line 4: C0004057 has more than 3 names"):
        read(release(tmp_path))


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.sampled_from(["SNOMEDCT_US", "RXNORM", "MSH"]),
            st.sampled_from("12"),
            st.text(st.characters(codec="utf-8", exclude_characters="|\n\r", exclude_categories=("C",)), min_size=1),
        ).filter(lambda row: bool(row[3].strip())),
        min_size=1,
        max_size=20,
    )
)
def test_a_name_belongs_to_every_code_of_its_concept(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str, str, str]]
) -> None:
    lines = [atom(f"C{cui:07}", sab, "PT", code, text) for cui, sab, code, text in sorted(rows, key=lambda row: row[0])]
    names = {
        (system, fact.code, fact.text)
        for system, fact in read(release(tmp_path_factory.mktemp("umls"), lines))
        if isinstance(fact, Name)
    }
    uris = {"SNOMEDCT_US": SNOMED, "RXNORM": RXNORM}
    assert names == {
        (uris[sab], code, text.strip())
        for cui, sab, code, _ in rows
        if sab in uris
        for other, _, _, text in rows
        if other == cui
    }
