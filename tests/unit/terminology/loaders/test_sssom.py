"""SSSOM: small mapping sets, written here by hand, what can be wrong with one, and the true ones where they are."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.errors import TerminologyError
from fhir_coder.model import HPO, ICD10CM, LOINC, SNOMED
from fhir_coder.terminology.importer import store
from fhir_coder.terminology.loaders import sssom
from fhir_coder.terminology.release import Fact, MapRow, Options, Release
from fhir_coder.terminology.source import Source
from fhir_coder.terminology.stored_release import StoredRelease

REPOSITORY = Path(__file__).resolve().parents[4]
MONDO = "http://purl.obolibrary.org/obo/mondo.owl"
HEAD = (
    "# curie_map:",
    "#   MONDO: http://purl.obolibrary.org/obo/MONDO_",
    "# mapping_set_id: http://purl.obolibrary.org/obo/mondo/mappings/asthma.sssom.tsv",
    "# mapping_set_version: http://purl.obolibrary.org/obo/mondo/releases/2026-08-04/mappings/asthma.sssom.tsv",
)
COLUMNS = "subject_id\tsubject_label\tpredicate_id\tobject_id\tmapping_justification"
ROWS = (
    "MONDO:0004979\tasthma\tskos:exactMatch\tSCTID:195967001\tsemapv:ManualMappingCuration",
    "MONDO:0004979\tasthma\tskos:broadMatch\tICD10CM:J45\tsemapv:ManualMappingCuration",
    "MONDO:0004979\tasthma\tskos:exactMatch\tmesh:D001249\tsemapv:ManualMappingCuration",
)


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def mapping_set(folder: Path, *rows: str, columns: str = COLUMNS, name: str = "a.sssom.tsv") -> Path:
    return write(folder / name, *HEAD, columns, *rows)


def read(path: Path, options: Options | None = None) -> list[Fact]:
    return [fact for _, fact in sssom.load(Source(path), options or Options()).facts]


def test_a_mapping_set(tmp_path: Path) -> None:
    imported = sssom.load(Source(mapping_set(tmp_path, *ROWS)), Options())
    assert imported.releases == (Release(system=MONDO, version="2026-08-04", title="SSSOM a.sssom.tsv", kind="map"),)
    assert list(imported.facts) == [
        (0, MapRow(MONDO, "MONDO:0004979", SNOMED, "195967001", "equivalent", "sssom mondo")),
        (0, MapRow(MONDO, "MONDO:0004979", ICD10CM, "J45", "wider", "sssom mondo")),
    ]
    assert imported.skipped == Counter({"rows that lead from or to a code system that is not used here": 1})


def test_several_sets_of_one_version_are_one_release(tmp_path: Path) -> None:
    mapping_set(tmp_path, ROWS[0])
    mapping_set(tmp_path, ROWS[1], name="b.sssom.tsv")
    write(tmp_path / "c.sssom.tsv", *HEAD[:3], "#mapping_set_version: '7'", COLUMNS, *ROWS[:1])
    with zipfile.ZipFile(tmp_path / "sets.zip", "w") as archive:
        for name in "abc":
            archive.write(tmp_path / f"{name}.sssom.tsv", f"mappings/{name}.sssom.tsv")
    for path in (tmp_path, tmp_path / "sets.zip"):
        source = Source(path)
        assert sssom.recognises(source)
        imported = sssom.load(source, Options())
        assert [(each.version, each.title) for each in imported.releases] == [
            ("2026-08-04", "SSSOM a.sssom.tsv, b.sssom.tsv"),
            ("7", "SSSOM c.sssom.tsv"),
        ]
        assert [index for index, _ in imported.facts] == [0, 0, 1]
        source.close()


def test_a_mapping_set_as_it_is_stored(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (stored,) = store(sssom.load(Source(mapping_set(tmp_path, *ROWS)), Options()), tmp_path / "out", lambda *_: None)
    release = StoredRelease(stored.folder)
    assert [row.target_code for row in release.maps_from(MONDO, "MONDO:0004979")] == ["195967001", "J45"]
    release.close()


@pytest.mark.parametrize(
    ("predicate", "relationship"),
    [
        ("skos:exactMatch", "equivalent"),
        ("owl:equivalentClass", "equivalent"),
        ("skos:closeMatch", "inexact"),
        ("skos:broadMatch", "wider"),
        ("skos:narrowMatch", "narrower"),
        ("skos:relatedMatch", "relatedto"),
        ("oboInOwl:hasDbXref", "relatedto"),
    ],
)
def test_predicates(tmp_path: Path, predicate: str, relationship: str) -> None:
    facts = read(mapping_set(tmp_path, ROWS[0].replace("skos:exactMatch", predicate)))
    assert [fact.relationship for fact in facts if isinstance(fact, MapRow)] == [relationship]


def test_what_is_said_not_to_match_is_no_map(tmp_path: Path) -> None:
    """https://mapping-commons.github.io/sssom/predicate_modifier/"""
    columns = "predicate_modifier\tsubject_id\tpredicate_id\tobject_id\tsubject_type"
    path = mapping_set(
        tmp_path,
        "Not\tMONDO:0004979\tskos:exactMatch\tSCTID:195967001\t",
        "\tMONDO:0004979\tskos:exactMatch\tsssom:NoTermFound\t",
        "\tMONDO:0004979\tsemapv:crossSpeciesExactMatch\tSCTID:1\t",
        "\tasthma\tskos:exactMatch\tSCTID:195967001\trdfs literal",
        "\tMONDO:0004979\tskos:exactMatch\tSCTID:195967001\towl class",
        columns=columns,
    )
    imported = sssom.load(Source(path), Options())
    assert len(list(imported.facts)) == 1
    assert imported.skipped == Counter(
        {
            "rows with the modifier Not": 1,
            "rows that say that there is no match": 1,
            "rows with the predicate semapv:crossSpeciesExactMatch": 1,
            "rows that lead from or to a text instead of a code": 1,
        }
    )


