"""The HCPCS loader, on small files in the layout of CMS, and on the release of 2020 where it is at hand."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_coder.errors import TerminologyError
from fhir_coder.model import HCPCS
from fhir_coder.terminology.loaders import hcpcs, hcpcs_records
from fhir_coder.terminology.release import Concept, Fact, Import, MapRow, Name, Options, Property
from fhir_coder.terminology.source import Source

REPOSITORY = Path(__file__).resolve().parents[4]
DISCLAIMER = "Note regarding coverage and payment indicators for codes in CMS’ 2020 HCPCS Update\r\n\r\n"
HEADINGS = (
    "HCPC|SEQNUM|RECID|LONG DESCRIPTION|SHORT DESCRIPTION|PRICE1|XREF1|XREF2|XREF3|XREF4|XREF5|COV|BETOS|TOS1|"
    "ADD DT|ACT EFF DT|TERM DT|ACTION CD"
).split("|")


def first(
    code: str,
    long: str,
    short: str = "",
    *,
    kind: str = "3",
    xref: str = "",
    coverage: str = "D",
    betos: str = "D1E",
    added: str = "19860101",
    effective: str = "19960101",
    ended: str = "",
    action: str = "N",
) -> str:
    """The first line of a record: 320 characters."""
    head = f"{code:>5}00100{kind}{long:80}{short:28}{'32      A':85}{xref:25}{coverage:1}"
    return f"{head:256}{betos:3} {'P':5}000{added:8}{effective:8}{ended:8}{action}".ljust(320)


def more(code: str, long: str, sequence: int = 2, kind: str = "4") -> str:
    """A further line of a description: 91 characters."""
    return f"{code:>5}{sequence:03}00{kind}{long:80}"


CANE = first("E0105", "Cane, quad or three prong, includes canes of all materials, adjustable or fixed,", "Cane quad")
TIP = more("E0105", "with tips")
FILTER = first("C1880", "Vena cava filter", "Vena cava filter", betos="")
GONE = first("C9040", "Injection, fremanezumab-vfrm, 1 mg", xref="J3031", ended="20190930", action="D")
MODIFIER = first("RR", "Rental (use the 'RR' modifier when DME is to be rented)", kind="7")
MODIFIER_MORE = more("RR", "rented)", kind="8")
RECORDS = (MODIFIER, MODIFIER_MORE, CANE, TIP, FILTER, GONE)


def text(*lines: str) -> bytes:
    return (DISCLAIMER + "".join(f"{line}\r\n" for line in lines)).encode("cp1252")


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def workbook(path: Path, rows: Iterable[dict[str, Any]], headings: list[str] = HEADINGS) -> Path:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append([DISCLAIMER])
    sheet.append([])
    sheet.append(headings)
    for row in rows:
        sheet.append([row.get(heading) for heading in headings])
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)
    return path


def read(path: Path, version: str | None = None) -> tuple[Import, list[Fact]]:
    source = Source(path)
    assert hcpcs.recognises(source)
    result = hcpcs.load(source, Options(version=version))
    facts = [fact for index, fact in result.facts if index == 0]
    source.close()
    return result, facts


def fault(path: Path, version: str | None = None) -> str:
    with pytest.raises(TerminologyError) as caught:
        read(path, version)
    return str(caught.value)


def test_the_facts_of_a_file(tmp_path: Path) -> None:
    """The lines of a description are joined; modifiers are counted; a terminated code leads to its successor."""
    result, facts = read(write(tmp_path / "HCPC2020_ANWEB_w_disclaimer.txt", text(*RECORDS)))
    assert [(head.system, head.version, head.kind) for head in result.releases] == [(HCPCS, "2020", "complete")]
    cane = "Cane, quad or three prong, includes canes of all materials, adjustable or fixed, with tips"
    assert facts == [
        Concept("E0105", cane, "device"),
        Name("E0105", cane, "preferred", False),
        Name("E0105", "Cane quad", "synonym", False),
        Property("E0105", "COVERAGE", "D"),
        Property("E0105", "BETOS", "D1E"),
        Property("E0105", "ADD_DT", "19860101"),
        Property("E0105", "ACT_EFF_DT", "19960101"),
        Property("E0105", "ACTION_CD", "N"),
        Concept("C1880", "Vena cava filter", "device"),
        Name("C1880", "Vena cava filter", "preferred", True),
        Property("C1880", "COVERAGE", "D"),
        Property("C1880", "ADD_DT", "19860101"),
        Property("C1880", "ACT_EFF_DT", "19960101"),
        Property("C1880", "ACTION_CD", "N"),
        Concept("C9040", "Injection, fremanezumab-vfrm, 1 mg", "", "retired"),
        Name("C9040", "Injection, fremanezumab-vfrm, 1 mg", "preferred", False),
        Property("C9040", "COVERAGE", "D"),
        Property("C9040", "BETOS", "D1E"),
        Property("C9040", "ADD_DT", "19860101"),
        Property("C9040", "ACT_EFF_DT", "19960101"),
        Property("C9040", "TERM_DT", "20190930"),
        Property("C9040", "ACTION_CD", "D"),
        MapRow(HCPCS, "C9040", HCPCS, "J3031", "replaced-by", "cms"),
    ]
    assert result.skipped == {"modifiers": 1}


def test_the_spreadsheet_says_the_same(tmp_path: Path) -> None:
    """The xlsx gives the facts of the text, whether its numbers are text, numbers or dates."""
    lines = list(hcpcs_records.lines(Source(write(tmp_path / "HCPC2020_ANWEB.txt", text(*RECORDS))).files[0]))
    rows: list[dict[str, Any]] = []
    for line in lines:
        row: dict[str, Any] = {"HCPC": f"{line.code:>5}", "RECID": int(line.kind), "LONG DESCRIPTION": line.long}
        row |= {"SHORT DESCRIPTION": line.short, **{f"XREF{at}": xref for at, xref in enumerate(line.xrefs, 1)}}
        if line.values:
            row |= {
                "COV": line.values["COVERAGE"],
                "BETOS": line.values.get("BETOS"),
                "ACTION CD": line.values["ACTION_CD"],
            }
            row |= {"ADD DT": line.values["ADD_DT"], "ACT EFF DT": datetime(1996, 1, 1)}
            row |= {"TERM DT": float(line.values.get("TERM_DT", 0))}
        rows.append(row)
    rows.append({})  # an empty row at the end
    result, facts = read(workbook(tmp_path / "HCPC2026_APR_ANWEB.xlsx", rows))
    assert facts == read(tmp_path / "HCPC2020_ANWEB.txt")[1]
    assert result.releases[0].version == "2026-04"


def test_zip_and_folder_take_the_text(tmp_path: Path) -> None:
    """Of the several forms of one release the text is read; the changes are not."""
    files = write(tmp_path / "f" / "HCPC2020_ANWEB.txt", text(*RECORDS)).parent
    write(files / "HCPC2020_ANWEB.xls", b"old")
    write(files / "HCPC2020_ANWEB.xlsx", b"no zip")
    write(files / "HCPC2020_TRANS_ALPHA.xlsx", b"changes")
    write(files / "proc_notes_2020.txt", b"notes")
    with zipfile.ZipFile(tmp_path / "january.zip", "w") as out:
        for path in files.iterdir():
            out.write(path, f"sub/{path.name}")
    from_folder, facts = read(files)
    from_zip, zipped = read(tmp_path / "january.zip")
    assert facts == zipped
    assert from_folder.skipped == from_zip.skipped
    assert from_zip.skipped["files that hold the same release once more"] == 2
    assert from_zip.skipped["files that are not the list of codes (changes, notes)"] == 2


def test_of_two_corrections_the_later_is_read(tmp_path: Path) -> None:
    """CMS adds v2, v3 to the name of a file that it publishes again."""
    write(tmp_path / "HCPC2024_APR_ANWEB.txt", text(CANE, TIP))
    write(tmp_path / "HCPC2024_APR_ANWEB_v2.txt", text(FILTER))
    assert [fact.code for fact in read(tmp_path)[1] if isinstance(fact, Concept)] == ["C1880"]


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("HCPC2020_ANWEB.txt", "2020"),
        ("HCPC2016_CONTR_ANWEB.txt", "2016"),
        ("HCPC17_CONTR_ANWEB.txt", "2017"),
        ("HCPC2026_APR_ANWEB.txt", "2026-04"),
        ("HCPC2020_APRIL_ANWEB_w_disclaimer_v5.txt", "2020-04"),
        ("HCPC2021_OCT_CONTR_ANWEB.txt", "2021-10"),
    ],
)
def test_the_version(tmp_path: Path, name: str, version: str) -> None:
    """The file name states the release; --version wins."""
    path = write(tmp_path / name, text(FILTER))
    assert read(path)[0].releases[0].version == version
    assert read(path, "2025-01")[0].releases[0].version == "2025-01"


def test_another_name(tmp_path: Path) -> None:
    """A renamed text is recognised by its records; then the version has to be said, as a date."""
    path = write(tmp_path / "codes.txt", text(FILTER))
    assert "the name states no version; give --version" in fault(path)
    assert "the version 'spring' is not of the form" in fault(path, "spring")
    assert "the version '2026-13' is not of the form" in fault(path, "2026-13")
    assert read(path, "2026-01-01")[0].releases[0].version == "2026-01-01"
    assert not hcpcs.recognises(Source(write(tmp_path / "other.txt", b"a|b|c\n")))
    assert not hcpcs.recognises(Source(write(tmp_path / "HCPC2020_TRANS_ALPHA.xlsx", b"")))


@pytest.mark.parametrize(("version", "status"), [("2020", "active"), ("2020-04", "active"), ("2020-07", "retired")])
def test_terminated_as_of_the_release(tmp_path: Path, version: str, status: str) -> None:
    """A code whose last day is still to come is active."""
    path = write(tmp_path / "HCPC2020_ANWEB.txt", text(first("E0100", "Cane", ended="20200630", xref="E0105A4636")))
    facts = read(path, version)[1]
    assert [fact.status for fact in facts if isinstance(fact, Concept)] == [status]
    successors = [fact.target_code for fact in facts if isinstance(fact, MapRow)]
    crossed = [fact.value for fact in facts if isinstance(fact, Property) and fact.name == "XREF"]
    assert (crossed, successors) == (([], ["E0105", "A4636"]) if status == "retired" else (["E0105", "A4636"], []))


def test_no_codes_of_others(tmp_path: Path) -> None:
    """Dental and CPT codes, and references to them, are left out and counted."""
    records = (
        first("D0120", "Oral"),
        first("99213", "Visit"),
        first("0159T", "Cad"),
        first("C8904", "MRI", xref="77046"),
    )
    result, facts = read(write(tmp_path / "HCPC2020_ANWEB.txt", text(*records)))
    assert {getattr(fact, "code", "C8904") for fact in facts} == {"C8904"}
    assert result.skipped == {
        "dental codes (copyright of the ADA)": 1,
        "CPT codes (copyright of the AMA)": 2,
        "cross-references to codes of the AMA or ADA": 1,
    }


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((FILTER, CANE[:200]), "line 4: 200 characters instead of 320 or 91; is the file cut off?"),
        ((CANE, TIP[:40]), "line 4: 40 characters instead of 320 or 91"),
        ((CANE, "E01"), "line 4, column 6: this is no record"),
        ((CANE, "The end of the file"), "line 4, column 6: this is no record"),
        ((FILTER, TIP), "line 4: E0105: the first line of the description is missing"),
        ((CANE, more("E0105", "with tips", kind="8")), "line 4: E0105: the first line"),
        ((FILTER, FILTER), "line 4, column HCPC: the code C1880 comes twice"),
        ((first("E0100", "Cane", ended="20191331"),), "line 3, column TERM_DT: '20191331' is not a date"),
        ((first("E0100", "Cane", added="19860101", effective="19960100"),), "line 3, column ACT_EFF_DT: '19960100'"),
        ((first("E010", "Cane"),), "line 3, column HCPC: 'E010' is not a code of HCPCS"),
        ((first("E0100", ""),), "line 3, column LONG DESCRIPTION: E0100 has no long description"),
        ((), "there is no HCPCS record of 320 characters"),
    ],
)
def test_broken_text(tmp_path: Path, lines: tuple[str, ...], expected: str) -> None:
    """The error says where and what."""
    message = fault(write(tmp_path / "HCPC2020_ANWEB.txt", text(*lines)))
    assert message.startswith("HCPC2020_ANWEB.txt")
    assert expected in message


def test_facts_come_while_the_file_is_read(tmp_path: Path) -> None:
    """A fault further down does not keep back what stands before it."""
    source = Source(write(tmp_path / "HCPC2020_ANWEB.txt", text(CANE, TIP, FILTER, GONE[:50])))
    facts = iter(hcpcs.load(source, Options()).facts)
    assert next(facts)[1][0] == "E0105"
    with pytest.raises(TerminologyError, match="line 6"):
        list(facts)


def test_another_encoding(tmp_path: Path) -> None:
    """A byte that Windows-1252 does not have is refused."""
    path = write(tmp_path / "HCPC2020_ANWEB.txt", text(FILTER).replace(b"cava", b"c\x81va"))
    assert "HCPC2020_ANWEB.txt, line 3, column 18: the byte 0x81 is not CP1252" in fault(path)


def test_broken_spreadsheet(tmp_path: Path) -> None:
    """No workbook, cut off, without headings, a column missing, a kind that is none."""
    path = tmp_path / "HCPC2020_ANWEB.xlsx"
    row = {"HCPC": "C1880", "RECID": 3, "LONG DESCRIPTION": "Vena cava filter", "ADD DT": 20010101}
    assert len(read(workbook(path, [row]))[1]) == 3
    whole = path.read_bytes()
    assert "is not a spreadsheet of Excel, or it is cut off" in fault(write(path, whole[: len(whole) // 2]))
    assert "is not a spreadsheet of Excel, or it is cut off" in fault(write(path, b"PK"))
    assert "there is no row of headings with HCPC" in fault(workbook(path, [row], ["CODE", "RECID"]))
    assert "there is no row of headings" in fault(workbook(path, [row] * 200, ["CODE", "LONG DESCRIPTION"]))
    without = [heading for heading in HEADINGS if heading != "TERM DT"]
    assert "line 3: the column TERM DT is missing" in fault(workbook(path, [row], without))
    assert "line 5, column RECID: the record identification is '5'" in fault(workbook(path, [row, {**row, "RECID": 5}]))


def test_a_workbook_that_unpacks_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a workbook takes in memory is bounded before it is read."""
    path = workbook(tmp_path / "HCPC2020_ANWEB.xlsx", [])
    monkeypatch.setattr(hcpcs_records, "_LARGEST_WORKBOOK", 1000)
    assert "the workbook is too large" in fault(path)


