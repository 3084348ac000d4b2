"""The tabular list of ICD-10-CM in XML: the tree of codes with inclusion terms, notes and 7th characters.

Elements as in icd10cm-tabular.xsd of the release. A leaf below `sevenChrDef` is no code by itself: it is padded with X
to six characters and extended by each 7th character of the nearest `sevenChrDef` (guidelines I.A.4 and I.A.5).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple
from xml.etree.ElementTree import Element

from fhir_coder.tables import read_table, split
from fhir_coder.terminology.loaders.icd10cm_names import Chapter, chapter, is_code, names
from fhir_coder.terminology.loaders.icd10cm_xml import elements
from fhir_coder.terminology.release import Broader, Concept, Fact, Name, Property
from fhir_coder.terminology.source import SourceFile

ROOT = "ICD10CM.tabular"
NOT_LISTED = "codes of the tabular list that the order file does not have"

_LISTS = frozenset({"codeFirst", "useAdditionalCode", "codeAlso", "sevenChrNote"})  # a lead and its items: one note
_EXCLUDES = frozenset({"excludes1", "excludes2"})  # each note stands for itself
_NODES = frozenset({"chapter", "section", "diag"})
_TERMS = frozenset({"inclusionTerm", "includes"})
_HANDLED = _LISTS | _EXCLUDES | _TERMS | {"name", "desc", "sevenChrDef", "notes"}
_PARTS = _HANDLED | _NODES | {"introduction", "sectionIndex", "visualImpairment"}


class _Extension(NamedTuple):
    character: str
    meaning: str
    note: str  # a term that is included under this character, or ""


@dataclass(slots=True)
class _Node:
    """A chapter, section or diag that is being read."""

    tag: str
    code: str = ""
    description: str = ""
    terms: list[str] = field(default_factory=list)
    includes: list[str] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)  # property, text
    seventh: tuple[_Extension, ...] = ()
    has_children: bool = False


def read(file: SourceFile, codes: dict[str, int], skipped: Counter[str]) -> Iterator[Fact]:
    """Yield the facts of a tabular list.

    `codes` holds the codes of the order file: then the list only adds names, properties and terms to these. When it
    is empty, the list says which codes there are, and they are entered.
    Raises `TerminologyError` where the file is not well-formed, or a code is missing, malformed or there twice.
    """
    listed = bool(codes)
    above: list[_Node] = []
    for event, element, line in elements(file, ROOT, _PARTS):
        if element.tag in _NODES:
            if event == "start":
                above.append(_open(element.tag, above))
            else:
                node = above.pop()
                if node.tag == "diag":
                    parent = above[-1].code if above and above[-1].tag == "diag" else ""
                    yield from _facts(file, line, node, parent, codes, listed, skipped)
        elif event == "end" and above and element.tag in _HANDLED:
            _take(file, line, above[-1], element, listed)
    if not codes:
        raise file.error("there is no code in this tabular list")


def _open(tag: str, above: list[_Node]) -> _Node:
    node = _Node(tag)
    if above:
        parent = above[-1]
        parent.has_children = True
        node.seventh = parent.seventh
        if parent.tag != "diag":  # what holds for a chapter or section is stated at its categories
            node.notes = [*parent.notes]
    return node


def _take(file: SourceFile, line: int, node: _Node, element: Element, listed: bool) -> None:
    """Take over what an element says about the node that it stands in."""
    tag = element.tag
    if tag == "name":
        node.code = (element.text or "").strip()
    elif tag == "desc":
        node.description = (element.text or "").strip()
    elif tag == "sevenChrDef":
        node.seventh = _extensions(file, line, element)
    else:
        texts = [text for note in element if (text := (note.text or "").strip())]
        if tag == "inclusionTerm":
            node.terms += texts
        elif tag == "includes":
            node.includes += texts
        elif tag in _EXCLUDES:
            node.notes += [(tag, text) for text in texts]
        elif tag in _LISTS:
            node.notes.append((tag, "\n".join(texts)))
        elif not listed and node.code not in _exceptions():
            for text in texts:  # tag "notes"
                if "7th character" in text and "do not apply" in text:
                    message = (
                        f"a note at {node.code} excludes 7th characters; import the order file of the release, too"
                    )
                    raise file.error(message, line)


def _extensions(file: SourceFile, line: int, element: Element) -> tuple[_Extension, ...]:
    found: list[_Extension] = []
    for child in element:
        text = (child.text or "").strip()
        if child.tag == "note" and found:
            found[-1] = found[-1]._replace(note=text)
        elif child.tag == "extension":
            character = child.get("char", "")
            if len(character) != 1 or not character.isalnum() or not text:
                raise file.error("an extension is without its character or meaning", line)
            found.append(_Extension(character, text, ""))
    return tuple(found)


@cache
def _exceptions() -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    """The 7th characters that do not apply, by category: to which 6th characters, which ones."""
    rows = read_table("terminology/icd10cm_seventh_characters.csv", ("category", "sixth", "seventh", "reason"))
    return {row["category"]: (frozenset(split(row["sixth"])), frozenset(split(row["seventh"]))) for row in rows}


def _facts(
    file: SourceFile, line: int, node: _Node, parent: str, codes: dict[str, int], listed: bool, skipped: Counter[str]
) -> Iterator[Fact]:
    code = node.code
    if not is_code(code.replace(".", "", 1)) or code[3:4] not in ("", "."):
        raise file.error(f"{code!r} is not a code of ICD-10-CM", line)
    rules = chapter(code[:3])
    if rules is None:
        raise file.error(f"{code} is in no chapter of mappings/terminology/icd10cm_chapters.csv", line)
    if not node.description:
        raise file.error(f"{code} has no description", line)
    extended = [] if node.has_children else _extended(node, codes, listed)
    texts = [node.description, *node.terms, *node.includes]
    if listed:
        if code not in codes:
            skipped[NOT_LISTED] += 1
        else:
            if codes[code] == hash(node.description.lower()):
                yield from names(code, texts, rules.mention, stated=1)
            else:  # the order file's description is the preferred name
                yield from (name._replace(kind="synonym") for name in names(code, texts, rules.mention))
            yield from (Property(code, name, text) for name, text in node.notes)
    else:
        _enter(file, line, code, codes)
        yield Concept(code, node.description, rules.type, "header" if node.has_children or extended else "active")
        yield from names(code, texts, rules.mention)
        yield from (Property(code, name, text) for name, text in node.notes)
        if parent:
            yield Broader(code, parent)
    for longer, extension in extended:
        if not listed:
            _enter(file, line, longer, codes)
        yield from _extended_facts(longer, node, extension, rules, listed)


def _enter(file: SourceFile, line: int, code: str, codes: dict[str, int]) -> None:
    if code in codes:
        raise file.error(f"the code {code} stands there twice", line)
    codes[code] = 0


def _extended(node: _Node, codes: dict[str, int], listed: bool) -> list[tuple[str, _Extension]]:
    """Return the codes that the 7th characters make of a leaf."""
    dotted = node.code if "." in node.code else node.code + "."
    if len(dotted) > 7:  # has its 7th character
        return []
    stem = dotted.ljust(7, "X")
    sixth, seventh = _exceptions().get(node.code[:3], (frozenset(), frozenset()))
    return [
        (stem + extension.character, extension)
        for extension in node.seventh
        if (
            stem + extension.character in codes
            if listed
            else not (stem[-1] in sixth and extension.character in seventh)
        )
    ]


def _extended_facts(code: str, node: _Node, extension: _Extension, rules: Chapter, listed: bool) -> Iterator[Fact]:
    description = f"{node.description}, {extension.meaning}"
    if not listed:
        yield Concept(code, description, rules.type)
        yield from names(code, [description], False)
        yield Broader(code, node.code)
    if extension.note:
        yield Name(code, f"{node.description}, {extension.note}", "synonym", False)
