"""The lines of the Alpha-Numeric HCPCS file of CMS, from the text of fixed width or from the spreadsheet.

Layout: "HCPCS Contractor Record" in HCPC<year>_recordlayout.txt of the quarterly zip,
https://www.cms.gov/medicare/coding-billing/healthcare-common-procedure-system/quarterly-update
A record has 320 characters; a description longer than 80 goes on in lines of 91. The spreadsheet has the same fields
as columns. A disclaimer may stand before the records of either.
"""

from __future__ import annotations

import io
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from datetime import datetime
from importlib import import_module
from typing import Any, NamedTuple
from xml.etree.ElementTree import ParseError

from fhir_coder.terminology.source import SourceFile

FIRST, MORE = "37", "48"  # record identification: first line of a procedure or modifier; its further lines
DATES = ("ADD_DT", "ACT_EFF_DT", "TERM_DT")

# Property, heading of the spreadsheet, first and last position in the record.
_FIELDS = (
    ("COVERAGE", "COV", 230, 230),
    ("BETOS", "BETOS", 257, 259),
    ("ADD_DT", "ADD DT", 269, 276),
    ("ACT_EFF_DT", "ACT EFF DT", 277, 284),
    ("TERM_DT", "TERM DT", 285, 292),
    ("ACTION_CD", "ACTION CD", 293, 293),
)
_XREFS = tuple(f"XREF{number}" for number in range(1, 6))  # five times five characters from position 205
_HEADINGS = ("HCPC", "RECID", "LONG DESCRIPTION", "SHORT DESCRIPTION", *_XREFS, *(field[1] for field in _FIELDS))
_LAST_FIELD = 293  # a filler follows, which some editors cut off
_CONTINUATION = 91
_LARGEST_WORKBOOK = 1 << 28  # bytes, unpacked; a true one has 10 MB
_MOST_ROWS_BEFORE = 100  # of the disclaimer, in a spreadsheet


class Line(NamedTuple):
    """A line of the text, or a row of the spreadsheet."""

    number: int
    kind: str  # record identification
    code: str
    long: str
    short: str
    xrefs: list[str]  # cross-reference codes
    values: dict[str, str]  # by property, without empty ones


def lines(file: SourceFile) -> Iterator[Line]:
    """Yield the lines of either form, after the disclaimer.

    Raises `TerminologyError` where the file has another layout, or is cut off.
    """
    return _sheet_lines(file) if file.base_name.lower().endswith(".xlsx") else _text_lines(file)


def is_first(line: str) -> bool:
    """Tell whether a line of text is the first of a record."""
    return len(line) >= _LAST_FIELD and line[5:10].isdigit() and line[10] in FIRST and line[268:284].isdigit()


def _text_lines(file: SourceFile) -> Iterator[Line]:
    started = False
    for number, line in file.lines("cp1252"):
        started = started or is_first(line)
        if not started or not line.strip():
            continue
        kind = line[10:11]
        if not line[5:10].isdigit() or not kind or kind not in FIRST + MORE:
            raise file.error("this is no record (5 digits, then 3, 4, 7 or 8); is the file cut off?", number, 6)
        if len(line) < (_LAST_FIELD if kind in FIRST else _CONTINUATION):
            raise file.error(f"{len(line)} characters instead of 320 or 91; is the file cut off?", number)
        values = ((name, line[first - 1 : last].strip()) for name, _, first, last in _FIELDS)
        yield Line(
            number=number,
            kind=kind,
            code=line[:5].strip(),
            long=line[11:91].strip(),
            short=line[91:119].strip(),
            xrefs=[line[at : at + 5].strip() for at in range(204, 229, 5)],
            values={name: value for name, value in values if value},
        )
    if not started:
        raise file.error("there is no HCPCS record of 320 characters; is this the HCPC…ANWEB file?")


def _sheet_lines(file: SourceFile) -> Iterator[Line]:
    columns: dict[str, int] = {}
    for number, row in _sheet_rows(file):
        if columns and any(row):
            cells = {heading: row[at] if at < len(row) else "" for heading, at in columns.items()}
            yield _sheet_line(file, number, cells)
        elif "HCPC" in row:
            columns = {heading: row.index(heading) for heading in _HEADINGS if heading in row}
            missing = [heading for heading in _HEADINGS if heading not in columns]
            if missing:
                raise file.error(f"the column {missing[0]} is missing; is this the HCPC…ANWEB file?", number)
        elif not columns and number >= _MOST_ROWS_BEFORE:
            break
    if not columns:
        raise file.error("there is no row of headings with HCPC; is this the HCPC…ANWEB file?")


def _sheet_line(file: SourceFile, number: int, cells: dict[str, str]) -> Line:
    kind = cells["RECID"]
    if len(kind) != 1 or kind not in FIRST + MORE:
        raise file.error(f"the record identification is {kind!r} instead of 3, 4, 7 or 8", number, "RECID")
    values = ((name, cells[heading]) for name, heading, _, _ in _FIELDS)
    return Line(
        number=number,
        kind=kind,
        code=cells["HCPC"],
        long=cells["LONG DESCRIPTION"],
        short=cells["SHORT DESCRIPTION"],
        xrefs=[cells[heading] for heading in _XREFS],
        values={name: value for name, value in values if value.strip("0")},  # no date is "0" in some years
    )


def _sheet_rows(file: SourceFile) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of the first sheet as text. openpyxl is imported here: it takes a while, and few need it."""
    openpyxl = import_module("openpyxl")
    try:
        content = io.BytesIO(file.whole())
        with zipfile.ZipFile(content) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _LARGEST_WORKBOOK:
                raise file.error("the workbook is too large; is this the HCPC…ANWEB file?")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of missing styles
            book = openpyxl.load_workbook(content, read_only=True, data_only=True)
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # what the file says of its size may be wrong
        for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
            yield number, [_text(value) for value in row]
    except (zipfile.BadZipFile, zlib.error, ParseError, KeyError, ValueError, IndexError, EOFError, OSError) as error:
        raise file.error(f"this is not a spreadsheet of Excel, or it is cut off ({error})") from error


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y%m%d}"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()
