"""OMOP vocabularies: a small download of Athena, written here by hand, and what can be wrong with one."""

from __future__ import annotations

import zipfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.errors import TableError, TerminologyError
from fhir_coder.model import HCPCS, ICD10CM, LOINC, RXNORM, SNOMED
from fhir_coder.terminology.importer import store
from fhir_coder.terminology.loaders import omop, omop_tables
from fhir_coder.terminology.loaders.omop_tables import is_of, kind_of, names_of, version_of
from fhir_coder.terminology.release import Broader, Concept, Fact, MapRow, Name, Options, Release
from fhir_coder.terminology.source import Source
from fhir_coder.terminology.stored_release import StoredRelease

CONCEPT = (
    "concept_id concept_name domain_id vocabulary_id concept_class_id standard_concept concept_code valid_start_date "
    "valid_end_date invalid_reason"
).replace(" ", "\t")
SYNONYM = "concept_id\tconcept_synonym_name\tlanguage_concept_id"
RELATIONSHIP = "concept_id_1\tconcept_id_2\trelationship_id\tvalid_start_date\tvalid_end_date\tinvalid_reason"
VOCABULARY = "vocabulary_id\tvocabulary_name\tvocabulary_reference\tvocabulary_version\tvocabulary_concept_id"
ENGLISH = "4180186"


def concept(
    id_: object, name: str, vocabulary: str, class_: str, code: str, *, end: str = "20991231", reason: str = ""
) -> str:
    return f"{id_}\t{name}\tCondition\t{vocabulary}\t{class_}\tS\t{code}\t19700101\t{end}\t{reason}"


def relationship(first: object, kind: str, second: object, reason: str = "") -> str:
    return f"{first}\t{second}\t{kind}\t19700101\t20991231\t{reason}"


FILES = {
    "CONCEPT.csv": [
        CONCEPT,
        concept(317009, "Asthma", "SNOMED", "Disorder", "195967001"),
        concept(4245676, "Disorder of bronchus", "SNOMED", "Disorder", "41427001"),
        concept(4051466, "Childhood asthma NOS", "SNOMED", "Disorder", "195977004", reason="U"),
        concept(900001, "Asthma of cat", "SNOMED", "Disorder", "336391000009108"),
        concept(45572174, "Unspecified asthma, uncomplicated", "ICD10CM", "6-char billing code", "J45.909"),
        concept(45591562, "Asthma", "ICD10CM", "3-char nonbill code", "J45"),
        concept(1326493, "Diseases of the respiratory system", "ICD10CM", "ICD10 Chapter", "J00-J99"),
        concept(1154343, "albuterol", "RxNorm", "Ingredient", "435"),
        concept(19129021, "Ventolin", "RxNorm", "Brand Name", "104514"),
        concept(3019550, "Sodium [Moles/volume] in Serum or Plasma", "LOINC", "Lab Test", "2951-2"),
        concept(36206173, "Sodium | Serum", "LOINC", "LOINC Hierarchy", "LP42107-0"),
        concept(2616666, "Cane, includes canes of all materials", "HCPCS", "HCPCS", "E0100"),
        concept(2616667, "Wheelchair (Deprecated)", "HCPCS", "HCPCS", "E1091", end="20031231"),
        concept(2616668, "Right hand", "HCPCS", "HCPCS Modifier", "F5"),
        concept(8507, "MALE", "Gender", "Gender", "M"),
    ],
    "CONCEPT_SYNONYM.csv": [
        SYNONYM,
        f"317009\tBronchial asthma\t{ENGLISH}",
        "317009\tAsma\t4182511",
        f"317009\t \t{ENGLISH}",
        f"45572174\tAsthma NOS\t{ENGLISH}",
        f"3019550\tSodium\t{ENGLISH}",
        f"4051466\tAsthma in children\t{ENGLISH}",
        f"8507\tMale\t{ENGLISH}",
    ],
    "CONCEPT_RELATIONSHIP.csv": [
        RELATIONSHIP,
        relationship(317009, "Is a", 4245676),
        relationship(45572174, "Maps to", 317009),
        relationship(45572174, "Is a", 45591562),
        relationship(45572174, "Is a", 317009),  # across vocabularies: left out
        relationship(317009, "Maps to", 317009),
        relationship(317009, "Mapped from", 45572174),
        relationship(4051466, "Concept replaced by", 317009),
        relationship(4051466, "Concept same_as to", 4245676, "D"),
        relationship(19129021, "Tradename of", 1154343),
        relationship(8507, "Maps to", 317009),
    ],
    "VOCABULARY.csv": [
        VOCABULARY,
        "Gender\tOMOP Gender\tOMOP generated\t\t44819108",
        "SNOMED\tSystematic Nomenclature\thttp://x\t2025-02-01 SNOMED CT International Edition; "
        "2025-03-01 SNOMED CT US Edition; 2025-04-09 SNOMED CT UK Edition\t44819097",
        "ICD10CM\tClinical Modification\thttp://x\tICD10CM FY2026 code descriptions\t44819098",
        "RxNorm\tRxNorm (NLM)\thttp://x\tRxNorm 20250602\t44819104",
        "LOINC\tLogical Observation\thttp://x\tLOINC 2.80\t44819102",
        "HCPCS\tHealthcare Common\thttp://x\t20250701 Alpha Numeric HCPCS File\t44819101",
    ],
}
SNOMED_VERSION = "http://snomed.info/sct/731000124108/version/20250301"


