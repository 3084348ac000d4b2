"""The loader of ICD-10-CM: order file, tabular list and Alphabetic Index, as CDC and CMS ship them."""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from collections import Counter
from importlib import import_module
from importlib.resources import as_file, files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.errors import TerminologyError
from fhir_coder.model import ICD10CM
from fhir_coder.terminology.loaders import (
    icd10cm,
    icd10cm_index,
    icd10cm_names,
    icd10cm_order,
    icd10cm_tabular,
    icd10cm_xml,
)
from fhir_coder.terminology.release import Broader, Concept, Fact, Import, Name, Options, Property
from fhir_coder.terminology.source import Source

REPOSITORY = Path(__file__).resolve().parents[4]
FIXTURES = REPOSITORY / "tests" / "fixtures" / "terminology" / "icd10cm"
ORDER = "icd10cm-order-April-2026.txt"
TABULAR = "icd10cm-tabular-April-1-2026.xml"
INDEX = "icd10cm-index-April-1-2026.xml"

DEATH = (
    "Traumatic cerebral edema with loss of consciousness of any duration"
    " with death due to brain injury prior to regaining consciousness"
)


def _load(path: Path, version: str | None = None) -> tuple[Import, list[Fact]]:
    source = Source(path)
    assert icd10cm.recognises(source)
    loaded = icd10cm.load(source, Options(version=version))
    facts = [fact for _, fact in loaded.facts]
    source.close()
    return loaded, facts


def _fails(path: Path) -> str:
    with pytest.raises(TerminologyError) as error:
        _load(path)
    return str(error.value)


def _folder(tmp_path: Path, *names: str) -> Path:
    for name in names:
        shutil.copy(FIXTURES / name, tmp_path / name)
    return tmp_path


def _order_line(number: int, code: str, flag: str = "1", name: str = "Cholera") -> str:
    return f"{number:05} {code:<7} {flag} {name:<60} {name}\n"


def _written(tmp_path: Path, text: str, name: str = "icd10cm_order_2026.txt") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def _tabular(body: str) -> str:
    head = "<ICD10CM.tabular>\n<version>2026</version>\n<chapter>\n<section>\n"
    return f"{head}{body}\n</section></chapter></ICD10CM.tabular>"


def _index(body: str) -> str:
    return f"<ICD10CM.index>\n<version>2026</version>\n{body}\n</ICD10CM.index>"


# --- the three files -----------------------------------------------------------------------------


def test_order_file() -> None:
    loaded, facts = _load(FIXTURES / ORDER)
    (release,) = loaded.releases
    assert release.system == ICD10CM
    assert release.version == "2026-04-01"
    assert release.title == "ICD-10-CM, April 2026 (CDC/NCHS)"
    assert release.kind == "complete"
    assert facts[:9] == [
        Concept("N05", "Unspecified nephritic syndrome", "disease", "header"),
        Name("N05", "Unspecified nephritic syndrome", "preferred", True),
        Name("N05", "nephritic syndrome", "preferred", True),
        Concept("N05.9", "Unspecified nephritic syndrome with unspecified morphologic changes", "disease"),
        Name("N05.9", "Unspecified nephritic syndrome with unspecified morphologic changes", "preferred", False),
        Name("N05.9", "nephritic syndrome with unspecified morphologic changes", "preferred", True),
        Name("N05.9", "Unsp nephritic syndrome with unspecified morphologic changes", "synonym", False),
        Broader("N05.9", "N05"),
        Concept("R05", "Cough", "symptom", "header"),
    ]
    assert Broader("S06.1X7A", "S06.1X7") in facts
    assert Broader("W08.XXXA", "W08") in facts
    assert Concept("W08.XXXA", "Fall from other furniture, initial encounter", "") in facts
    assert not any(isinstance(fact, Name) and fact.mention and fact.code[0] in "WZ" for fact in facts)