def test_which_file(tmp_path: Path) -> None:
    """Two releases, or none that can be read, are refused."""
    write(tmp_path / "two" / "HCPC2024_JAN_ANWEB.txt", text(FILTER))
    write(tmp_path / "two" / "HCPC2024_APR_ANWEB.txt", text(FILTER))
    assert "Import one of HCPC2024_APR_ANWEB.txt, HCPC2024_JAN_ANWEB.txt" in fault(tmp_path / "two")
    write(tmp_path / "old" / "HCPC2010_ANWEB.xls", b"")
    assert "old: there is no HCPC…ANWEB.txt or .xlsx" in fault(tmp_path / "old")


@settings(deadline=None)  # it writes files
@given(st.lists(st.text("abc defg", min_size=1, max_size=70).map(str.strip).filter(bool), min_size=1, max_size=6))
def test_a_description_of_many_lines_comes_back(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    """However a description is cut into lines, it is whole again."""
    lines = [first("E0100", parts[0]), *(more("E0100", part, at) for at, part in enumerate(parts[1:], 2))]
    path = write(tmp_path_factory.mktemp("hcpcs") / "HCPC2020_ANWEB.txt", text(*lines))
    assert [fact.display for fact in read(path)[1] if isinstance(fact, Concept)] == [" ".join(parts)]


def test_the_release_of_2020() -> None:
    """The true zip of CMS: every code of it, none of the ADA."""
    configured = os.environ.get("FHIR_CODER_REFERENCES")
    root = Path(configured) if configured else REPOSITORY.parent / "shared" / "data"
    path = root / "terminology" / "hcpcs_2020" / "2020-Alpha-Numeric-HCPCS-File.zip"
    if not path.is_file():
        pytest.skip("the HCPCS release of 2020 is absent (set FHIR_CODER_REFERENCES)")
    result, facts = read(path)
    assert result.releases[0].version == "2020"
    assert result.skipped["modifiers"] == 369
    concepts = {fact.code: fact for fact in facts if isinstance(fact, Concept)}
    assert Counter(concept.status for concept in concepts.values()) == {"active": 6105, "retired": 605}
    assert sum(isinstance(fact, MapRow) for fact in facts) == 111
    assert not [code for code in concepts if code.startswith("D") or code.isdigit()]
    assert concepts["E0100"] == Concept(
        "E0100", "Cane, includes canes of all materials, adjustable or fixed, with tip", "device"
    )
    assert MapRow(HCPCS, "C9040", HCPCS, "J3031", "replaced-by", "cms") in facts
