"""application/rtf, text/rtf -> text, by striprtf; headers and footers of pages are left out by it.

Source: Rich Text Format Specification 1.9.1
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from striprtf.striprtf import PATTERN, rtf_to_text

from fhir_coder.attachments.extracted import Extracted, Limits
from fhir_coder.attachments.lines import cell_gap
from fhir_coder.errors import InputError

_MOST_GROUPS = 1_000_000  # "{"; a note of one million characters has some tens of thousands
_SILENT = {0xAD: None, 0x200B: None, 0xA0: " ", 0x2002: " ", 0x2003: " ", 0x2005: " ", 0x2011: "-", 0xFEFF: None}
_BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*){2,}")
_CELL_ENDS = re.compile(r"(?<![ \t])[ \t]*+\|[ \t]*+(?=\n|\Z)")
# Text that is struck out, deleted under change tracking, or hidden is not what the note says.
_NOT_SAID = frozenset({"strike", "striked", "deleted", "v"})
_HAS_NOT_SAID = re.compile(r"\\(?:striked?|deleted|v)(?![a-z])")


def read_rtf(raw: bytes, charset: str | None, limits: Limits) -> Extracted:  # noqa: ARG001 - the readers' signature
    r"""Return the text. RTF is ASCII and says its own code page: `\ansicpg` and the charset of each font.

    Raises `InputError` when it is no RTF.
    """
    if not raw.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{\\rtf"):
        raise InputError("the attachment is no RTF: it does not begin with {\\rtf", code="structure")
    if raw.count(b"{") > _MOST_GROUPS:
        raise InputError("the RTF has more groups than a note can have; send the text", code="too-long")
    # Latin-1 keeps every byte as it is; bytes that should have been escaped are mostly windows-1252.
    source = raw.decode("cp1252", "replace") if not raw.isascii() else raw.decode("ascii")
    source = source[source.index("{\\rtf") :]
    if _HAS_NOT_SAID.search(source):
        source = "".join(_said(source))
    plain: str = rtf_to_text(source, errors="replace")  # type: ignore[no-untyped-call]
    text = _joined_surrogates(plain).translate(_SILENT)
    text = "\n".join(map(_row, _CELL_ENDS.sub("", text).split("\n")))
    return Extracted(text=_BLANK_LINES.sub("\n\n", text.replace("\r", "")).strip("\n"))


def _said(source: str) -> Iterator[str]:
    """Yield the RTF without the text that is struck out or hidden."""
    outer: list[bool] = []
    hidden = False
    for match in PATTERN.finditer(source):
        word, argument, code, _, brace, character = match.groups()
        if brace == "{":
            outer.append(hidden)
        elif brace == "}" and outer:
            hidden = outer.pop()
        elif word in _NOT_SAID:
            hidden = argument != "0"
        elif word == "plain":
            hidden = False
        if hidden and (code or character or word in ("u", "tab", "line")):
            continue
        yield match.group()


def _row(line: str) -> str:
    """Return a line in which striprtf marked the ends of cells by bars."""
    first, *cells = line.split("|")
    for before, cell in zip([first, *cells], cells, strict=False):
        first += cell_gap(before, cell) + cell.strip(" ")
    return first


def _joined_surrogates(text: str) -> str:
    r"""Return the text with \u-10179?\u-8704? as the one character that it means."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