def test_tabular_list() -> None:
    loaded, facts = _load(FIXTURES / TABULAR)
    assert loaded.releases[0].version == "2026-04-01"
    own = [fact for fact in facts if not isinstance(fact, Broader) and fact.code == "N05"]
    assert own == [
        Concept("N05", "Unspecified nephritic syndrome", "disease", "header"),
        Name("N05", "Unspecified nephritic syndrome", "preferred", True),
        Name("N05", "nephritic syndrome", "preferred", True),
        Name("N05", "nephritis NOS", "synonym", True),
        Name("N05", "nephritis", "synonym", True),
        # what holds for the chapter and the section is stated at their categories
        Property("N05", "excludes2", "neoplasms (C00-D49)"),
        Property("N05", "codeAlso", "any associated kidney failure (N17-N19)."),
        Property("N05", "excludes1", "hypertensive chronic kidney disease (I12.-)"),
        Property("N05", "excludes1", "nephropathy NOS (N28.9)"),
        Property("N05", "excludes1", "tubulo-interstitial nephritis NOS (N12)"),
    ]
    assert not [fact for fact in facts if isinstance(fact, Property) and fact.code == "N05.9"]
    assert Property("S06", "useAdditionalCode", "code, if applicable, to identify:\nopen wound (S01.-)") in facts
    assert Property("S06", "sevenChrNote", "Add the appropriate 7th character, except as noted below") in facts
    assert Name("Z66", "DNR status", "synonym", False) in facts


def test_seventh_characters() -> None:
    _, facts = _load(FIXTURES / TABULAR)
    assert [fact for fact in facts if isinstance(fact, Concept) and fact.code.startswith(("S06.1X7", "W08"))] == [
        Concept("S06.1X7", DEATH, "disease", "header"),
        Concept("S06.1X7A", f"{DEATH}, initial encounter", "disease"),  # D and S do not apply
        Concept("W08", "Fall from other furniture", "", "header"),
        Concept("W08.XXXA", "Fall from other furniture, initial encounter", ""),
        Concept("W08.XXXS", "Fall from other furniture, sequela", ""),
    ]
    assert Broader("W08.XXXA", "W08") in facts
    assert Name("W08.XXXS", "Fall from other furniture, Fall from stool", "synonym", False) in facts


def test_order_file_and_tabular_list_are_one_release(tmp_path: Path) -> None:
    """The order file says which codes there are, the tabular list adds to them; nothing is stated twice."""
    _, order = _load(FIXTURES / ORDER)
    _, tabular = _load(FIXTURES / TABULAR)
    loaded, both = _load(_folder(tmp_path, ORDER, TABULAR))
    assert len(loaded.releases) == 1
    assert not loaded.skipped
    assert set(both) == set(order) | set(tabular)
    assert len(both) == len(set(both))


def test_what_the_order_file_lacks_is_skipped_and_what_it_says_otherwise_wins(tmp_path: Path) -> None:
    folder = _folder(tmp_path, TABULAR)
    _written(folder, _order_line(1, "Z66", name="DNR"), ORDER)
    loaded, facts = _load(folder)
    assert facts == [
        Concept("Z66", "DNR", ""),
        Name("Z66", "DNR", "preferred", False),
        Name("Z66", "Do not resuscitate", "synonym", False),
        Name("Z66", "DNR status", "synonym", False),
    ]
    assert loaded.skipped == {icd10cm_tabular.NOT_LISTED: 10}


def test_index_alone_is_a_supplement() -> None:
    loaded, facts = _load(FIXTURES / INDEX)
    (release,) = loaded.releases
    assert release.kind == "supplement"
    assert release.title == "ICD-10-CM index, April 2026 (CDC/NCHS)"
    assert facts == [
        Name("R05.1", "acute Cough", "index", True),
        Name("R05.9", "Cough", "index", False),  # a single word
        Name("R05.9", "Cough affected", "index", False),  # a non-essential modifier
        Name("S06.1X", "brain Edema due to trauma", "index", False),
        Name("S06.1X", "brain edematous due to trauma", "index", False),
        Name("S06.1X", "brain Edema due to trauma blunt", "index", False),
        Name("S06.1", "brain Edema", "index", False),  # an injury
        Name("S06.1", "brain edematous", "index", False),
        Name("N04.9", "chronic Nephritis with edema", "index", False),  # a path of three
        Name("N05", "chronic Nephritis", "index", True),  # incomplete: the header
        Name("Z66", "resuscitated Nephritis", "index", False),
        Name("N05.9", "Nephritis", "index", False),
    ]
    assert loaded.skipped == {icd10cm_index.NO_CODE: 3, icd10cm_index.MANIFESTATION: 1}


