"""SNOMED CT in RF2: a small release of the US edition, written by hand, as Snapshot, Full, folder and zip."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.errors import TerminologyError
from fhir_coder.model import ICD10CM, SNOMED
from fhir_coder.terminology.loaders import rf2, snomed
from fhir_coder.terminology.loaders.snomed_tables import is_mention
from fhir_coder.terminology.release import Broader, Concept, Fact, MapRow, Name, Options, Release
from fhir_coder.terminology.source import Source

INT, US = "900000000000207008", "731000124108"
FSN, SYN = "900000000000003001", "900000000000013009"
CASE, PRIMITIVE = "900000000000448009", "900000000000074008"
US_EN, GB_EN = "900000000000509007", "900000000000508004"
PREFERRED, ACCEPTABLE = "900000000000548007", "900000000000549004"
INFERRED, SOME = "900000000000011006", "900000000000451002"
IS_A, FINDING_SITE = "116680003", "363698007"
TO_CM, TO_ICD10 = "6011000124106", "447562003"
CLASSIFIED, UNSPECIFIED, EXACT = "447637006", "447561005", "447557004"
ROOT, DISEASE, FEVER, SEPSIS, HYPERTENSION = "138875005", "64572001", "386661006", "10001005", "38341003"
ANEMIA, COPD, APPENDECTOMY, PACEMAKER, HEART = "271737000", "13645005", "80146002", "14106009", "80891009"
HOSPICE, RETIRED = "428361000124107", "155295004"
DAY = "20260301"

# id of the concept, active, fully specified name, US, other names (a name in GB English is marked)
CONCEPTS: list[tuple[str, str, str, str, list[str]]] = [
    (ROOT, "1", "SNOMED CT Concept (SNOMED RT+CTV3)", "SNOMED CT Concept", []),
    (DISEASE, "1", "Disease (disorder)", "Disease", []),
    (FEVER, "1", "Fever (finding)", "Fever", ["Finding of fever", "Pyrexia"]),
    (SEPSIS, "1", "Bacterial sepsis (disorder)", "Bacterial sepsis", []),
    (
        HYPERTENSION,
        "1",
        "Hypertensive disorder, systemic arterial (disorder)",
        "Hypertensive disorder",
        ["HTN - Hypertension", "High blood pressure"],
    ),
    (ANEMIA, "1", "Anemia (disorder)", "Anemia", ["GB:Anaemia"]),
    (COPD, "1", "Chronic obstructive lung disease (disorder)", "", ["GB:Chronic obstructive airways disease"]),
    (APPENDECTOMY, "1", "Excision of appendix (procedure)", "Appendectomy", []),
    (PACEMAKER, "1", "Cardiac pacemaker (physical object)", "Cardiac pacemaker", []),
    (HEART, "1", "Heart structure (body structure)", "", []),
    (HOSPICE, "1", "Discharge to home for hospice care (procedure)", "Discharge to home for hospice care", []),
    (RETIRED, "0", "Raised blood pressure (finding)", "Raised blood pressure", []),
]
PARENTS = {
    DISEASE: ROOT,
    FEVER: ROOT,
    SEPSIS: DISEASE,
    HYPERTENSION: DISEASE,
    ANEMIA: DISEASE,
    COPD: DISEASE,
    APPENDECTOMY: ROOT,
    PACEMAKER: ROOT,
    HEART: ROOT,
    HOSPICE: ROOT,
}
NEWBORN = "IFA 445518008 | Age at onset of clinical finding (observable entity) | < 29.0 days"

Lines = dict[str, list[list[str]]]
Change = Callable[[Lines], None]


def uuid(number: int) -> str:
    return f"80000000-0000-5000-8000-{number:012d}"


def member(number: int, refset: str, *fields: str, active: str = "1", day: str = DAY) -> list[str]:
    return [uuid(number), day, active, US, refset, *fields]


def snapshot() -> Lines:
    """The rows of the release by table, header first."""
    lines: Lines = {
        "concept": [list(rf2.CONCEPT.columns)],
        "description": [list(rf2.DESCRIPTION.columns)],
        "relationship": [list(rf2.RELATIONSHIP.columns)],
        "language": [list(rf2.LANGUAGE.columns)],
        "association": [list(rf2.ASSOCIATION.columns)],
        "map": [list(rf2.EXTENDED_MAP.columns)],
        "modules": [list(rf2.MODULE_DEPENDENCY.columns)],
    }
    number = 1000

    def describe(code: str, kind: str, term: str, *dialects: str, preferred: bool = True) -> None:
        nonlocal number
        number += 1
        lines["description"].append([f"{number}", DAY, "1", INT, code, "en", kind, term, CASE])
        for dialect in dialects:
            acceptability = PREFERRED if preferred else ACCEPTABLE
            lines["language"].append(member(len(lines["language"]), dialect, f"{number}", acceptability))

    for code, active, full_name, display, others in CONCEPTS:
        lines["concept"].append([code, DAY, active, INT, PRIMITIVE])
        describe(code, FSN, full_name, US_EN, GB_EN)
        for term in others:
            if term.startswith("GB:"):
                describe(code, SYN, term[3:], GB_EN)
            else:
                describe(code, SYN, term, US_EN, GB_EN, preferred=False)
        if display:
            describe(code, SYN, display, US_EN)
    for place, (code, parent) in enumerate(PARENTS.items()):
        lines["relationship"].append([f"{2000 + place}", DAY, "1", INT, code, parent, "0", IS_A, INFERRED, SOME])
    lines["relationship"] += [
        ["2100", DAY, "1", INT, HYPERTENSION, HEART, "0", FINDING_SITE, INFERRED, SOME],
        ["2101", DAY, "0", INT, FEVER, DISEASE, "0", IS_A, INFERRED, SOME],
        ["2102", DAY, "1", INT, "195967001", DISEASE, "0", IS_A, INFERRED, SOME],
    ]
    lines["association"] += [
        member(1, "900000000000527005", RETIRED, HYPERTENSION),
        member(2, "900000000000523009", RETIRED, FEVER),
        member(3, "900000000000524003", RETIRED, "370136006"),  # MOVED TO a namespace
        member(4, "900000000000526001", FEVER, SEPSIS),  # not retired
        member(5, "900000000000526001", RETIRED, SEPSIS, active="0"),
        member(6, "900000000000526001", "195967001", SEPSIS),
    ]
    lines["map"] += [
        member(1, TO_CM, SEPSIS, "1", "1", NEWBORN, "IF NEWBORN CHOOSE P36.9", "P36.9", UNSPECIFIED, "447639009"),
        member(2, TO_CM, SEPSIS, "1", "2", "OTHERWISE TRUE", "CHOOSE A41.9", "A41.9", UNSPECIFIED, "447639009"),
        member(3, TO_CM, HYPERTENSION, "1", "1", "TRUE", "ALWAYS I10", "I10", EXACT, CLASSIFIED),
        member(4, TO_ICD10, HYPERTENSION, "1", "1", "TRUE", "ALWAYS I10", "I10", UNSPECIFIED, CLASSIFIED),
        member(5, TO_CM, PACEMAKER, "1", "1", "TRUE", "CANNOT BE CLASSIFIED", "", UNSPECIFIED, "447638001"),
        member(6, TO_CM, ANEMIA, "1", "1", "IF PALE", "ALWAYS D64.9", "D64.9", UNSPECIFIED, CLASSIFIED),
        member(7, TO_CM, FEVER, "1", "1", "TRUE", "ALWAYS S52.501?", "S52.501?", "447558009", CLASSIFIED),
        member(8, TO_CM, FEVER, "1", "1", "TRUE", "ALWAYS R50", "R50", UNSPECIFIED, CLASSIFIED, active="0"),
        member(9, "999002271000000101", FEVER, "1", "1", "TRUE", "ALWAYS R509", "R509", UNSPECIFIED, CLASSIFIED),
        member(10, TO_CM, "195967001", "1", "1", "TRUE", "ALWAYS J45", "J45", UNSPECIFIED, CLASSIFIED),
    ]
    lines["modules"].append(member(1, "900000000000534007", INT, DAY, "20260201"))
    return lines


def full() -> Lines:
    """The same release with an older, different version of many of its components, and some newer ones first."""
    lines = snapshot()
    older = {
        "concept": [[ROOT, "20020131", "1", INT, PRIMITIVE], [RETIRED, "20020131", "1", INT, PRIMITIVE]],
        "description": [["1001", "20020131", "1", INT, ROOT, "en", FSN, "Old name (finding)", CASE]],
        "relationship": [["2101", "20020131", "1", INT, FEVER, DISEASE, "0", IS_A, INFERRED, SOME]],
        "language": [member(1, US_EN, "1001", ACCEPTABLE, active="0", day="20020131")],
        "association": [member(5, "900000000000526001", RETIRED, SEPSIS, day="20020131")],
        "map": [
            member(8, TO_CM, FEVER, "1", "1", "TRUE", "R50", "R50", UNSPECIFIED, CLASSIFIED, day="20250901"),
            member(3, TO_CM, HYPERTENSION, "1", "1", "TRUE", "I11", "I11", UNSPECIFIED, CLASSIFIED, day="20250901"),
        ],
    }
    for table, rows in older.items():
        first, *rest = rows
        lines[table].insert(1, first)
        lines[table] += rest
    return lines


NAMES = {
    "concept": "Terminology/sct2_Concept_{view}_{edition}_{day}.txt",
    "description": "Terminology/sct2_Description_{view}-en_{edition}_{day}.txt",
    "relationship": "Terminology/sct2_Relationship_{view}_{edition}_{day}.txt",
    "language": "Refset/Language/der2_cRefset_Language{view}-en_{edition}_{day}.txt",
    "association": "Refset/Content/der2_cRefset_Association{view}_{edition}_{day}.txt",
    "map": "Refset/Map/der2_iisssccRefset_ExtendedMap{view}_{edition}_{day}.txt",
    "modules": "Refset/Metadata/der2_ssRefset_ModuleDependency{view}_{edition}_{day}.txt",
}


def write(
    folder: Path, lines: Lines, view: str = "Snapshot", edition: str = "US1000124", day: str = DAY, without: str = ""
) -> Path:
    for table, rows in lines.items():
        if table != without:
            path = folder / view / NAMES[table].format(view=view, edition=edition, day=day)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes("".join("\t".join(row) + "\r\n" for row in rows).encode())
    return folder


def zipped(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.txt")):
            archive.write(file, f"SnomedCT_ManagedServiceUS_PRODUCTION/{file.relative_to(folder).as_posix()}")
    return path


def read(path: Path, options: Options | None = None) -> tuple[Release, list[Fact], Counter[str]]:
    source = Source(path)
    try:
        assert snomed.recognises(source)
        result = snomed.load(source, options or Options())
        pairs = list(result.facts)
    finally:
        source.close()
    assert {index for index, _ in pairs} <= {0}
    (release,) = result.releases
    return release, [fact for _, fact in pairs], result.skipped


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "release", snapshot())


def of_kind(facts: list[Fact], kind: type[Fact]) -> list[Fact]:
    return [fact for fact in facts if isinstance(fact, kind)]


def test_head(folder: Path) -> None:
    release, _, _ = read(folder)
    assert release == Release(
        system=SNOMED,
        version="http://snomed.info/sct/731000124108/version/20260301",
        title="SNOMED CT, US Edition, 2026-03-01",
    )


def test_concepts(folder: Path) -> None:
    _, facts, _ = read(folder)
    assert of_kind(facts, Concept) == [
        Concept(ROOT, "SNOMED CT Concept", ""),
        Concept(DISEASE, "Disease", "disease"),
        Concept(FEVER, "Fever", "symptom"),
        Concept(SEPSIS, "Bacterial sepsis", "disease"),
        Concept(HYPERTENSION, "Hypertensive disorder", "disease"),
        Concept(ANEMIA, "Anemia", "disease"),
        Concept(COPD, "Chronic obstructive airways disease", "disease"),  # GB English prefers it
        Concept(APPENDECTOMY, "Appendectomy", "procedure"),
        Concept(PACEMAKER, "Cardiac pacemaker", "device"),
        Concept(HEART, "Heart structure", "anatomy"),  # no dialect prefers any
        Concept(HOSPICE, "Discharge to home for hospice care", "procedure"),
        Concept(RETIRED, "Raised blood pressure", "symptom", "retired"),
    ]


def test_names(folder: Path) -> None:
    _, facts, _ = read(folder)
    names = set(of_kind(facts, Name))
    assert len(names) == len(of_kind(facts, Name))
    assert names == {
        Name(ROOT, "SNOMED CT Concept", "preferred", True),
        Name(DISEASE, "Disease", "preferred", False),
        Name(FEVER, "Fever", "preferred", True),
        Name(FEVER, "Finding of fever", "synonym", False),
        Name(FEVER, "Pyrexia", "synonym", True),
        Name(SEPSIS, "Bacterial sepsis", "preferred", True),
        Name(HYPERTENSION, "Hypertensive disorder", "preferred", True),
        Name(HYPERTENSION, "HTN - Hypertension", "synonym", False),
        Name(HYPERTENSION, "High blood pressure", "synonym", True),
        Name(HYPERTENSION, "Hypertensive disorder, systemic arterial", "synonym", False),
        Name(ANEMIA, "Anemia", "preferred", True),
        Name(ANEMIA, "Anaemia", "synonym", True),
        Name(COPD, "Chronic obstructive airways disease", "preferred", True),
        Name(COPD, "Chronic obstructive lung disease", "synonym", True),
        Name(APPENDECTOMY, "Appendectomy", "preferred", True),
        Name(APPENDECTOMY, "Excision of appendix", "synonym", True),
        Name(PACEMAKER, "Cardiac pacemaker", "preferred", True),
        Name(HEART, "Heart structure", "preferred", True),
        Name(HOSPICE, "Discharge to home for hospice care", "preferred", True),
        Name(RETIRED, "Raised blood pressure", "preferred", False),
    }


def test_hierarchy(folder: Path) -> None:
    _, facts, _ = read(folder)
    assert of_kind(facts, Broader) == [Broader(code, parent) for code, parent in PARENTS.items()]


def test_maps(folder: Path) -> None:
    _, facts, _ = read(folder)
    origin = "SNOMED CT to ICD-10-CM map 2026-03-01"
    history = "SNOMED CT historical association"
    assert of_kind(facts, MapRow) == [
        MapRow(SNOMED, RETIRED, SNOMED, HYPERTENSION, "replaced-by", f"{history} SAME AS"),
        MapRow(SNOMED, RETIRED, SNOMED, FEVER, "inexact", f"{history} POSSIBLY EQUIVALENT TO"),
        MapRow(SNOMED, SEPSIS, ICD10CM, "P36.9", "relatedto", origin, 1, 1, NEWBORN, "IF NEWBORN CHOOSE P36.9"),
        MapRow(SNOMED, SEPSIS, ICD10CM, "A41.9", "relatedto", origin, 1, 2, "OTHERWISE TRUE", "CHOOSE A41.9"),
        MapRow(SNOMED, HYPERTENSION, ICD10CM, "I10", "equivalent", origin, 1, 1, "TRUE", "ALWAYS I10"),
        MapRow(SNOMED, PACEMAKER, ICD10CM, "", "unmatched", origin, 1, 1, "TRUE", "CANNOT BE CLASSIFIED"),
        MapRow(SNOMED, ANEMIA, ICD10CM, "D64.9", "relatedto", origin, 1, 1, "IF PALE", "ALWAYS D64.9"),
        MapRow(SNOMED, FEVER, ICD10CM, "S52.501?", "wider", origin, 1, 1, "TRUE", "ALWAYS S52.501?"),
    ]


def test_what_is_left_out_is_counted(folder: Path) -> None:
    _, _, skipped = read(folder)
    assert skipped == {
        "is-a relationships of concepts that are not in the release": 1,
        "associations that do not lead from a retired concept to another concept": 1,
        "historical associations of concepts that are active": 1,
        "historical associations of descriptions, or of concepts not in the release": 1,
        "map rows to ICD-10 of the WHO": 1,
        "map rows of other reference sets than ICD-10-CM's": 1,
        "map rows of concepts that are not in the release": 1,
        "map rules that cannot be read, so that their map group stays open: IF PALE": 1,
    }


def test_zip_and_full_say_the_same(folder: Path, tmp_path: Path) -> None:
    expected = read(folder)
    only_full = write(tmp_path / "full", full(), "Full")
    for path in (zipped(folder), only_full, zipped(only_full)):
        release, facts, skipped = read(path)
        assert (release, skipped) == (expected[0], expected[2])
        assert sorted(map(repr, facts)) == sorted(map(repr, expected[1]))


def test_snapshot_is_taken_where_both_are(folder: Path) -> None:
    expected = read(folder)
    wrong = {table: rows[:1] for table, rows in full().items()}
    write(folder, wrong, "Full")
    write(folder, wrong, "Delta")
    assert read(folder) == expected


def test_international_edition_with_an_extension(tmp_path: Path) -> None:
    """Two packages in a folder: the extension has retired a concept of the International Edition since."""
    write(tmp_path, snapshot(), edition="INT", day="20260301")
    extension = {table: rows[:1] for table, rows in snapshot().items()}
    extension["concept"].append([FEVER, "20260415", "0", US, PRIMITIVE])
    extension["concept"].append([ROOT, DAY, "1", INT, PRIMITIVE])  # the same version twice
    write(tmp_path, extension, edition="US1000124", day="20260415")
    release, facts, _ = read(tmp_path)
    assert release.version == "http://snomed.info/sct/731000124108/version/20260415"
    assert Concept(FEVER, "Fever", "symptom", "retired") in facts
    assert Name(FEVER, "Fever", "preferred", False) in facts
    assert len(of_kind(facts, Concept)) == len(CONCEPTS)


def test_international_edition(tmp_path: Path) -> None:
    release, _, _ = read(write(tmp_path, snapshot(), edition="INT"))
    assert release.version == "http://snomed.info/sct/900000000000207008/version/20260301"
    assert release.title == "SNOMED CT, International Edition, 2026-03-01"


def test_edition_from_the_module_dependency(tmp_path: Path) -> None:
    """The module of the namespace on which no other of the namespace depends."""
    lines = snapshot()
    for place, (module, dependency) in enumerate(
        [("11000234105", "21000234103"), ("21000234103", INT), ("731000124108", INT)]
    ):
        row = member(10 + place, "900000000000534007", dependency, DAY, DAY)
        lines["modules"].append([*row[:3], module, *row[4:]])
    release, _, _ = read(write(tmp_path, lines, edition="AT1000234"))
    assert release.version == "http://snomed.info/sct/11000234105/version/20260301"
    assert release.title == "SNOMED CT, edition AT1000234, 2026-03-01"


def test_version_given(tmp_path: Path) -> None:
    write(tmp_path, snapshot(), edition="AT1000234")
    with pytest.raises(TerminologyError, match=r"which edition AT1000234 is cannot be told .* give --version http"):
        read(tmp_path)
    release, _, _ = read(tmp_path, Options(version="http://snomed.info/sct/11000234105/version/20260301"))
    assert release.version == "http://snomed.info/sct/11000234105/version/20260301"


def test_two_extensions(tmp_path: Path) -> None:
    write(tmp_path, snapshot(), edition="US1000124")
    write(tmp_path, snapshot(), edition="NL1000146")
    with pytest.raises(TerminologyError, match=r"several extensions \(NL1000146, US1000124\)"):
        read(tmp_path)
    release, facts, _ = read(tmp_path, Options(version="ours"))
    assert release.title == "SNOMED CT, Netherlands Edition and US Edition, 2026-03-01"
    assert len(of_kind(facts, Concept)) == len(CONCEPTS)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("concept", "there is no Concept file"),
        ("description", "the English Description file beside it is missing: import the whole folder"),
        ("relationship", "the Relationship file beside it is missing"),
        ("language", "the English Language file beside it is missing"),
    ],
)
def test_missing_companion(tmp_path: Path, table: str, message: str) -> None:
    write(tmp_path, snapshot(), without=table)
    with pytest.raises(TerminologyError, match=message):
        read(tmp_path)


def test_one_file_of_a_release(folder: Path) -> None:
    with pytest.raises(TerminologyError, match="Description file beside it is missing"):
        read(next(folder.rglob("sct2_Concept*")))


def test_delta_alone(tmp_path: Path) -> None:
    write(tmp_path, snapshot(), "Delta")
    with pytest.raises(TerminologyError, match="a Delta holds only what has changed"):
        read(tmp_path)


def test_two_dates(folder: Path) -> None:
    write(folder, snapshot(), day="20250901")
    with pytest.raises(TerminologyError, match="files of two releases"):
        read(folder)


def test_without_association_and_map(tmp_path: Path) -> None:
    lines = snapshot()
    del lines["association"], lines["map"], lines["modules"]
    _, facts, _ = read(write(tmp_path, lines))
    assert of_kind(facts, MapRow) == []


def _set(table: str, row: int, column: int, value: str) -> Change:
    def change(lines: Lines) -> None:
        lines[table][row][column] = value

    return change


def _cut(table: str, row: int) -> Change:
    def change(lines: Lines) -> None:
        lines[table][row].pop()

    return change


def _drop_root(lines: Lines) -> None:
    del lines["concept"][1]


def _twice(lines: Lines) -> None:
    lines["concept"].append(lines["concept"][2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_cut("concept", 3), r"sct2_Concept_.*, line 4: 4 columns instead of 5; is the file cut off"),
        (_cut("map", 2), r"ExtendedMap.*, line 3: 12 columns instead of 13"),
        (_set("concept", 0, 0, "CONCEPTID"), r"sct2_Concept_.*, line 1: the columns are not id, effectiveTime"),
        (_set("concept", 2, 0, "64572002"), r"line 3, column id: the check digit of 64572002 is wrong"),
        (_set("concept", 2, 0, "64572"), r"line 3, column id: '64572' is not an SCTID"),
        (_set("concept", 2, 0, "3449118019"), r"line 3, column id: 3449118019 identifies no concept"),
        (_set("concept", 2, 1, "20261301"), r"line 3, column effectiveTime: '20261301' is not a date"),
        (_set("concept", 2, 1, "2026-W01"), r"line 3, column effectiveTime: '2026-W01' is not a date"),
        (_set("concept", 2, 2, "true"), r"line 3, column active: 'true' is neither 0 nor 1"),
        (_set("concept", -1, 4, PRIMITIVE[:7]), r"line 13, column definitionStatusId: .* is the file cut off\?"),
        (_twice, r"line 14, column id: 64572001 comes twice; is this a Full file"),
        (_drop_root, r"root concept 138875005 is not in it: this is an extension"),
        (_set("description", 1, 0, "1001x"), None),
        (_set("description", 2, 0, "1002x"), r"sct2_Description_.*, line 3, column id: '1002x' is not a number"),
        (_set("description", 2, 6, "3"), r"sct2_Description_.*, line 3, column typeId: '3' is no type of description"),
        (_set("description", 2, 7, " "), r"sct2_Description_.*, line 3, column term: the term is empty"),
        (_set("language", 1, 6, "0"), r"Language.*, line 2, column acceptabilityId: '0' is no acceptability"),
        (_set("language", 1, 5, "?"), r"Language.*, line 2, column referencedComponentId: '\?' is not an SCTID"),
        (_set("map", 1, 6, ""), r"ExtendedMap.*, line 2, column mapGroup: '' is not a number"),
        (_set("map", 1, 7, "x"), r"ExtendedMap.*, line 2, column mapPriority: 'x' is not a number"),
        (_set("map", 1, 11, "447556009"), r"line 2, column correlationId: '447556009' is not in mappings"),
    ],
)
def test_fault_is_named_with_its_place(tmp_path: Path, change: Change, message: str | None) -> None:
    lines = snapshot()
    change(lines)
    write(tmp_path, lines)
    if message is None:  # the id of a fully specified name is not needed
        read(tmp_path)
        return
    with pytest.raises(TerminologyError, match=message):
        read(tmp_path)


def test_fault_in_the_id_of_a_full(tmp_path: Path) -> None:
    for table, message in (("description", "'x' is not an SCTID"), ("language", "'x' is not a UUID")):
        lines = full()
        lines[table][2][0] = "x"
        write(tmp_path / table, lines, "Full")
        with pytest.raises(TerminologyError, match=f"line 3, column id: {message}"):
            read(tmp_path / table)


def test_wrong_encoding(folder: Path) -> None:
    file = next(folder.rglob("sct2_Description*"))
    file.write_bytes(file.read_bytes().replace(b"Anaemia", b"An\xe6mia"))
    with pytest.raises(
        TerminologyError, match=r"sct2_Description_.*, line \d+, column \d+: the byte 0xE6 is not UTF-8"
    ):
        read(folder)


def test_empty_file(folder: Path) -> None:
    next(folder.rglob("der2_cRefset_Language*")).write_bytes(b"")
    with pytest.raises(TerminologyError, match=r"Language.*: the file is empty; fetch the release again"):
        read(folder)


def test_unusual_descriptions_are_counted(tmp_path: Path) -> None:
    lines = snapshot()
    lines["description"] += [
        ["3001", DAY, "1", INT, FEVER, "es", SYN, "Fiebre", CASE],
        ["3002", DAY, "1", INT, FEVER, "en", "900000000000550004", "A raised temperature.", CASE],
        ["3003", DAY, "1", INT, "195967001", "en", SYN, "Asthma", CASE],
        ["3004", DAY, "0", INT, FEVER, "en", SYN, "Fevre", CASE],
        ["3005", DAY, "1", INT, HEART, "en", FSN, "Heart (pump)", CASE],
    ]
    lines["concept"].append(["195967001", DAY, "1", INT, PRIMITIVE])
    lines["description"].append(["3006", DAY, "1", INT, "195967001", "sv", SYN, "Astma", CASE])
    lines["description"][-4][4] = "84757009"
    _, facts, skipped = read(write(tmp_path, lines))
    assert skipped["descriptions in other languages than English"] == 2
    assert skipped["text definitions"] == 1
    assert skipped["descriptions of concepts that are not in the release"] == 1
    assert skipped["types: semantic tag 'pump' is not in mappings/terminology/snomed_types.csv"] == 1
    assert skipped["concepts without a preferred or fully specified name in English"] == 1
    texts = {fact.text for fact in facts if isinstance(fact, Name)}
    assert not texts & {"Fiebre", "Fevre", "Astma", "Asthma", "A raised temperature."}


def test_other_files_of_the_package_are_not_read(folder: Path) -> None:
    expected = read(folder)
    for name in (
        f"sct2_StatedRelationship_Snapshot_US1000124_{DAY}.txt",
        f"sct2_RelationshipConcreteValues_Snapshot_US1000124_{DAY}.txt",
        f"sct2_TextDefinition_Snapshot-en_US1000124_{DAY}.txt",
        f"sct2_Description_Snapshot-es_US1000124_{DAY}.txt",
        f"der2_cRefset_AttributeValueSnapshot_US1000124_{DAY}.txt",
        f"der2_sRefset_SimpleMapSnapshot_US1000124_{DAY}.txt",
        "Readme_en_20260301.txt",
    ):
        (folder / name).write_text("nothing to read here\n")
    assert read(folder) == expected


def test_files_are_read_in_pieces(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts come while the files are read: no file after the descriptions is open at the first name."""
    opened: list[str] = []
    original = rf2.SourceFile.lines

    def lines(file: rf2.SourceFile, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
        opened.append(file.base_name.split("_")[1])
        return original(file, encoding)

    monkeypatch.setattr(rf2.SourceFile, "lines", lines)
    facts = iter(snomed.load(Source(folder), Options()).facts)
    assert opened == []
    next(facts)
    assert opened == ["Concept", "cRefset", "Description"]


def test_does_not_claim_other_formats(tmp_path: Path) -> None:
    (tmp_path / "RXNCONSO.RRF").write_text("x|")
    assert not snomed.recognises(Source(tmp_path))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Heart failure", True),
        ("Left upper quadrant abdominal pain present", True),
        ("Pain in left upper quadrant of abdomen", False),  # seven words
        ("Fracture, open", False),
        ("Calcium (substance)", False),
        ("[D]Fever", False),
        ("MI - Myocardial infarction", False),
        ("Disorder of kidney", False),
        ("Clinical finding", False),
        ("finding", False),
        ("1,25", False),
        ("60", False),
        ("Findings", False),
        ("Pathfinding", True),
    ],
)
def test_mentions(text: str, expected: bool) -> None:
    assert is_mention(text) is expected