def download(folder: Path, **changed: list[str] | None) -> Path:
    """Write the files; `concept=[...]` are the lines of CONCEPT.csv, and with None the file is not there."""
    for name, lines in FILES.items():
        chosen = changed.get(name.removesuffix(".csv").lower(), lines)
        if chosen is not None:
            (folder / name).write_text("".join(f"{line}\n" for line in chosen), encoding="utf-8")
    return folder


def read(folder: Path, options: Options | None = None) -> list[tuple[str, Fact]]:
    imported = omop.load(Source(folder), options or Options())
    return [(imported.releases[index].system, fact) for index, fact in imported.facts]


def test_a_download(tmp_path: Path) -> None:
    imported = omop.load(Source(download(tmp_path)), Options())
    assert imported.releases == (
        Release(system=SNOMED, version=SNOMED_VERSION, title="SNOMED, from OMOP/Athena"),
        Release(system=ICD10CM, version="2026", title="ICD10CM, from OMOP/Athena"),
        Release(system=RXNORM, version="06022025", title="RxNorm, from OMOP/Athena"),
        Release(system=LOINC, version="2.80", title="LOINC, from OMOP/Athena"),
        Release(system=HCPCS, version="2025-07", title="HCPCS, from OMOP/Athena"),
    )
    assert list(imported.facts) == [
        (0, Concept("195967001", "Asthma", "disease")),
        (0, Name("195967001", "Asthma", "preferred", True)),
        (0, Concept("41427001", "Disorder of bronchus", "disease")),
        (0, Name("41427001", "Disorder of bronchus", "preferred", False)),
        (0, Concept("195977004", "Childhood asthma NOS", "disease", "retired")),
        (0, Name("195977004", "Childhood asthma NOS", "preferred", False)),
        (1, Concept("J45.909", "Unspecified asthma, uncomplicated", "disease")),
        (1, Name("J45.909", "Unspecified asthma, uncomplicated", "preferred", False)),
        (1, Name("J45.909", "asthma, uncomplicated", "preferred", False)),
        (1, Concept("J45", "Asthma", "disease", "header")),
        (1, Name("J45", "Asthma", "preferred", True)),
        (2, Concept("435", "albuterol", "medication")),
        (2, Name("435", "albuterol", "preferred", True)),
        (2, Concept("104514", "Ventolin", "medication")),
        (2, Name("104514", "Ventolin", "preferred", True)),
        (3, Concept("2951-2", "Sodium [Moles/volume] in Serum or Plasma", "lab-test")),
        (3, Name("2951-2", "Sodium [Moles/volume] in Serum or Plasma", "preferred", False)),
        (4, Concept("E0100", "Cane, includes canes of all materials", "device")),
        (4, Name("E0100", "Cane, includes canes of all materials", "preferred", False)),
        (4, Concept("E1091", "Wheelchair (Deprecated)", "device", "retired")),
        (4, Name("E1091", "Wheelchair (Deprecated)", "preferred", False)),
        (0, Name("195967001", "Bronchial asthma", "synonym", True)),
        (1, Name("J45.909", "Asthma NOS", "synonym", True)),
        (1, Name("J45.909", "Asthma", "synonym", True)),
        (3, Name("2951-2", "Sodium", "synonym", False)),
        (0, Name("195977004", "Asthma in children", "synonym", False)),
        (0, Broader("195967001", "41427001")),
        (1, MapRow(ICD10CM, "J45.909", SNOMED, "195967001", "relatedto", "omop")),
        (1, Broader("J45.909", "J45")),
        (0, MapRow(SNOMED, "195977004", SNOMED, "195967001", "replaced-by", "omop")),
        (2, MapRow(RXNORM, "104514", RXNORM, "435", "tradename-of", "omop")),
    ]
    no_codes = "concepts of {} that are no codes of it: groups, parts, other extensions"
    assert imported.skipped == Counter(
        {
            "concepts of other vocabularies": 1,
            "names in other languages": 1,
            "names that are empty": 1,
            "relationships that are not used, or no longer valid": 2,
            **{no_codes.format(name): 1 for name in ("SNOMED", "ICD10CM", "LOINC", "HCPCS")},
        }
    )


