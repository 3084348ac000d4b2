"""The ontologies of phenotypes and diseases (HPO, DOID, Mondo), in OBO format.

Their labels and exact synonyms are names of findings and diseases; their cross-references to SNOMED CT and ICD-10-CM
become maps. Their own codes are not emitted. Format: OBO 1.4,
https://owlcollab.github.io/oboformat/doc/GO.format.obo-1_4.html
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from fhir_coder.model import ICD10CM, SNOMED, EntityType
from fhir_coder.tables import read_table
from fhir_coder.terminology.release import Concept, Fact, Import, MapRow, Name, Options, Relationship, Release
from fhir_coder.terminology.source import Source, SourceFile

NAME = "obo"
TITLE = "HPO, DOID or Mondo (OBO): names and cross-references"

_COLUMNS = ("ontology", "system", "root", "type", "relationship")
_SYNONYM = re.compile(r'"((?:[^"\\]|\\.)*)" EXACT')
_XREF = re.compile(r"(SNOMEDCT_US[0-9_]*|SCTID|ICD10CM):([0-9A-Z.]{3,18})\b")
_EQUIVALENT = "equivalentTo"  # how Mondo marks a cross-reference that means the same
_SHORTEST_WORD = 5  # a one-word name shorter than this is too often something else


@dataclass(frozen=True, slots=True)
class Term:
    """A stanza of the file."""

    id: str
    name: str
    synonyms: tuple[str, ...]
    xrefs: tuple[tuple[str, str, bool], ...]  # system, code, whether it is marked as equivalent
    parents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Ontology:
    """A row of mappings/terminology/ontologies.csv."""

    system: str
    root: str  # the terms below are findings; the rest are modifiers, onsets, inheritance
    type: EntityType
    relationship: Relationship  # of cross-references


def recognises(source: Source) -> bool:
    """Tell whether there is an OBO file."""
    return len(source.find("*.obo")) == 1


def load(source: Source, options: Options) -> Import:
    """Return the release. Raises `TerminologyError` when it is another ontology, or states no version."""
    (file,) = source.find("*.obo") or source.files[:1]
    header = file.head(1 << 16).decode("utf-8", "replace")
    named = re.search(r"^ontology: (\w+)", header, re.MULTILINE)
    known = {row["ontology"]: row for row in read_table("terminology/ontologies.csv", _COLUMNS)}
    if named is None or named.group(1) not in known:
        raise file.error(f"the header names none of the ontologies {', '.join(known)}")
    row = known[named.group(1)]
    dated = re.search(r"^data-version: \D*([\d.-]+)", header, re.MULTILINE)
    version = options.version or (dated.group(1) if dated else None)
    if not version:
        raise file.error("the header has no data-version: give --version")
    title = f"{named.group(1).upper()}, names and cross-references only"
    release = Release(system=row["system"], version=version, title=title)
    ontology = _Ontology(row["system"], row["root"], EntityType(row["type"]), row["relationship"])  # type: ignore[arg-type]
    skipped: Counter[str] = Counter()
    return Import(releases=(release,), facts=((0, fact) for fact in _facts(file, ontology, skipped)), skipped=skipped)


def _facts(file: SourceFile, ontology: _Ontology, skipped: Counter[str]) -> Iterator[Fact]:
    terms = {term.id: term for term in _terms(file, skipped)}
    wanted = _descendants(terms, ontology.root)
    if not wanted:
        raise file.error(f"there is no term below {ontology.root}; is the file cut off?")
    skipped["terms that are no findings"] += len(terms) - len(wanted)
    for id_ in wanted:
        term = terms[id_]
        yield Concept(id_, term.name, ontology.type, "header")
        for name in dict.fromkeys([term.name, *term.synonyms]):
            yield Name(id_, name, "preferred" if name == term.name else "synonym", _is_mention(name))
        for system, code, equivalent in term.xrefs:
            relationship = "equivalent" if equivalent else ontology.relationship
            yield MapRow(ontology.system, id_, system, code, relationship, id_.partition(":")[0].lower())


def _terms(file: SourceFile, skipped: Counter[str]) -> Iterator[Term]:
    """Yield the terms that are not obsolete."""
    stanza: dict[str, list[str]] | None = None
    started = 0
    for number, line in file.lines():
        if line.startswith("["):
            if stanza is not None:
                yield from _term(file, stanza, started, skipped)
            stanza, started = (defaultdict(list) if line.strip() == "[Term]" else None), number
        elif stanza is not None and line.strip():
            tag, colon, value = line.partition(": ")
            if not colon:
                raise file.error("the line is no 'tag: value'; is the file cut off?", number)
            stanza[tag].append(value)
    if stanza is not None:
        yield from _term(file, stanza, started, skipped)


def _term(file: SourceFile, tags: dict[str, list[str]], line: int, skipped: Counter[str]) -> Iterator[Term]:
    if "true" in tags.get("is_obsolete", ()):
        skipped["obsolete terms"] += 1
        return
    if "id" not in tags or "name" not in tags:
        raise file.error("the term has no id or no name; is the file cut off?", line)
    synonyms = (_SYNONYM.match(value) for value in tags.get("synonym", ()))
    found = ((_XREF.match(value), value) for value in tags.get("xref", ()))
    yield Term(
        id=tags["id"][0].strip(),
        name=tags["name"][0].strip(),
        synonyms=tuple(match.group(1).replace('\\"', '"') for match in synonyms if match),
        xrefs=tuple(
            (ICD10CM if match.group(1) == "ICD10CM" else SNOMED, match.group(2), _EQUIVALENT in value)
            for match, value in found
            if match
        ),
        parents=tuple(value.split(" ")[0] for value in tags.get("is_a", ())),
    )


def _descendants(terms: dict[str, Term], root: str) -> list[str]:
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
    return " " in text or len(text) >= _SHORTEST_WORD
