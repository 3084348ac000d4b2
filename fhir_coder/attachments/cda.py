"""CDA (C-CDA) -> text: the narrative of each section below its title, or the body that is not XML.

Source: HL7 CDA Release 2, section 4.3.5 (narrative block); C-CDA R2.1. The narrative is what the author attests, and
what is read; the coded entries, which repeat it, are not. The header (names, addresses) is not either.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from xml.etree.ElementTree import Element, ParseError

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from fhir_coder.attachments.extracted import Extracted, Limits, joined, within
from fhir_coder.attachments.lines import Lines
from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.tables import read_table

ReadInner = Callable[[bytes, str, Limits], Extracted]
"""Reads the bytes of a content type, for a body that is not XML."""

_LOINC = "2.16.840.1.113883.6.1"
_WORD = re.compile(r"[a-z0-9]+")
_ROOT = re.compile(rb"\A(?:\xef\xbb\xbf)?(?:\s|<\?.*?\?>|<!--.*?-->)*+<[^\s/>]+", re.DOTALL)
# Prefixes that HL7 defines, and that parts of documents use without declaring them.
_PREFIXES = {b"xsi": b"http://www.w3.org/2001/XMLSchema-instance", b"sdtc": b"urn:hl7-org:sdtc"}
_UNBOUND_PREFIX = 27  # XML_ERROR_UNBOUND_PREFIX of expat
_LINES = frozenset({"br", "tr", "thead", "tbody", "tfoot", "list"})
_PARAGRAPHS = frozenset({"paragraph", "caption", "table"})
_CELLS = frozenset({"td", "th"})
_WHEN = re.compile(r"\b(?:date|time|when|day)\b", re.IGNORECASE)
_DATE = re.compile(
    r"\s*(?:\d{1,4}[-/.]\d{1,2}(?:[-/.]\d{1,4})?|\d{8}|\d{0,2}\s?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*)\b",
    re.IGNORECASE,
)
_LONGEST_TITLE = 80  # characters of a column's title
_MOST_IN_CELL = 50  # elements in a cell
_DEEPEST = 8  # sections within sections that a path names, the innermost
_LONGEST_BRACKETED = 40  # characters of a title that may stand in brackets behind another


@dataclass(frozen=True, slots=True)
class _Section:
    element: Element
    path: tuple[str, ...]


def read_cda(raw: bytes, limits: Limits, read_inner: ReadInner, read_xhtml: ReadInner) -> Extracted:
    """Return the text of the document, with the sections as origins: "section 10160-0 Medications".

    A section whose title `mappings/sections.csv` does not know is headed by the one that its LOINC code has in
    `mappings/cda_sections.csv`, with its own in brackets, so that it is read as what it is.

    Raises `InputError` when the XML is wrong or has a DTD, and `UnsupportedError` when it is no CDA, or has no text.
    """
    root = _parse(raw)
    kind = _name(root)
    if kind == "html":
        return read_xhtml(raw, "text/html", limits)
    if kind not in ("ClinicalDocument", "component", "structuredBody", "section"):
        raise UnsupportedError("the XML is no CDA document; send CDA, or the note as text/plain")
    body = next((element for element in root.iter() if _name(element) == "nonXMLBody"), None)
    found = _read_body(body, limits, read_inner) if body is not None else _read_sections(root)
    if not found.text.strip():
        raise UnsupportedError("the CDA document has no narrative text; its entries alone are not read")
    return found


def _parse(raw: bytes) -> Element:
    try:
        try:
            root: Element = ElementTree.fromstring(raw, forbid_dtd=True)
        except ParseError as error:
            if error.code != _UNBOUND_PREFIX:
                raise
            root = ElementTree.fromstring(_with_prefixes(raw), forbid_dtd=True)
    except ParseError as error:
        line, column = error.position
        raise InputError(
            f"the XML is not well-formed at line {line}, column {column}; send it whole", code="structure"
        ) from None
    except DefusedXmlException:
        raise InputError(
            "the XML has a document type declaration, which CDA does not use and which may be an attack; "
            "send it without",
            code="structure",
        ) from None
    except (LookupError, ValueError):
        raise UnsupportedError("the charset that the XML declares is not read; send it as UTF-8") from None
    return root


def _with_prefixes(raw: bytes) -> bytes:
    root = _ROOT.match(raw)
    if root is None:
        return raw
    head = raw[: raw.find(b">", root.end())]
    declared = b"".join(
        b' xmlns:%s="%s"' % (prefix, uri) for prefix, uri in _PREFIXES.items() if b"xmlns:%s=" % prefix not in head
    )
    return raw[: root.end()] + declared + raw[root.end() :]


def _read_sections(root: Element) -> Extracted:
    parts: list[tuple[str, str]] = []
    for section in _sections(root):
        narrative = _child(section.element, "text")
        body = _narrative(narrative) if narrative is not None else ""
        heading = _heading(section.element)
        # A title without text of its own still heads the sections inside it.
        if body or _has_inner(section.element):
            parts.append((" / ".join(section.path), f"{heading}\n{body}".strip("\n")))
    return joined(parts, "\n\n")


def _sections(root: Element) -> Iterator[_Section]:
    """Yield the sections in the order of the document. Without recursion: XML may be nested at will."""
    waiting = [_Section(root, ())]
    while waiting:
        at = waiting.pop()
        path = at.path
        if _name(at.element) == "section":
            path = (*path[1 - _DEEPEST :], _place(at.element))
            yield _Section(at.element, path)
        waiting.extend(
            _Section(child, path)
            for child in reversed(at.element)
            if _name(child) in ("section", "component", "structuredBody")
        )


def _has_inner(section: Element) -> bool:
    return any(_name(child) == "component" for child in section)


def _place(section: Element) -> str:
    return " ".join(part for part in ("section", _loinc(section), _title(section)) if part)


def _loinc(section: Element) -> str:
    code = _child(section, "code")
    if code is None or code.get("codeSystem", _LOINC) != _LOINC:
        return ""
    return code.get("code", "")


def _title(section: Element) -> str:
    title = _child(section, "title")
    return _words(title) if title is not None else ""


def _heading(section: Element) -> str:
    """Return the section's title as one that is known as such, where its title or its code is."""
    title, known = _title(section), _headings().get(_loinc(section), "")
    if not known or _key(title) in _known_titles():
        return title
    bracketed = title.replace("(", "").replace(")", "")
    return f"{known} ({bracketed}):" if bracketed and len(bracketed) <= _LONGEST_BRACKETED else f"{known}:"