def test_codes_of_the_index_are_those_of_the_release(tmp_path: Path) -> None:
    loaded, facts = _load(_folder(tmp_path, TABULAR, INDEX))
    assert loaded.releases[0].kind == "complete"
    assert not [fact for fact in facts if fact == Name("N04.9", "chronic Nephritis with edema", "index", False)]
    assert loaded.skipped[icd10cm_index.UNKNOWN] == 1


def test_placeholders_of_an_incomplete_code_are_dropped(tmp_path: Path) -> None:
    text = _index("<letter><mainTerm><title>Fall, stool</title><code>W08.XX-</code></mainTerm></letter>")
    _written(_folder(tmp_path, TABULAR), text, INDEX)
    _, facts = _load(tmp_path)
    assert facts[-1] == Name("W08", "Fall stool", "index", False)


def test_external_causes_are_not_looked_for(tmp_path: Path) -> None:
    title = "<title>ICD-10-CM EXTERNAL CAUSE of INJURIES INDEX</title>"
    text = _index(f"{title}<letter><mainTerm><title>Heat exhaustion</title><code>N05.9</code></mainTerm></letter>")
    _, facts = _load(_written(tmp_path, text, "icd10cm-eindex-2026.xml"))
    assert facts == [Name("N05.9", "Heat exhaustion", "index", False)]


def test_neoplasm_table(tmp_path: Path) -> None:
    text = _index(
        '<indexHeading><head col="1">Neoplasm</head><head col="2">Malignant Primary</head>'
        '<head col="4">Ca in situ</head></indexHeading>'
        '<letter><title>N</title><mainTerm><title>Neoplasm, neoplastic</title><cell col="2">C80.1</cell>'
        '<cell col="4">D09.9</cell>'
        '<term level="1"><title>abdomen, abdominal</title><cell col="2">C76.2</cell><cell col="4">-</cell>'
        '<term level="2"><title>wall<nemod>(skin)</nemod></title><cell col="2">C44.5-</cell></term>'
        "</term></mainTerm></letter>"
    )
    loaded, facts = _load(_written(tmp_path, text, "icd10cm-neoplasm-2026.xml"))
    assert facts == [
        Name("C44.5", "primary malignant neoplasm of abdomen wall", "index", False),
        Name("C44.5", "primary malignant neoplasm of abdomen wall skin", "index", False),
        Name("C76.2", "primary malignant neoplasm of abdomen", "index", False),
        Name("C76.2", "primary malignant neoplasm of abdominal", "index", False),
        Name("C80.1", "primary malignant neoplasm", "index", False),
        Name("D09.9", "carcinoma in situ", "index", False),
    ]
    assert loaded.skipped == {icd10cm_index.NO_CODE: 1}


def test_table_of_drugs(tmp_path: Path) -> None:
    text = _index(
        '<indexHeading><head col="1">Substance</head><head col="2">Poisoning Accidental (unintentional)</head>'
        '<head col="7">Underdosing</head></indexHeading>'
        "<letter><title>A</title><mainTerm><title>Acid<nemod>(corrosive)</nemod> NEC</title>"
        '<cell col="2">T54.2X1</cell><cell col="7">--</cell>'
        '<term level="1"><title>acetylsalicylic</title><cell col="7">T39.016</cell></term></mainTerm></letter>'
    )
    _, facts = _load(_written(tmp_path, text, "icd10cm-drug-2026.xml"))
    assert facts == [
        Name("T39.016", "underdosing of Acid acetylsalicylic", "index", False),
        Name("T54.2X1", "accidental poisoning by Acid", "index", False),
        Name("T54.2X1", "accidental poisoning by Acid corrosive", "index", False),
    ]