@pytest.mark.parametrize("code", [ROOT, IS_A, US, INT, TO_CM, US_EN, HOSPICE, "447558009", "445518008"])
def test_check_digit_of_published_identifiers(code: str) -> None:
    assert rf2.sctid_fault(code) is None


def test_identifier_of_another_component() -> None:
    assert rf2.sctid_fault("3449118019") == "3449118019 identifies no concept"  # a description
    assert rf2.sctid_fault("138875005٠") is not None
    assert rf2.sctid_fault("0138875005") is not None


@given(st.sampled_from([ROOT, HYPERTENSION, HOSPICE, INT]), st.data())
def test_check_digit_finds_one_wrong_digit_and_two_exchanged(code: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(code) - 1))
    digit = data.draw(st.sampled_from("123456789"))
    if digit != code[place]:
        assert rf2.sctid_fault(code[:place] + digit + code[place + 1 :]) is not None
    if place and code[place] != code[place - 1]:
        assert rf2.sctid_fault(code[: place - 1] + code[place] + code[place - 1] + code[place + 1 :]) is not None


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = write(tmp_path_factory.mktemp("any"), snapshot())
    with next(folder.rglob("sct2_Description*")).open("ab") as file:
        file.write(content)
    try:
        _, facts, _ = read(folder)
    except TerminologyError:
        return
    assert len(of_kind(facts, Concept)) == len(CONCEPTS)