def test_a_zip_and_dates_with_hyphens(tmp_path: Path) -> None:
    expected = read(download(tmp_path))
    with zipfile.ZipFile(tmp_path / "vocabulary_download_v5.zip", "w") as archive:
        for name in FILES:
            text = (tmp_path / name).read_text(encoding="utf-8").replace("20991231", "2099-12-31")
            archive.writestr(name, text.replace("\n", "\r\n"))
    source = Source(tmp_path / "vocabulary_download_v5.zip")
    assert omop.recognises(source)
    source.close()
    assert read(tmp_path / "vocabulary_download_v5.zip") == expected


def test_as_it_is_stored(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    stored = store(omop.load(Source(download(tmp_path / "in")), Options()), tmp_path / "out", lambda *_: None)
    assert [each.release.system for each in stored] == [SNOMED, ICD10CM, RXNORM, LOINC, HCPCS]
    release = StoredRelease(stored[0].folder)
    assert release.parents("195967001") == ["41427001"]
    assert [row.code for row in release.names("bronchial asthma")] == ["195967001"]
    release.close()


def test_a_given_version_is_that_of_all(tmp_path: Path) -> None:
    imported = omop.load(Source(download(tmp_path)), Options(version="v5 20-FEB-26"))
    assert {release.version for release in imported.releases} == {"v5 20-FEB-26"}


@pytest.mark.parametrize(
    ("vocabulary", "stated", "version"),
    [
        ("SNOMED", "2021-07-31 SNOMED CT International Edition; 2021-09-01 SNOMED CT US Edition", "20210901"),
        ("SNOMED", "2021-07-31 SNOMED CT International Edition", "2021-07-31 SNOMED CT International Edition"),
        ("ICD10CM", "ICD10CM FY2026 code descriptions", "2026"),
        ("RxNorm", "RxNorm 20250602", "06022025"),
        ("RxNorm", "RxNorm Full 20250602", "06022025"),
        ("LOINC", "LOINC 2.80", "2.80"),
        ("HCPCS", "2020 Alpha Numeric HCPCS File", "2020"),
        ("HCPCS", "20221001 Alpha Numeric HCPCS File", "2022-10"),
        ("HCPCS", "other", "other"),
    ],
)
def test_versions(vocabulary: str, stated: str, version: str) -> None:
    assert version_of(vocabulary, stated).removeprefix("http://snomed.info/sct/731000124108/version/") == version


@pytest.mark.parametrize(
    ("vocabulary", "code", "expected"),
    [
        ("SNOMED", "195967001", True),
        ("SNOMED", "10692761000119107", True),
        ("SNOMED", "450681000124106", True),
        ("SNOMED", "1240581000000104", False),  # the British extension
        ("SNOMED", "336391000009108", False),  # the veterinary one
        ("SNOMED", "12", False),
        ("SNOMED", "OMOP1234567", False),
        ("ICD10CM", "J45", True),
        ("ICD10CM", "S72.001A", True),
        ("ICD10CM", "J45.", False),
        ("ICD10CM", "J45909", False),
        ("ICD10CM", "J00-J99", False),
        ("RxNorm", "435", True),
        ("RxNorm", "OMOP4711", False),
        ("RxNorm", "４３５", False),
        ("LOINC", "2951-2", True),
        ("LOINC", "LA11834-1", False),
        ("HCPCS", "E0100", True),
        ("HCPCS", "D0120", False),
        ("HCPCS", "F5", False),
        ("HCPCS", "", False),
    ],
)
def test_codes_that_may_be_emitted(vocabulary: str, code: str, expected: bool) -> None:
    assert is_of(vocabulary, code) is expected


@pytest.mark.parametrize(
    ("vocabulary", "class_", "code", "kind"),
    [
        ("SNOMED", "Disorder", "195967001", ("disease", "active", True)),
        ("SNOMED", "Clinical Finding", "49727002", ("symptom", "active", True)),
        ("SNOMED", "Substance", "372897005", ("", "active", False)),
        ("RxNorm", "Ingredient", "435", ("medication", "active", True)),
        ("RxNorm", "Quant Clinical Drug", "1", ("medication", "active", False)),
        ("RxNorm", "Dose Form", "1", ("", "active", False)),
        ("RxNorm", "new class", "1", ("", "active", False)),
        ("LOINC", "Lab Test", "2951-2", ("lab-test", "active", True)),
        ("LOINC", "Survey", "44249-1", ("", "active", False)),
        ("LOINC", "Clinical Observation", "2708-6", ("vital-sign", "active", True)),
        ("ICD10CM", "3-char nonbill code", "J45", ("disease", "header", True)),
        ("ICD10CM", "4-char billing code", "R05.1", ("symptom", "active", True)),
        ("ICD10CM", "6-char billing code", "Z87.891", ("", "active", False)),
        ("ICD10CM", "4-char billing code", "W22.0", ("", "active", False)),
        ("ICD10CM", "7-char billing code", "S72.001A", ("disease", "active", False)),
        ("HCPCS", "HCPCS", "E0100", ("device", "active", True)),
        ("HCPCS", "HCPCS", "G0001", ("", "active", False)),
    ],
)
def test_kinds(vocabulary: str, class_: str, code: str, kind: tuple[str, str, bool]) -> None:
    assert kind_of()(vocabulary, class_, code) == kind


@pytest.mark.parametrize(
    ("vocabulary", "text", "preferred", "mention"),
    [
        ("SNOMED", "Asthma (disorder)", True, False),
        ("RxNorm", "albuterol", False, True),
        ("RxNorm", "albuterol 0.09 MG/ACTUAT Metered Dose Inhaler [Ventolin]", True, False),
        ("LOINC", "Heart rate", True, True),
        ("LOINC", "Heart rate", False, False),
        ("HCPCS", "Cane", True, True),
        ("HCPCS", "one two three four five", True, False),
    ],
)
def test_what_is_looked_for_in_notes(vocabulary: str, text: str, preferred: bool, mention: bool) -> None:
    (name,) = names_of(vocabulary, "1", text, preferred=preferred, mention=True)
    assert (name.kind, name.mention) == ("preferred" if preferred else "synonym", mention)
    assert not any(name.mention for name in names_of(vocabulary, "1", text, preferred=preferred, mention=False))


@pytest.mark.parametrize("name", ["concept_synonym", "concept_relationship", "vocabulary"])
def test_a_file_that_is_missing(tmp_path: Path, name: str) -> None:
    message = rf"^CONCEPT\.csv: {name.upper()}\.csv is missing beside it: import the whole download of Athena"
    with pytest.raises(TerminologyError, match=message):
        omop.load(Source(download(tmp_path, **{name: None})), Options())


def test_the_concepts_are_missing(tmp_path: Path) -> None:
    assert not omop.recognises(Source(download(tmp_path, concept=None)))
    with pytest.raises(TerminologyError, match=r"one file CONCEPT\.csv is wanted, found: none"):
        omop.load(Source(tmp_path), Options())


@pytest.mark.parametrize("name", list(FILES))
def test_an_empty_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(TerminologyError, match=rf"^{name}: the file is empty"):
        read(download(tmp_path, **{name.removesuffix(".csv").lower(): []}))


@pytest.mark.parametrize("name", [name for name in FILES if name != "VOCABULARY.csv"])
def test_other_columns(tmp_path: Path, name: str) -> None:
    with pytest.raises(TerminologyError, match=rf"^{name}, line 1: the columns are not concept_id"):
        read(download(tmp_path, **{name.removesuffix(".csv").lower(): ["a\tb", "1\t2"]}))


def test_no_vocabulary_of_ours(tmp_path: Path) -> None:
    with pytest.raises(TerminologyError, match=r"^VOCABULARY\.csv: there is none of the vocabularies SNOMED"):
        read(download(tmp_path, vocabulary=FILES["VOCABULARY.csv"][:2]))
    with pytest.raises(TerminologyError, match=r"^VOCABULARY\.csv, line 1: the column vocabulary_id is missing"):
        read(download(tmp_path, vocabulary=["id\tname"]))


def test_a_vocabulary_without_version(tmp_path: Path) -> None:
    lines = [line for line in FILES["VOCABULARY.csv"] if not line.startswith("LOINC")]
    message = r"^CONCEPT\.csv, line 11: VOCABULARY\.csv does not state the version of LOINC: give --version"
    with pytest.raises(TerminologyError, match=message):
        read(download(tmp_path, vocabulary=lines))


def test_no_code_of_the_vocabularies(tmp_path: Path) -> None:
    with pytest.raises(TerminologyError, match=r"^CONCEPT\.csv: there is no code of these vocabularies in it"):
        read(download(tmp_path, concept=[CONCEPT]))


ASTHMA = FILES["CONCEPT.csv"][1]


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("CONCEPT", ASTHMA.rpartition("\t")[0], ", line 3: 9 columns instead of 10; is the file cut off"),
        ("CONCEPT", concept("x", "A", "SNOMED", "Disorder", "41427001"), ", line 3, column concept_id: 'x' is no"),
        (
            "CONCEPT",
            concept(1, "A", "SNOMED", "Disorder", "41427001", reason="X"),
            ", line 3, column invalid_reason: 'X' is none of D, U and empty",
        ),
        (
            "CONCEPT",
            concept(1, "A", "SNOMED", "Disorder", "41427001", end="20250231"),
            ", line 3, column valid_end_date: '20250231' is no date",
        ),
        (
            "CONCEPT",
            concept(1, "A", "SNOMED", "Disorder", "41427001", end=""),
            ", line 3, column valid_end_date: '' is no date",
        ),
        ("CONCEPT", concept(1, " ", "SNOMED", "Disorder", "41427001"), ", line 3, column concept_name: the name is"),
        ("CONCEPT_SYNONYM", "317009\tx", ", line 3: 2 columns instead of 3"),
        ("CONCEPT_SYNONYM", f"y\tx\t{ENGLISH}", ", line 3, column concept_id: 'y' is no concept_id"),
        ("CONCEPT_RELATIONSHIP", "317009\t1\tIs a", ", line 3: 3 columns instead of 6"),
        ("CONCEPT_RELATIONSHIP", relationship(1, "Is a", "y"), ", line 3, column concept_id_2: 'y' is no concept_id"),
    ],
)
def test_a_line_that_cannot_be(tmp_path: Path, file: str, line: str, message: str) -> None:
    lines = FILES[f"{file}.csv"]
    with pytest.raises(TerminologyError, match=rf"^{file}\.csv{message}"):
        read(download(tmp_path, **{file.lower(): [*lines[:2], line, *lines[2:]]}))