# --- zip, folder, names and versions -------------------------------------------------------------


def test_zip_is_read_as_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "april-1-2026-tables.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in (ORDER, TABULAR, INDEX):
            archive.write(FIXTURES / name, f"Table and Index/{name}")
        archive.writestr("Table and Index/icd10cm_codes_2026.txt", "A000    Cholera\n")
        archive.writestr("Table and Index/icd10cm-tabular-addenda-2026.txt", "Chapter 1\n")
        archive.writestr("Table and Index/icd10OrderFiles.pdf", b"%PDF-1.7")
    zipped, folder = _load(path), _load(FIXTURES)
    assert zipped[1] == folder[1]
    assert zipped[0].releases == folder[0].releases


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("icd10cm_order_2026.txt", "2026"),
        ("icd10cm-order-2026.txt", "2026"),
        ("icd10cm-order-April-2026.txt", "2026-04-01"),
        ("icd10cm_order_2025-October-15.txt", "2025-10-15"),
        ("order of icd 2024.txt", "2024"),
    ],
)
def test_version_of_the_name(tmp_path: Path, name: str, version: str) -> None:
    loaded, _ = _load(_written(tmp_path, _order_line(1, "Z66"), name))
    assert loaded.releases[0].version == version


@pytest.mark.parametrize(
    ("folder", "version"), [("april-1-2026-order", "2026-04-01"), ("2026 order", "2026"), ("April 2025", "2026")]
)
def test_version_of_the_folder(tmp_path: Path, folder: str, version: str) -> None:
    """CMS dates the zip of an update, while the file in it may be called by the fiscal year alone."""
    (tmp_path / folder).mkdir()
    _written(tmp_path / folder, _order_line(1, "Z66"))
    loaded, _ = _load(tmp_path / folder)
    assert loaded.releases[0].version == version


def test_version_inside_the_file(tmp_path: Path) -> None:
    body = "<diag><name>Z66</name><desc>Do not resuscitate</desc></diag>"
    loaded, _ = _load(_written(tmp_path, _tabular(body), "icd10cm_tabular.xml"))
    assert loaded.releases[0].version == "2026"
    assert loaded.releases[0].title == "ICD-10-CM, 2026 (CDC/NCHS)"


def test_version_of_the_user_wins(tmp_path: Path) -> None:
    loaded, _ = _load(_written(tmp_path, _order_line(1, "Z66"), "icd10cm_order.txt"), "2026-04-01")
    assert loaded.releases[0].version == "2026-04-01"
    assert loaded.releases[0].title == "ICD-10-CM, April 2026 (CDC/NCHS)"


@pytest.mark.parametrize(
    ("name", "content"),
    [("notes.txt", "00001 is no order line\n"), ("notes.xml", "<ClinicalDocument/>"), ("RXNCONSO.RRF", "1|ENG|\n")],
)
def test_other_formats_are_not_claimed(tmp_path: Path, name: str, content: str) -> None:
    assert not icd10cm.recognises(Source(_written(tmp_path, content, name)))


# --- faults --------------------------------------------------------------------------------------