def test_prefixes_in_small_letters(tmp_path: Path) -> None:
    facts = read(mapping_set(tmp_path, "hp:0002099\tasthma\tskos:exactMatch\tloinc:8867-4\tx"))
    assert facts == [MapRow(HPO, "HP:0002099", LOINC, "8867-4", "equivalent", "sssom hp")]


def test_the_first_subjects_may_be_of_another_code_system(tmp_path: Path) -> None:
    path = mapping_set(tmp_path, "mesh:D1\t\tskos:exactMatch\tSCTID:1\tx", *ROWS)
    assert sssom.load(Source(path), Options()).releases[0].system == MONDO


def test_a_table_without_head_wants_a_version(tmp_path: Path) -> None:
    path = write(tmp_path / "mappings.tsv", COLUMNS, *ROWS)
    assert sssom.recognises(Source(path))
    assert sssom.load(Source(path), Options(version="7")).releases[0].version == "7"
    with pytest.raises(TerminologyError, match=r"^mappings\.tsv: the head has no mapping_set_version: give --version"):
        sssom.load(Source(path), Options())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (ROWS[0].rpartition("\t")[0], r", line 7: 4 columns instead of 5; is the file cut off"),
        (f"{ROWS[0]}\tmore", r", line 7: 6 columns instead of 5"),
        (ROWS[0].replace("SCTID:", ""), r", line 7, column object_id: '195967001' is not of the form PREFIX:code"),
        (ROWS[0].replace("MONDO:0004979", "MONDO:"), r", line 7, column subject_id: 'MONDO:' is not of the form"),
        (ROWS[0].replace("skos:exactMatch", ""), r", line 7, column predicate_id: the predicate is missing"),
    ],
)
def test_a_row_that_cannot_be(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(TerminologyError, match=rf"^a\.sssom\.tsv{message}"):
        read(mapping_set(tmp_path, ROWS[0], row, ROWS[1]))


def test_a_missing_column(tmp_path: Path) -> None:
    with pytest.raises(TerminologyError, match=r"^a\.sssom\.tsv, line 5: the column predicate_id is missing"):
        read(mapping_set(tmp_path, "MONDO:1\tSCTID:1", columns="subject_id\tobject_id"))


def test_a_wrong_encoding(tmp_path: Path) -> None:
    path = mapping_set(tmp_path, *ROWS)
    path.write_bytes(path.read_bytes() + ROWS[0].replace("asthma", "\xe9").encode("latin-1"))
    with pytest.raises(TerminologyError, match=r"^a\.sssom\.tsv, line 9, column 15: the byte 0xE9 is not UTF-8"):
        read(path)


def test_a_set_of_nothing_known(tmp_path: Path) -> None:
    with pytest.raises(TerminologyError, match=r"the subjects are of EFO, known are MONDO"):
        read(mapping_set(tmp_path, "EFO:1\t\tskos:exactMatch\tSCTID:1\tx"))


def test_an_empty_file(tmp_path: Path) -> None:
    with pytest.raises(TerminologyError, match=r"^a\.sssom\.tsv: the file is empty"):
        read(write(tmp_path / "a.sssom.tsv"))


def test_other_tables_are_not_recognised(tmp_path: Path) -> None:
    assert not sssom.recognises(Source(write(tmp_path / "a.tsv", "subject_id\tname", "1\t2")))


@given(st.text(max_size=200))
def test_whatever_stands_there_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("sssom") / "a.sssom.tsv"
    path.write_text("\n".join((*HEAD, COLUMNS, ROWS[0], text)), encoding="utf-8", errors="replace")
    facts: list[Fact] = []
    with suppress(TerminologyError):
        facts = read(path)
    assert all(isinstance(fact, MapRow) and fact.source_code and fact.target_code for fact in facts)


@pytest.mark.parametrize(
    ("name", "rows", "first"),
    [
        ("mondo_exactmatch_icd10cm.sssom.tsv", 2038, ("MONDO:0000088", ICD10CM, "E30.1", "equivalent")),
        ("mondo_hasdbxref_icd10cm.sssom.tsv", 2142, ("MONDO:0000088", ICD10CM, "E30.1", "relatedto")),
        ("mondo_exactmatch_sctid.sssom.tsv", 9120, ("MONDO:0000001", SNOMED, "64572001", "equivalent")),
        ("mondo_exactmatch_umls.sssom.tsv", 0, None),
    ],
)
def test_the_true_sets_of_mondo(name: str, rows: int, first: tuple[str, ...] | None) -> None:
    root = Path(os.environ.get("FHIR_CODER_REFERENCES") or REPOSITORY.parent / "shared" / "data")
    path = root / "terminology" / "mondo" / name
    if not path.is_file():
        pytest.skip("Mondo's mapping sets are absent (set FHIR_CODER_REFERENCES)")
    source = Source(path)
    assert sssom.recognises(source)
    imported = sssom.load(source, Options())
    assert [(each.system, each.version) for each in imported.releases] == [(MONDO, "2026-08-04")]
    facts = [fact for _, fact in imported.facts if isinstance(fact, MapRow)]
    assert len(facts) == rows
    assert first is None or (facts[0].source_code, *facts[0][2:5]) == first