def test_a_wrong_encoding(tmp_path: Path) -> None:
    path = download(tmp_path) / "CONCEPT.csv"
    path.write_bytes(path.read_bytes() + concept(1, "Ménière", "SNOMED", "Disorder", "1").encode("latin-1"))
    with pytest.raises(TerminologyError, match=r"^CONCEPT\.csv, line 17, column 4: the byte 0xE9 is not UTF-8"):
        read(tmp_path)


def test_a_table_that_is_malformed(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"vocabulary": "RxNorm", "class": "Ingredient", "means": "INGREDIENT"}]
    monkeypatch.setattr(omop_tables, "read_table", lambda *_: rows)
    with pytest.raises(TableError, match=r"omop_classes\.csv:2: RxNorm has no 'INGREDIENT'"):
        omop_tables.classes.__wrapped__()


@given(
    st.dictionaries(
        st.integers(1, 1 << 40), st.tuples(st.integers(0, 4), st.booleans(), st.from_regex(r"\A[A-Z0-9.-]{1,18}\Z"))
    )
)
def test_codes_are_found_again(codes: dict[int, tuple[int, bool, str]]) -> None:
    found = omop._Codes()
    for id_, (vocabulary, mention, code) in codes.items():
        found.add(id_, vocabulary, mention, code)
    found.close()
    assert {id_: found.find(id_) for id_ in codes} == codes
    assert all(found.find(id_ + 1) == codes.get(id_ + 1) for id_ in [0, *codes])


@given(st.sampled_from(list(FILES)), st.text(max_size=80))
def test_whatever_stands_there_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, text: str
) -> None:
    folder = download(tmp_path_factory.mktemp("omop"))
    with (folder / name).open("a", encoding="utf-8", errors="replace") as stream:
        stream.write(text)
    facts: list[tuple[str, Fact]] = []
    with suppress(TerminologyError):
        facts = read(folder)
    assert all(fact.text.strip() for _, fact in facts if isinstance(fact, Name))