GOOD = _order_line(1, "A00", "0") + _order_line(2, "A000")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ": the file is empty"),
        (GOOD + _order_line(3, "A001")[:70], ", line 3, column 71: 70 characters"),
        (GOOD + "x" + _order_line(3, "A001")[1:], ", line 3, column 1: there is no order number"),
        (GOOD + _order_line(3, "A001").replace("A001 ", "A0 01"), ", line 3, column 7: 'A0 01' is not a code"),
        (GOOD + _order_line(3, "A001", "2"), ", line 3, column 15: '2' is neither 0 (header) nor 1"),
        (GOOD + _order_line(3, "A.01"), ", line 3, column 7: 'A.01' is not a code"),
        (GOOD + _order_line(3, "A000"), ", line 3, column 7: the code A00.0 stands there twice"),
        (GOOD + _order_line(2, "A001"), ", line 3, column 1: the order number 00002 does not follow 00002"),
        (GOOD + _order_line(3, "A010"), ", line 3, column 7: the category of A01.0 is not before it"),
        (GOOD + _order_line(3, "A01", "0"), ", line 3, column 15: the last line is a header"),
        (GOOD + _order_line(3, "A001", name=" "), ", line 3, column 78: the long description is empty"),
        (GOOD + _order_line(3, "XYZ"), ", line 3, column 7: 'XYZ' is not a code"),
        (GOOD + _order_line(3, "E9A"), ", line 3, column 7: E9A is in no chapter of mappings/terminology/"),
        (GOOD + _order_line(3, "0016070"), ", line 3, column 7: 0016070 is a code of ICD-10-PCS"),
        (GOOD + _order_line(3, "A001").replace("1 Chol", "1xChol"), ", line 3, column 16: the column is not blank"),
    ],
)
def test_faults_of_the_order_file(tmp_path: Path, text: str, message: str) -> None:
    assert _fails(_written(tmp_path, text)).startswith(f"icd10cm_order_2026.txt{message}")


def test_order_file_of_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "icd10cm_order_2026.txt"
    path.write_bytes((GOOD + _order_line(3, "H810", name="Ménière's")).encode("latin-1"))
    assert "line 3, column 18: the byte 0xE9 is not UTF-8" in _fails(path)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("<diag><name>Z66</name></diag>", ", line 5: Z66 has no description"),
        ("<diag>\n<name>Z6</name><desc>a</desc></diag>", ", line 6: 'Z6' is not a code of ICD-10-CM"),
        ("<diag><name>Z661</name><desc>a</desc></diag>", ", line 5: 'Z661' is not a code of ICD-10-CM"),
        ("\n<diag><desc>a</desc></diag>", ", line 6: '' is not a code of ICD-10-CM"),
        ("<diag><name>Z66</name><desc>a</desc></diag>\n" * 2, ", line 6: the code Z66 stands there twice"),
        ("", ": there is no code in this tabular list"),
        ("<diag><name>Z66</name>\n<x></diag>", ", line 6, column 6: not well-formed XML (mismatched tag"),
        (
            "<diag><name>Z66</name><sevenChrDef><extension>a</extension></sevenChrDef></diag>",
            ", line 5: an extension is",
        ),
        (
            "<diag><name>S08</name><notes><note>7th characters D do not apply to S08</note></notes></diag>",
            ", line 5: a note at S08 excludes 7th characters; import the order file",
        ),
    ],
)
def test_faults_of_the_tabular_list(tmp_path: Path, body: str, message: str) -> None:
    path = _written(tmp_path, _tabular(body), "icd10cm_tabular_2026.xml")
    assert _fails(path).startswith(f"icd10cm_tabular_2026.xml{message}")