@cache
def _headings() -> dict[str, str]:
    """The heading for each LOINC code of a section."""
    return {row["loinc"]: row["heading"] for row in read_table("cda_sections.csv", ("loinc", "name", "heading"))}


@cache
def _known_titles() -> frozenset[str]:
    return frozenset(_key(row["title"]) for row in read_table("sections.csv", ("category", "title")))


def _key(title: str) -> str:
    return " ".join(_WORD.findall(title.lower()))


def _narrative(text: Element) -> str:
    """Return the text of a narrative block. Without recursion, by a stack of what is still to be done."""
    lines = Lines()
    titles = _row_titles(text)
    waiting: list[Element | Callable[[], None]] = [text]
    while waiting:
        step = waiting.pop()
        if not isinstance(step, Element):
            step()
            continue
        after = [_adder(lines, step.tail)] if step.tail and step is not text else []
        # Text that a later version of the document deleted, or struck out, is not what it says.
        if step.get("revised") == "delete" or "strikethrough" in step.get("styleCode", "").lower():
            waiting += after
            continue
        name = _name(step)
        _begin(lines, name, step)
        if step.text:
            lines.text(step.text)
        waiting += [*after, _ender(lines, name), *_with_cells(lines, step, titles.get(step, ()))]
    return str(lines)


