"""The Alphabetic Index of ICD-10-CM in XML: diseases, external causes, the neoplasm table and the table of drugs.

Elements as in icd10cm-index.xsd of the release: `mainTerm` and nested `term`, each with a `title` in which `nemod`
holds non-essential modifiers (words that may be said or not), and with a `code` or, in the two tables, `cell`s. A code
that ends in "-" is incomplete: the entry leads to the header of that stem.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from functools import cache
from xml.etree.ElementTree import Element

from fhir_coder.tables import read_table
from fhir_coder.terminology.loaders.icd10cm_names import chapter, is_code
from fhir_coder.terminology.loaders.icd10cm_xml import elements
from fhir_coder.terminology.release import Fact, Name
from fhir_coder.terminology.source import SourceFile

ROOT = "ICD10CM.index"
NO_CODE = "index entries and table cells without a code (cross-references)"
UNKNOWN = "codes of the index that the release does not have"
MANIFESTATION = "manifestation codes beside an index entry's own code"

_COLUMNS_TABLE = "terminology/icd10cm_table_columns.csv"
_TERMS = frozenset({"mainTerm", "term"})
_CODES = frozenset({"code", "subcat", "seecat"})  # "see subcategory": an entry that leads to a header
_PARTS = _TERMS | _CODES | {"title", "cell", "letter", "see", "seeAlso", "manif", "head", "indexHeading", "version"}

_MODIFIER = re.compile(r"\(([^()]*)\)")
_WORDS = re.compile(r"[a-z]+")
_LONGEST_MODIFIER = 4  # words
_SHARED_START = 3  # letters that the forms of one word have in common ("abdomen, abdominal")
_MOST_FORMS = 4
_MENTION_WORDS = range(2, 5)  # one word of the index is too often a word of any sentence ("deformity")
_LONGEST_MENTION_PATH = 2  # main term and one term below


@dataclass(slots=True)
class _Term:
    """An open mainTerm or term."""

    forms: tuple[str, ...] = ("",)  # how its title may be said, without non-essential modifiers
    modified: tuple[str, ...] = ()  # the title with one of its non-essential modifiers
    codes: list[tuple[str, str]] = field(default_factory=list)  # code, heading of its column or ""
    line: int = 0


def read(file: SourceFile, codes: Container[str] | None, skipped: Counter[str]) -> Iterator[Fact]:
    """Yield an "index" name for every entry that ends in a code, one more for each of its non-essential modifiers.

    `codes` is which codes there are; None when the release is not at hand, so that the writer has to know.
    Raises `TerminologyError` where the file is not well-formed, an entry has no title, or the heading of a table's
    column is not in `mappings/terminology/icd10cm_table_columns.csv`.
    """
    above: list[_Term] = []
    headings: dict[str, str] = {}  # of a table: column, what its codes are called
    external = found = False
    for event, element, line in elements(file, ROOT, _PARTS):
        tag = element.tag
        if event == "start":
            if tag in _TERMS:
                above.append(_Term(line=line))
        elif tag == "title":
            if above:
                above[-1].forms, above[-1].modified = _title(element)
            elif "EXTERNAL CAUSE" in (element.text or "").upper():
                external = True
        elif tag == "head" and element.get("col") != "1":
            headings[element.get("col", "")] = _heading(file, line, element)
        elif tag in _CODES and above:
            above[-1].codes.append(((element.text or "").strip(), ""))
        elif tag == "cell" and above:
            if element.get("col") not in headings:
                raise file.error("the column has no heading; is the start of the table missing?", line)
            above[-1].codes.append(((element.text or "").strip(), headings[element.get("col", "")]))
        elif tag == "manif":
            skipped[MANIFESTATION] += 1
        if event == "end" and tag in _TERMS:
            found = True
            yield from _names(file, above, codes, external, skipped)
            above.pop()
    if not found:
        raise file.error("there is no term in this index")


def _heading(file: SourceFile, line: int, element: Element) -> str:
    words = " ".join(_WORDS.findall((element.text or "").lower()))
    try:
        return _headings()[words]
    except KeyError:
        message = f"the column {element.text!r} is not known; add it to mappings/{_COLUMNS_TABLE}"
        raise file.error(message, line) from None


@cache
def _headings() -> dict[str, str]:
    return {row["heading"]: row["name"] for row in read_table(_COLUMNS_TABLE, ("heading", "name"))}


@cache
def _connectives() -> frozenset[str]:
    return frozenset(row["word"] for row in read_table("terminology/icd10cm_index_connectives.csv", ("word",)))


def _title(element: Element) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return how a title is said without its non-essential modifiers, and with each of them."""
    start = element.text or ""
    modifiers: list[tuple[str, str]] = []  # the modifier, and the title before it
    for child in element:
        modifiers += [(modifier, start) for modifier in _MODIFIER.findall(child.text or "")]
        start += f" {child.tail or ''}"
    forms = tuple(_tidy(form) for form in _forms(start))
    modified = []
    for modifier, before in modifiers:
        words = modifier.split()
        # Not the plural "(s)", nor what only leads over to the terms below: "(due to)", "(in)".
        if len(modifier) > 1 and 0 < len(words) <= _LONGEST_MODIFIER and words[-1].lower() not in _connectives():
            joint = "" if modifier.startswith("-") else " "
            after = start[len(before) :].strip()
            modified.append(_tidy(f"{before if after else _forms(before)[0]}{joint}{modifier} {after}"))
    return forms, tuple(dict.fromkeys(modified))