def test_truncated_and_dangerous_xml(tmp_path: Path) -> None:
    whole = (FIXTURES / TABULAR).read_text(encoding="utf-8")
    half = whole[: len(whole) // 2]
    message = _fails(_written(tmp_path, half, TABULAR))
    assert f"{TABULAR}, line {half.count(chr(10)) + 1}, column" in message
    assert "is the file cut off" in message
    bomb = '<!DOCTYPE x [<!ENTITY a "aaa">]>\n' + _tabular("<diag><name>&a;</name></diag>")
    assert "declares XML entities" in _fails(_written(tmp_path, bomb, "icd10cm_tabular_2026.xml"))
    latin = b'<?xml version="1.0" encoding="utf-8"?>\n' + _tabular("<diag><name>\xe9</name></diag>").encode("latin-1")
    (tmp_path / "icd10cm_tabular_2026.xml").unlink()
    (tmp_path / TABULAR).write_bytes(latin)
    assert f"{TABULAR}, line 6, column" in _fails(tmp_path / TABULAR)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("<letter>\n<mainTerm>\n<code>A00</code></mainTerm></letter>", ", line 4: the term has no title"),
        ("<letter><title>A</title></letter>", ": there is no term in this index"),
        (
            '<letter><mainTerm><title>a</title><cell col="2">A00</cell></mainTerm></letter>',
            ", line 3: the column has no heading",
        ),
        (
            '<indexHeading>\n<head col="2">Malignant Tertiary</head></indexHeading>',
            ", line 4: the column 'Malignant Tertiary' is not known; add it to mappings/terminology/",
        ),
        ("<letter>", ", line 4, column 3: not well-formed XML"),
    ],
)
def test_faults_of_the_index(tmp_path: Path, body: str, message: str) -> None:
    path = _written(tmp_path, _index(body), "icd10cm_index_2026.xml")
    assert _fails(path).startswith(f"icd10cm_index_2026.xml{message}")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("icd10pcs_order_2026.txt", _order_line(1, "001", "0"), "ICD-10-PCS (procedures)"),
        ("order.txt", _order_line(1, "001", "0"), "ICD-10-PCS (procedures)"),
        ("icd10cm_order_2026.txt", _order_line(1, "001", "0"), "is a code of ICD-10-PCS"),
        ("icd10pcs_tabular_2026.xml", "<ICD10PCS.tabular/>", "ICD-10-PCS (procedures)"),
        ("icd102019syst_codes.txt", "4;T;X;01;A00;A00.0;A00.0;A000;Cholera\n", "the ICD-10 of the WHO"),
        ("icd102019en.xml", '<ClaML version="2.0.0"><Title name="ICD-10-EN-2019"/></ClaML>', "the ICD-10 of the WHO"),
        ("icd10cm_tabular_2026.xml", "<ClaML/>", "line 1: the root element is ClaML, not ICD10CM.tabular"),
        ("icd10cm_codes_2026.txt", "A000    Cholera\n", "import the order file of the same release"),
        ("icd10cm_order.txt", GOOD, "give --version"),
        ("icd10cm_tabular_2025.xml", _tabular(""), "the name says release 2025, but <version> is 2026"),
    ],
)
def test_wrong_editions_and_versions(tmp_path: Path, name: str, content: str, message: str) -> None:
    assert message in _fails(_written(tmp_path, content, name))


def test_one_release_at_a_time(tmp_path: Path) -> None:
    _written(_folder(tmp_path, ORDER), GOOD, "icd10cm_order_2025.txt")
    assert f"{ORDER} is there, too; import one release at a time" in _fails(tmp_path) or "is there, too" in _fails(
        tmp_path
    )
    (tmp_path / ORDER).unlink()
    _folder(tmp_path, TABULAR)
    assert f"{TABULAR}: is of release 2026-04-01, but icd10cm_order_2025.txt of 2025" in _fails(tmp_path)
    assert _load(tmp_path, "2026-04-01")[0].releases[0].version == "2026-04-01"


def test_nothing_of_icd10cm(tmp_path: Path) -> None:
    source = Source(_written(tmp_path, "nothing", "readme.txt"))
    with pytest.raises(TerminologyError, match="there is no order file, tabular list or index of ICD-10-CM"):
        icd10cm.load(source, Options())


def test_elements_are_dropped_as_they_are_read(tmp_path: Path) -> None:
    """A category with ten thousand codes, all in one line, is read without keeping its tree."""
    leaves = "".join(f"<diag><name>A00.{n:04}</name><desc>Cholera {n}</desc></diag>" for n in range(10_000))
    text = _tabular(f"<diag><name>A00</name><desc>Cholera</desc>{leaves}</diag>").replace("\n", " ")
    path = _written(tmp_path, text, "icd10cm_tabular_2026.xml")
    _, facts = _load(path)
    assert sum(isinstance(fact, Concept) for fact in facts) == 10_001
    read = icd10cm_xml.elements(Source(path).files[0], icd10cm_tabular.ROOT, frozenset({"name", "desc", "diag"}))
    assert max(len(element) for event, element, _ in read if event == "end") <= 2


