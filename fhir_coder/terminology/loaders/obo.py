"""The ontologies of phenotypes and diseases (HPO, DOID, Mondo), in OBO format.

Their labels and exact synonyms are names of findings and diseases; their cross-references to SNOMED CT and ICD-10-CM
become maps. Their own codes are not emitted. Format: OBO 1.4,
https://owlcollab.github.io/oboformat/doc/GO.format.obo-1_4.html
Which terms of which ontology are taken as what: `mappings/terminology/ontologies.csv`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import cast, get_args

from fhir_coder.errors import TableError
from fhir_coder.model import ICD10CM, SNOMED, EntityType
from fhir_coder.tables import read_table
from fhir_coder.terminology.loaders.icd10cm_names import is_code
from fhir_coder.terminology.release import Concept, Fact, Import, MapRow, Name, Options, Relationship, Release
from fhir_coder.terminology.source import Source, SourceFile

NAME = "obo"
TITLE = "HPO, DOID or Mondo (OBO): names and cross-references"

_TABLE = "terminology/ontologies.csv"
_COLUMNS = ("ontology", "system", "root", "type", "relationship")
_ONTOLOGY = re.compile(r"ontology:\s*(\w+)")
_VERSION = re.compile(r"data-version:[^\d]*([\d.-]*\d)")
_SYNONYM = re.compile(r'"((?:[^"\\]|\\.)*)"\s+(EXACT|BROAD|NARROW|RELATED)\b\s*([^\s\[{]*)')
_ESCAPE = re.compile(r"\\(.)")
_BLANKS = {"n": " ", "W": " ", "t": " "}  # of the escapes; the others stand for themselves
_XREF = re.compile(r"(SNOMEDCT_US(?:_\d{4}_\d\d_\d\d)?|SCTID|ICD10CM):(\S+)(.*)")
_SNOMED_CODE = re.compile(r"[1-9][0-9]{5,17}")
# How Mondo marks what a cross-reference means; others of its marks say nothing of it.
_MEANINGS: Mapping[str, Relationship] = MappingProxyType(
    {
        "MONDO:equivalentTo": "equivalent",
        "MONDO:mondoIsNarrowerThanSource": "wider",
        "MONDO:mondoIsBroaderThanSource": "narrower",
        "MONDO:relatedTo": "relatedto",
    }
)
_NO_NAMES = frozenset({"obsolete_synonym", "DEPRECATED", "EXCLUDE", "DUBIOUS"})  # types of synonyms; or "MONDO:..."
_HEADER_LINES = 10_000
_SHORTEST_WORD = 5  # a one-word name shorter than this is too often something else
_LONGEST_MENTION = 6  # words


@dataclass(slots=True)
class _Term:
    """A stanza of the file, as far as it was read."""

    line: int
    id: str = ""
    name: str = ""
    synonyms: list[str] = field(default_factory=list)
    xrefs: list[tuple[str, str, Relationship | None]] = field(default_factory=list)  # system, code, meaning
    parents: list[str] = field(default_factory=list)
    obsolete: bool = False


@dataclass(frozen=True, slots=True)
class _Ontology:
    """A row of mappings/terminology/ontologies.csv."""

    name: str
    system: str
    root: str  # the terms below are findings; the rest are modifiers, onsets, inheritance
    type: EntityType
    relationship: Relationship  # of cross-references that do not state theirs


def recognises(source: Source) -> bool:
    """Tell whether there is an OBO file."""
    return bool(source.find("*.obo"))


def load(source: Source, options: Options) -> Import:
    """Return the release. Raises `TerminologyError` when it is another ontology, or states no version."""
    file = source.only("*.obo")
    ontology, stated = _header(file)
    version = options.version or stated
    if not version:
        raise file.error("the header has no data-version: give --version")
    title = f"{ontology.name.upper()}, names and cross-references only"
    release = Release(system=ontology.system, version=version, title=title)
    skipped: Counter[str] = Counter()
    return Import(releases=(release,), facts=((0, fact) for fact in _facts(file, ontology, skipped)), skipped=skipped)


def _header(file: SourceFile) -> tuple[_Ontology, str]:
    """Return the ontology, and the version if it is stated."""
    known = _ontologies()
    name = version = ""
    for number, line in file.lines():
        if line.startswith("[") or number > _HEADER_LINES:
            break
        if match := _ONTOLOGY.match(line):
            name = match.group(1)
        elif match := _VERSION.match(line):
            version = match.group(1)
    if name not in known:
        raise file.error(f"the header names {name or 'no ontology'}; known are {', '.join(known)}", None, "ontology")
    return known[name], version


def _ontologies() -> dict[str, _Ontology]:
    found = {}
    for row in read_table(_TABLE, _COLUMNS):
        if row["type"] not in set(EntityType) or row["relationship"] not in get_args(Relationship):
            raise TableError(f"mappings/{_TABLE}: {row['ontology']}: unknown type or relationship")
        relationship = cast(Relationship, row["relationship"])
        found[row["ontology"]] = _Ontology(
            row["ontology"], row["system"], row["root"], EntityType(row["type"]), relationship
        )
    return found


def _facts(file: SourceFile, ontology: _Ontology, skipped: Counter[str]) -> Iterator[Fact]:
    terms: dict[str, _Term] = {}
    for term in _terms(file, skipped):
        if term.id in terms:
            raise file.error(f"{term.id} is there twice, first in line {terms[term.id].line}", term.line, "id")
        terms[term.id] = term
    wanted = _descendants(terms, ontology.root)
    if not wanted:
        raise file.error(f"there is no term below {ontology.root}; is the file cut off?")
    skipped["terms that are no findings"] += len(terms) - len(wanted)
    for id_ in wanted:
        term = terms[id_]
        yield Concept(id_, term.name, ontology.type, "header")
        for name in dict.fromkeys([term.name, *term.synonyms]):
            yield Name(id_, name, "preferred" if name == term.name else "synonym", _is_mention(name))
        for system, code, meaning in dict.fromkeys(term.xrefs):
            relationship = meaning or ontology.relationship
            yield MapRow(ontology.system, id_, system, code, relationship, ontology.name)


def _terms(file: SourceFile, skipped: Counter[str]) -> Iterator[_Term]:
    """Yield the terms that are not obsolete."""
    term: _Term | None = None
    for number, line in file.lines():
        if line.startswith("["):
            if term is not None:
                yield from _whole(file, term, skipped)
            term = _Term(number) if line.strip() == "[Term]" else None
        elif term is not None and line.strip() and not line.startswith("!"):
            tag, colon, value = line.partition(":")
            if not colon:
                raise file.error("the line is no 'tag: value'; is the file cut off?", number)
            _add(file, term, tag, value.strip(), number, skipped)
    if term is not None:
        yield from _whole(file, term, skipped)


def _add(file: SourceFile, term: _Term, tag: str, value: str, line: int, skipped: Counter[str]) -> None:
    if tag == "id":
        term.id = value
    elif tag == "name":
        term.name = _unescaped(value)
    elif tag == "is_a":
        term.parents.append(value.split()[0] if value else "")
    elif tag == "is_obsolete":
        term.obsolete = value == "true"
    elif tag == "synonym":
        match = _SYNONYM.match(value)
        if match is None:
            raise file.error('a synonym is "text" EXACT [...]; is the line cut off?', line, "synonym")
        text = _unescaped(match.group(1))
        if match.group(2) != "EXACT" or match.group(3).rpartition(":")[2] in _NO_NAMES or not text:
            skipped["synonyms that are not exact, or withdrawn"] += 1
        else:
            term.synonyms.append(text)
    elif tag == "xref" and (match := _XREF.match(value)):
        prefix, code, rest = match.groups()
        system = ICD10CM if prefix == "ICD10CM" else SNOMED
        if _is_code(system, code):
            meaning = next((_MEANINGS[mark] for mark in _MEANINGS if f'"{mark}"' in rest), None)
            term.xrefs.append((system, code, meaning))
        else:
            skipped["cross-references to what is no code (a range, a group)"] += 1


def _is_code(system: str, code: str) -> bool:
    if system == SNOMED:
        return _SNOMED_CODE.fullmatch(code) is not None
    head, dot, tail = code.partition(".")
    return is_code(head + tail) and len(head) == 3 and bool(tail) == bool(dot)


def _whole(file: SourceFile, term: _Term, skipped: Counter[str]) -> Iterator[_Term]:
    if term.obsolete:
        skipped["obsolete terms"] += 1
    elif not term.id or not term.name:
        raise file.error("the term has no id or no name; is the file cut off?", term.line)
    else:
        yield term


def _unescaped(value: str) -> str:
    if "\\" in value:
        value = _ESCAPE.sub(lambda match: _BLANKS.get(match.group(1), match.group(1)), value)
    return " ".join(value.split())


def _descendants(terms: Mapping[str, _Term], root: str) -> list[str]:
    children = defaultdict(list)
    for term in terms.values():
        for parent in term.parents:
            children[parent].append(term.id)
    found: dict[str, None] = {}
    stack = [*children[root]]
    while stack:
        id_ = stack.pop()
        if id_ not in found:
            found[id_] = None
            stack.extend(children[id_])
    return list(found)


def _is_mention(text: str) -> bool:
    words = text.count(" ") + 1
    return (words > 1 or len(text) >= _SHORTEST_WORD) and words <= _LONGEST_MENTION and not set(text) & set(",([{")