def _with_cells(lines: Lines, element: Element, titles: Sequence[str] = ()) -> Iterator[Element | Callable[[], None]]:
    """Yield the children, the last first, with what separates cells, and the titles of their columns before them."""
    children = list(element)
    for at in range(len(children) - 1, -1, -1):
        yield children[at]
        if titles and at and titles[at] and _short(children[at]):
            yield _adder(lines, f"{titles[at]}: ")
        if at and _name(children[at]) in _CELLS:
            yield lines.cell


def _row_titles(text: Element) -> Mapping[Element, Sequence[str]]:
    """Return the titles of the columns for each row that begins with a date below such a title.

    In such a row nothing else says what is measured: "Nov 14, 1999 | 132/86" is to be read as "Nov 14, 1999 | Blood
    Pressure: 132/86". In other tables the first cell says what the row is about, and titles would stand between it and
    what is said of it.
    """
    found: dict[Element, Sequence[str]] = {}
    for table in (element for element in text.iter() if _name(element) == "table"):
        head = _child(table, "thead")
        head_row = _child(head, "tr") if head is not None else None
        titles = (
            [_short(cell).rstrip(":") for cell in head_row if _name(cell) in _CELLS] if head_row is not None else []
        )
        if not titles or not _WHEN.search(titles[0]) or max(map(len, titles)) > _LONGEST_TITLE:
            continue
        for part in table:
            for row in part if _name(part) == "tbody" else ():
                cells = list(row)
                if len(cells) == len(titles) and all(_name(cell) in _CELLS for cell in cells) and _is_date(cells[0]):
                    found[row] = titles
    return found


def _is_date(cell: Element) -> bool:
    return _DATE.match(_short(cell)) is not None


def _short(element: Element) -> str:
    """Return the words of a cell; "" of one that holds a document of its own."""
    inner = list(islice(element.iter(), _MOST_IN_CELL + 1))
    return _words(element) if len(inner) <= _MOST_IN_CELL else ""


def _words(element: Element) -> str:
    return " ".join("".join(element.itertext()).split())


def _begin(lines: Lines, name: str, element: Element) -> None:
    if name == "item":
        lines.item()
    elif name == "caption" and len(element) == 0 and not (element.text or "").strip():
        return
    else:
        _end(lines, name)


def _ender(lines: Lines, name: str) -> Callable[[], None]:
    return lambda: _end(lines, name)


def _end(lines: Lines, name: str) -> None:
    if name in _PARAGRAPHS:
        lines.end_line() if name == "caption" else lines.end_paragraph()
    elif name in _LINES or name == "item":
        lines.end_line()


def _adder(lines: Lines, text: str) -> Callable[[], None]:
    return lambda: lines.text(text)


def _read_body(body: Element, limits: Limits, read_inner: ReadInner) -> Extracted:
    text = _child(body, "text")
    if text is None:
        raise InputError("nonXMLBody has no text", code="required")
    content = "".join(text.itertext())
    if not content.strip() and _child(text, "reference") is not None:
        raise UnsupportedError("the text of the CDA document is in another file, which it refers to; send that file")
    if text.get("compression", "GZ") != "GZ":
        raise UnsupportedError("the body of the CDA document is compressed other than by gzip; send it as it is")
    media_type = text.get("mediaType", "text/plain")
    if text.get("representation", "TXT") == "TXT":
        return within(
            "nonXMLBody", read_inner(content.encode("utf-8", "replace"), f"{media_type};charset=utf-8", limits)
        )
    try:
        raw = base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InputError("the body of the CDA document is not base64", code="value") from None
    return within("nonXMLBody", read_inner(raw, media_type, limits))


def _child(element: Element, name: str) -> Element | None:
    return next((child for child in element if _name(child) == name), None)


def _name(element: Element) -> str:
    """The element's name without its namespace; "" for a comment."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