# --- properties ----------------------------------------------------------------------------------

_WORDS = st.text(alphabet="abcdefgh-", min_size=1, max_size=8).map(lambda word: f"x{word}")


@given(st.lists(st.lists(_WORDS, min_size=1, max_size=3), min_size=1, max_size=5))
def test_index_names_have_the_words_of_their_path(path: list[list[str]]) -> None:
    """However the words are ordered, they are those of the titles: the order-free stage finds them."""
    terms = [icd10cm_index._Term(forms=(" ".join(words),)) for words in path]
    terms[-1].codes.append(("A00-", ""))
    (name,) = icd10cm_index._names(Source(FIXTURES / INDEX).files[0], terms, None, False, Counter())
    assert name.code == "A00"
    assert sorted(name.text.split()) == sorted(word for words in path for word in words)


_CODE = st.from_regex(r"[A-Z0-9]{1,8}", fullmatch=True)


@given(
    order=st.text("0123456789x ", min_size=5, max_size=5), code=_CODE, flag=st.sampled_from("01 2"), cut=st.booleans()
)
def test_order_line_is_taken_whole_or_refused(order: str, code: str, flag: str, cut: bool) -> None:
    """A line with any value in its columns gives exactly what it says, or an error that names its place."""
    file = Source(FIXTURES / ORDER).files[0]
    line = f"{order} {code:<7} {flag} {'Cholera':<60} {'' if cut else 'Cholera'}"
    good = order.isdigit() and flag in "01" and not cut and len(code) <= 7 and icd10cm_names.is_code(code)
    if good:
        assert icd10cm_order._columns(file, 3, line) == (code, flag, int(order))
    else:
        with pytest.raises(TerminologyError, match=f"^{ORDER}, line 3, column "):
            icd10cm_order._columns(file, 3, line)


@given(st.text(alphabet="abc ()[],NOSEC", max_size=40))
def test_plain_is_stable(text: str) -> None:
    """A plain name is trimmed and never longer than the description."""
    plain = icd10cm_names.plain(text)
    assert len(plain) <= len(text)
    assert plain == plain.strip(" ,")


# --- true files ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def embedded() -> list[Fact]:
    """The facts of the tabular list in the package simple-icd-10-cm."""
    place = files("simple_icd_10_cm") / "data" / "icd10c-tabular-April-1-2026.xml"
    with as_file(place) as path:
        loaded, facts = _load(path)
    assert loaded.releases[0].version == "2026-04-01"
    assert loaded.releases[0].title == "ICD-10-CM, April 2026 (CDC/NCHS)"
    assert not loaded.skipped
    return facts


def test_embedded_release_agrees_with_the_package(embedded: list[Fact]) -> None:
    """Codes, hierarchy, descriptions, billable flags, names and mentions are those that the package gives."""
    package = import_module("simple_icd_10_cm")
    codes = [code for code in dict.fromkeys(package.get_all_codes(True)) if not code.isdigit() and "-" not in code]
    concepts = {fact.code: fact for fact in embedded if isinstance(fact, Concept)}
    parents = {fact.code: fact.parent for fact in embedded if isinstance(fact, Broader)}
    named: dict[str, list[Name]] = {}
    for fact in embedded:
        if isinstance(fact, Name):
            named.setdefault(fact.code, []).append(fact)
    assert len(codes) == 98_186
    assert set(concepts) == set(codes)
    notes = 0
    for code in codes:
        concept, description = concepts[code], package.get_description(code)
        circumstance = code[0] in "VWXYZ"
        assert concept.type == ("" if circumstance else "symptom" if code[0] == "R" else "disease"), code
        assert (concept.status == "active") == package.is_leaf(code), code
        parent = package.get_parent(code)
        assert parents.get(code, "") == ("" if "-" in parent or parent == code else parent), code
        if concept.display != description:
            # The package runs the note below a 7th character into the description; CDC's description is without.
            assert description.startswith(f"{concept.display}/"), code
            assert package.is_extended_subcategory(code)
            notes += 1
            continue
        mention = not circumstance and not package.is_extended_subcategory(code)
        texts = [description, *package.get_inclusion_term(code), *package.get_includes(code)]
        assert named[code] == list(_present_names(code, texts, mention)), code
    assert notes == 527