def _forms(title: str) -> list[str]:
    """Return what a title lists: forms of one word ("abdomen, abdominal"), or one thing ("boat, not powered")."""
    parts = [part.strip() for part in title.split(", ") if part.strip()]
    words = {part.split()[0].lower() for part in parts}
    one_word = all(" " not in part for part in parts)
    if len(parts) > 1 and one_word and len({word[:_SHARED_START] for word in words}) == 1:
        return parts
    if len(parts) > 1 and words <= _connectives():  # "due to, caused by"
        return parts[:1]
    return [" ".join(parts)]


def _tidy(title: str) -> str:
    """Return a title without "NEC" and "NOS" at its end, which say how it is coded, not what it is."""
    words = title.replace(", ", " ").split()
    while len(words) > 1 and words[-1] in ("NEC", "NOS"):
        words.pop()
    return " ".join(words)


def _names(
    file: SourceFile, path: list[_Term], codes: Container[str] | None, external: bool, skipped: Counter[str]
) -> Iterator[Name]:
    last = path[-1]
    if not any(last.forms):
        raise file.error("the term has no title", last.line)
    if not last.codes:
        skipped[NO_CODE] += 1
    for text, phrase in last.codes:
        if not text.strip("-"):
            skipped[NO_CODE] += 1
            continue
        code = _existing(text, codes)
        if code is None:
            skipped[UNKNOWN] += 1
            continue
        for name, said_plainly in _said(path, in_table=bool(phrase)):
            if phrase:
                filled = phrase.replace("{}", name) if name else phrase.partition(" {}")[0].rpartition(" ")[0]
                yield Name(code, filled, "index", False)
            else:
                mention = said_plainly and not external and len(path) <= _LONGEST_MENTION_PATH
                yield Name(code, name, "index", mention and _is_mention(code, name))


def _existing(text: str, codes: Container[str] | None) -> str | None:
    """Return the code that an index entry leads to, or None."""
    code = text.rstrip("-").rstrip(".")
    if codes is None:
        return code if is_code(code.replace(".", "", 1)) else None
    if code in codes:
        return code
    stem = code.rstrip("X").rstrip(".")  # a header has no placeholders
    return stem if stem in codes else None


def _said(path: list[_Term], *, in_table: bool) -> Iterator[tuple[str, bool]]:
    """Yield the names that a path makes, and whether they are said without non-essential modifiers."""
    # The neoplasm table has one main term, which the headings of its columns say already.
    neoplasm = in_table and path[0].forms[0].lower().startswith("neoplasm")
    above = [term.forms[0] for term in path[neoplasm:-1]]
    last = path[-1]
    if neoplasm and len(path) == 1:
        yield "", True
        return
    made: dict[str, bool] = {}
    mains = path[0].forms[:_MOST_FORMS] if len(path) > 1 and not in_table else ("",)
    for main in mains:
        levels = [main, *above[1:]] if main else above
        for form in last.forms[:_MOST_FORMS]:
            made.setdefault(_in_order([*levels, form], in_table), True)
    for form in last.modified:
        made.setdefault(_in_order([*above, form], in_table), False)
    yield from made.items()


def _in_order(titles: list[str], in_table: bool) -> str:
    """Return the titles of a path in the order in which they are said: "chronic nephritis with edema".

    What stands below the main term qualifies it, until a connective comes ("with", "due to").
    """
    if in_table:
        return " ".join(titles)
    main, *terms = titles
    at = next(
        (at for at, term in enumerate(terms) if term.partition(" ")[0].lower() in _connectives()),
        len(terms),
    )
    return " ".join([*terms[:at], main, *terms[at:]])


def _is_mention(code: str, name: str) -> bool:
    """Tell whether notes are searched for an entry: a short name, of a chapter whose entries are findings."""
    rules = chapter(code[:3])
    words = name.split()
    return (
        rules is not None
        and rules.index_mention
        and len(words) in _MENTION_WORDS
        and not any(mark in name for mark in ",()[]/")
        and words[0].lower() not in _connectives()
        and words[-1].lower() not in _connectives()
        and all(len(word) > 1 and not word.isdigit() for word in words)
    )
