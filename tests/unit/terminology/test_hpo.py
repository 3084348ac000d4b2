"""The OBO parser, on a document of our own."""

from __future__ import annotations

import re

import pytest

from fhir_coder.errors import TerminologyError
from fhir_coder.terminology import hpo

OBO = """format-version: 1.4
data-version: hp/releases/2026-01-01

[Term]
id: HP:0000118
name: Phenotypic abnormality

[Term]
id: HP:1
name: Big "head"
def: "Not a synonym EXACT" [x]
synonym: "Large \\"head\\"" EXACT layperson []
synonym: "Head thing" RELATED []
synonym: "Macrocephaly" EXACT [ORCID:1]
xref: SNOMEDCT_US:19410003
xref: UMLS:C0000001
xref: SNOMEDCT_US:not-a-code
is_a: HP:0000118 ! Phenotypic abnormality

[Term]
id: HP:2
name: Tic
synonym: "Habit spasm" EXACT []
is_a: HP:1 ! Big "head"
is_a: HP:0000118 ! Phenotypic abnormality

[Term]
id: HP:3
name: obsolete Thing
is_obsolete: true

[Term]
id: HP:0000005
name: Mode of inheritance

[Typedef]
id: part_of
name: part of
"""


def test_parse() -> None:
    terms = {term.id: term for term in hpo.parse(OBO)}
    assert set(terms) == {"HP:0000118", "HP:1", "HP:2", "HP:0000005"}
    head = terms["HP:1"]
    assert head.name == 'Big "head"'
    assert head.synonyms == ('Large "head"', "Macrocephaly")
    assert head.snomed == ("19410003",)
    assert terms["HP:2"].parents == ("HP:1", "HP:0000118")


def test_load(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "hp.obo"  # type: ignore[operator]
    path.write_text(OBO, encoding="utf-8")
    monkeypatch.setattr(hpo, "obo_path", lambda: path)
    release = hpo.load()
    concepts = {concept.code: concept for concept in release.concepts}
    assert release.version == "2026-01-01"
    assert set(concepts) == {"HP:1", "HP:2"}
    assert not any(concept.codable for concept in concepts.values())
    assert [(name.text, name.kind, name.mention) for name in concepts["HP:2"].names] == [
        ("Tic", "preferred", False),  # a short word is too often something else
        ("Habit spasm", "synonym", True),
    ]
    assert [(row.source_code, row.target_code) for row in release.maps] == [("HP:1", "19410003")]


def test_the_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hpo, "find_spec", lambda _: None)
    with pytest.raises(TerminologyError, match=re.escape("requirements-data.txt")):
        hpo.obo_path()