def _present_names(code: str, texts: list[str], mention: bool) -> list[Name]:
    """The names as the first version of this program made them of the same file."""
    made: dict[str, Name] = {}
    for position, text in enumerate(texts):
        said = re.sub(r"\s*[(\[][^)\]]*[)\]]", "", text)
        said = re.sub(
            r",? (?:unspecified|NOS|NEC)$|,? (?:not elsewhere classified|without complications?)$", "", said, flags=re.I
        )
        said = re.sub(r"^unspecified ", "", said, flags=re.I).strip(" ,")
        for variant in (text, said):
            if variant and variant.lower() not in made:
                spoken = mention and not set(",(") & set(variant) and len(variant.split()) <= 6
                made[variant.lower()] = Name(code, variant, "synonym" if position else "preferred", spoken)
    return list(made.values())


def test_order_file_of_the_embedded_release_says_the_same(embedded: list[Fact], tmp_path: Path) -> None:
    """An order file made of the embedded codes, with the tabular list beside it, makes the same release."""
    # Chapters with 7th characters, with seven characters of their own, with inclusion terms, and without type.
    part = [fact for fact in embedded if fact.code.startswith(("G7", "H3", "J3", "K6", "QA", "S06", "T39", "W0"))]
    concepts = sorted((fact for fact in part if isinstance(fact, Concept)), key=lambda fact: fact.code.replace(".", ""))
    lines = [
        f"{number:05} {concept.code.replace('.', ''):<7} {int(concept.status == 'active')} "
        f"{concept.display[:60]:<60} {concept.display}\n"
        for number, concept in enumerate(concepts, 1)
    ]
    _, alone = _load(_written(tmp_path, "".join(lines), ORDER))
    with as_file(files("simple_icd_10_cm") / "data" / "icd10c-tabular-April-1-2026.xml") as path:
        shutil.copy(path, tmp_path)
    _, both = _load(tmp_path)
    assert len(concepts) > 1_900
    for facts in (alone, both):
        for kind in (Concept, Broader):
            assert {fact for fact in facts if isinstance(fact, kind)} == {
                fact for fact in part if isinstance(fact, kind)
            }
    assert set(part) <= set(both)
    assert all(isinstance(fact, Name) and not fact.mention for fact in set(both) - set(part))  # short descriptions


def _references() -> Path:
    """The reference directory, or a skip that says why."""
    configured = os.environ.get("FHIR_CODER_REFERENCES")
    root = Path(configured) if configured else REPOSITORY.parent / "shared" / "data"
    place = root / "terminology" / "icd10cm_index"
    if not place.is_dir():
        pytest.skip("ICD-10-CM index reference files are absent (set FHIR_CODER_REFERENCES)")
    return place


def test_true_index_files(embedded: list[Fact]) -> None:
    """External causes, neoplasms and drugs: every entry leads to a code of the release, none is looked for."""
    loaded, facts = _load(_references())
    assert loaded.releases[0].kind == "supplement"
    assert loaded.releases[0].version == "2026-04-01"
    codes = {fact.code for fact in embedded if isinstance(fact, Concept)}
    names = [fact for fact in facts if isinstance(fact, Name)]
    assert len(names) == len(facts) > 60_000
    assert {name.code for name in names} <= codes
    assert not any(name.mention for name in names)
    assert Name("C67.9", "primary malignant neoplasm of bladder", "index", False) in names
    assert Name("T39.1X1", "accidental poisoning by Paracetamol", "index", False) in names
    assert all(name.text == " ".join(name.text.split()) and name.text for name in names)
