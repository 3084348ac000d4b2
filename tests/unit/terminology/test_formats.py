"""Each format is recognised by its own loader and by no other; what is of none is refused with the list of formats."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from fhir_coder.errors import TerminologyError
from fhir_coder.terminology.formats import LOADERS, loader_of
from fhir_coder.terminology.release import Options
from fhir_coder.terminology.source import Source

# A record of the fixed-width file of CMS.
_HCPCS = f"E0105001003{'Cane':80}{'Cane':28}{'':105}D{'':26}D1E      000198601011996010120991231N".ljust(320)
_CONCEPT = (
    "concept_id concept_name domain_id vocabulary_id concept_class_id standard_concept concept_code valid_start_date "
    "valid_end_date invalid_reason"
).replace(" ", "\t")
_LOINC = '"LOINC_NUM","COMPONENT","PROPERTY","VersionLastChanged","STATUS"\n'
_SSSOM = "#mapping_set_version: 1\nsubject_id\tpredicate_id\tobject_id\nHP:1\tskos:exactMatch\tSCTID:1\n"
_OBO = "format-version: 1.2\ndata-version: 2026-02-16\nontology: hp\n\n[Term]\nid: HP:0000118\nname: x\n"

# What the files of a release are called, and how they begin.
RELEASES: Mapping[str, list[dict[str, str]]] = {
    "icd10cm": [
        {"icd10cm_order_2026.txt": f"00001 A00     0 {'Cholera':60} Cholera\n"},
        {"icd10cm-tabular-April-1-2026.xml": "<?xml version='1.0'?><ICD10CM.tabular><version>2026</version>"},
        {"icd10cm-index-April-1-2026.xml": "<?xml version='1.0'?><ICD10CM.index><version>2026</version>"},
        {"order.txt": f"00001 A00     0 {'Cholera':60} Cholera\n"},
    ],
    "snomed": [
        {
            f"Snapshot/Terminology/sct2_{table}_US1000124_20260301.txt": "id\teffectiveTime\tactive\tmoduleId\n"
            for table in ("Concept_Snapshot", "Description_Snapshot-en", "Relationship_Snapshot")
        }
    ],
    "rxnorm": [{"rrf/RXNCONSO.RRF": "3|ENG||||||8717795||58488005||SNOMEDCT_US|PT|1|x||N||\n", "rrf/RXNREL.RRF": ""}],
    "rxterms": [
        {
            "RxTerms202306.txt": "RXCUI|GENERIC_RXCUI|TTY\n",
            "RxTermsIngredients202306.txt": "RXCUI|INGREDIENT|ING_RXCUI\n",
        }
    ],
    "loinc": [
        {"LoincTable/Loinc.csv": _LOINC, "LoincTable/MapTo.csv": "LOINC,MAP_TO,COMMENT\n"},
        {"renamed.csv": _LOINC},
    ],
    "hcpcs": [
        {"HCPC2026_APR_ANWEB.txt": _HCPCS, "proc_notes.txt": "notes\n"},
        {"renamed.txt": f"A disclaimer\r\n\r\n{_HCPCS}\r\n"},
    ],
    "umls": [{"2026AA/META/MRCONSO.RRF": "C0004096|ENG|P|L1|PF|S1|Y|A1||||MSH|MH|D1|Asthma|0|N|256|\n"}],
    "omop": [
        {
            "CONCEPT.csv": f"{_CONCEPT}\n",
            "CONCEPT_SYNONYM.csv": "concept_id\tconcept_synonym_name\tlanguage_concept_id\n",
            "CONCEPT_RELATIONSHIP.csv": "concept_id_1\tconcept_id_2\n",
            "VOCABULARY.csv": "vocabulary_id\tvocabulary_name\n",
            "DOMAIN.csv": "domain_id\tdomain_name\n",
        },
        {"CONCEPT.csv": f"{_CONCEPT}\n"},
    ],
    "sssom": [{"a.sssom.tsv": _SSSOM}, {"a.sssom.tsv": _SSSOM, "b.sssom.tsv": _SSSOM}, {"mappings.tsv": _SSSOM}],
    "obo": [{"hp.obo": _OBO}],
    "fhir": [
        {"a.json": json.dumps({"resourceType": "CodeSystem", "url": "http://x.example"}, indent=2)},
        {"package/a.json": '{"resourceType":"ConceptMap"}', "package/b.json": '{"resourceType":"ValueSet"}'},
    ],
    "csv": [{"names.csv": "system,code,name,type\nsnomed,195967001,asthma,disease\n"}],
}
CASES = [(name, files) for name, releases in RELEASES.items() for files in releases]


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8", newline="")
    return folder


def test_every_format_is_tried_here() -> None:
    assert RELEASES.keys() == LOADERS.keys()


@pytest.mark.parametrize(("name", "files"), CASES)
@pytest.mark.parametrize("kind", ["folder", "zip", "file"])
def test_one_loader_recognises_a_release(tmp_path: Path, name: str, files: dict[str, str], kind: str) -> None:
    path = write(tmp_path / "release", files)
    if kind == "zip":
        with zipfile.ZipFile(tmp_path / "release.zip", "w") as archive:
            for member in files:
                archive.write(path / member, member)
        path = tmp_path / "release.zip"
    elif kind == "file":
        path = path / next(iter(files))
    source = Source(path)
    assert [other for other, loader in LOADERS.items() if loader.recognises(source)] == [name]
    assert loader_of(source, None) is LOADERS[name]
    source.close()


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"notes.txt": "Dear colleague,\n"},
        {"a.csv": "code,name\n1,x\n"},
        {"a.tsv": "code\tname\n"},
        {"a.xml": "<a/>"},
        {"a.json": '{"resourceType":"Patient"}'},
        {"CONCEPT.csv": "concept_id,concept_name\n"},
        {"empty.txt": ""},
    ],
)
def test_what_is_of_no_format(tmp_path: Path, files: dict[str, str]) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    with pytest.raises(TerminologyError) as caught:
        loader_of(Source(write(folder, files)), None)
    lines = str(caught.value).splitlines()
    assert lines[0] == "mine: these files are of no known format; known are"
    assert [line.split()[0] for line in lines[1:]] == list(LOADERS)


def test_a_format_that_is_asked_for(tmp_path: Path) -> None:
    source = Source(write(tmp_path, {"notes.txt": "x"}))
    assert loader_of(source, "umls") is LOADERS["umls"]
    with pytest.raises(TerminologyError, match=r"unknown format 'icd9': use one of icd10cm, snomed, "):
        loader_of(source, "icd9")


@pytest.mark.parametrize("name", list(LOADERS))
def test_each_loader_refuses_what_is_not_its_own(tmp_path: Path, name: str) -> None:
    """As when a wrong --format is given: an error that says what is wanted, not a crash."""
    (tmp_path / "none").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "two").mkdir()
    write(tmp_path / "text", {"notes.txt": "Dear colleague,\n"})
    write(tmp_path / "two", {"notes.txt": "Dear colleague,\n", "more.md": "x"})
    for folder in ("none", "text", "two"):
        with pytest.raises(TerminologyError):
            list(LOADERS[name].load(Source(tmp_path / folder), Options(version="2026")).facts)


def test_a_zip_that_is_damaged_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("CONCEPT.csv", _CONCEPT)
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF
    path.write_bytes(content)
    source = Source(path)
    with pytest.raises(TerminologyError, match=r"^CONCEPT\.csv: the zip is damaged or encrypted here"):
        loader_of(source, None)
    source.close()
