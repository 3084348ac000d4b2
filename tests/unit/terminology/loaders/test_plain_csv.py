"""Plain CSV: a hospital's own names and codes, and what can be wrong with them."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.errors import TerminologyError
from fhir_coder.model import HPO, SNOMED
from fhir_coder.terminology.importer import store
from fhir_coder.terminology.loaders import plain_csv
from fhir_coder.terminology.release import Concept, Fact, Name, Options, Release
from fhir_coder.terminology.source import Source
from fhir_coder.terminology.stored_release import StoredRelease

HEADER = "system,code,name,type"
OWN = "http://hospital.example/codes"
ROWS = (
    'snomed,195967001,"Asthma, allergic",',
    "snomed,195967001,asthma bronchiale,disease",
    f"{OWN},T1,house tea,medication",
    f"{OWN},T1,tea of the house,",
)
VERSION = Options(version="2026-11")


def write(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "names.csv"
    path.write_text("".join(f"{row}\n" for row in (header, *rows)), encoding="utf-8")
    return path


def read(path: Path) -> list[tuple[int, Fact]]:
    return list(plain_csv.load(Source(path), VERSION).facts)


def test_names_for_a_code_system_and_codes_of_ones_own(tmp_path: Path) -> None:
    imported = plain_csv.load(Source(write(tmp_path, *ROWS)), VERSION)
    assert imported.releases == (
        Release(system=SNOMED, version="2026-11", title=f"names.csv for {SNOMED}", kind="supplement"),
        Release(system=OWN, version="2026-11", title=f"names.csv for {OWN}"),
    )
    assert list(imported.facts) == [
        (0, Concept("195967001", "", "disease")),  # the type stands in a later row
        (0, Name("195967001", "Asthma, allergic", "synonym", False)),
        (0, Name("195967001", "asthma bronchiale", "synonym", True)),
        (1, Concept("T1", "house tea", "medication")),
        (1, Name("T1", "house tea", "preferred", True)),
        (1, Name("T1", "tea of the house", "synonym", True)),
    ]


def test_a_folder_a_zip_and_windows(tmp_path: Path) -> None:
    expected = read(write(tmp_path, *ROWS))
    path = tmp_path / "names.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    with zipfile.ZipFile(tmp_path / "names.zip", "w") as archive:
        archive.write(path, "names.csv")
    for place in (path, tmp_path, tmp_path / "names.zip"):
        source = Source(place)
        assert plain_csv.recognises(source)
        assert list(plain_csv.load(source, VERSION).facts) == expected
        source.close()


def test_as_it_is_stored(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    stored = store(plain_csv.load(Source(write(tmp_path, *ROWS)), VERSION), tmp_path / "out", lambda *_: None)
    release = StoredRelease(stored[1].folder)
    concept = release.concept("T1")
    assert concept is not None
    assert (concept.display, concept.type) == ("house tea", "medication")
    release.close()


def test_the_columns_may_be_in_any_order_and_more(tmp_path: Path) -> None:
    path = write(tmp_path, "disease,note,asthma,snomed,195967001", header="type,note,name,system,code")
    assert plain_csv.recognises(Source(path))
    assert read(path)[0] == (0, Concept("195967001", "", "disease"))


def test_the_phenotype_ontology_is_a_code_system_that_has_a_release(tmp_path: Path) -> None:
    for system in ("hpo", HPO):
        (release,) = plain_csv.load(Source(write(tmp_path, f"{system},HP:0002099,asthma,")), VERSION).releases
        assert (release.system, release.kind) == (HPO, "supplement")


@pytest.mark.parametrize(
    ("name", "mention"),
    [
        ("asthma", True),
        ("one two three four five six", True),
        ("one two three four five six seven", False),
        ("asthma (allergic)", False),
        ("195967001", False),
    ],
)
def test_what_is_looked_for_in_notes(tmp_path: Path, name: str, mention: bool) -> None:
    assert read(write(tmp_path, f"snomed,195967001,{name},"))[1] == (0, Name("195967001", name, "synonym", mention))


def test_a_version_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(TerminologyError, match=r"^names\.csv: the file does not say its version: give --version"):
        plain_csv.load(Source(write(tmp_path, *ROWS)), Options())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("snomed,195967001,asthma,symptom", ", line 6, column type: 195967001 is a symptom here, but a disease above"),
        ("snomed,1,asthma,illness", ", line 6, column type: 'illness' is none of disease, symptom"),
        ("snomed,,asthma,", ", line 6, column code: a code has from 1 to 100 characters"),
        (f"snomed,{'1' * 101},asthma,", ", line 6, column code: a code has"),
        ("snomed,1, ,", ", line 6, column name: the name is missing"),
        ("icd9,1,asthma,", ", line 6, column system: 'icd9' is neither a URI nor one of icd10cm"),
        (":,1,asthma,", ", line 6, column system: ':' is neither"),
        ("http://a b,1,asthma,", ", line 6, column system: 'http://a b' is neither"),
        ("snomed,1,asthma", r", line 6: 3 columns instead of 4; is the file cut off\?"),
        ("snomed,1,asthma,disease,", r", line 6: 5 columns instead of 4"),
        ('snomed,1,"asthma', r", line \d: .*; is the file cut off\?"),
    ],
)
def test_a_row_that_cannot_be(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(TerminologyError, match=rf"^names\.csv{message}"):
        read(write(tmp_path, *ROWS, row, "snomed,2,x,"))


def test_a_missing_column(tmp_path: Path) -> None:
    path = write(tmp_path, "snomed,1,asthma", header="system,code,name")
    assert not plain_csv.recognises(Source(path))
    with pytest.raises(TerminologyError, match=r"^names\.csv, line 1: the column type is missing"):
        read(path)


def test_an_empty_file_and_an_empty_folder(tmp_path: Path) -> None:
    assert not plain_csv.recognises(Source(tmp_path))
    with pytest.raises(TerminologyError, match=r"one file \*\.csv is wanted, found: none"):
        plain_csv.load(Source(tmp_path), VERSION)
    (tmp_path / "names.csv").write_bytes(b"")
    with pytest.raises(TerminologyError, match=r"^names\.csv: the file is empty"):
        read(tmp_path)


def test_a_wrong_encoding(tmp_path: Path) -> None:
    path = write(tmp_path, *ROWS)
    path.write_bytes(path.read_bytes() + "snomed,13445001,Ménière,".encode("cp1252"))
    with pytest.raises(TerminologyError, match=r"^names\.csv, line 6, column 18: the byte 0xE9 is not UTF-8"):
        read(path)


def test_too_many_code_systems(tmp_path: Path) -> None:
    rows = [f"http://x.example/{number},1,x," for number in range(60)]
    with pytest.raises(TerminologyError, match=r"^names\.csv, line 52, column system: more than 50 code systems"):
        read(write(tmp_path, *rows))


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C",)), min_size=1, max_size=30)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["snomed", OWN]), st.sampled_from("ABC"), TEXT.filter(lambda text: bool(text.strip()))
        ),
        min_size=1,
    )
)
def test_every_name_is_kept(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]) -> None:
    path = tmp_path_factory.mktemp("csv") / "names.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(HEADER.split(","))
        writer.writerows((*row, "") for row in rows)
    imported = plain_csv.load(Source(path), VERSION)
    facts = list(imported.facts)
    uris = {"snomed": SNOMED, OWN: OWN}
    assert [
        (imported.releases[index].system, fact.code, fact.text) for index, fact in facts if isinstance(fact, Name)
    ] == [(uris[system], code, text.strip()) for system, code, text in rows]
    codes = [(index, fact.code) for index, fact in facts if isinstance(fact, Concept)]
    assert len(codes) == len(set(codes)) == len({row[:2] for row in rows})
