"""Names and concepts are found in the arrays as they were written."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_coder.errors import TerminologyError
from fhir_coder.terminology.keys import key_number
from fhir_coder.terminology.name_table import ConceptRow, NameTable, NameTableWriter, signed
from fhir_coder.terminology.normalise import bag, normalise
from fhir_coder.terminology.release import NameKind
from fhir_coder.terminology.store import ConceptStore
from fhir_coder.terminology.stored_release import StoredRelease
from fhir_coder.terminology.writer import DATABASE

CONCEPTS = (
    ConceptRow("E11.9", "Type 2 diabetes, \x1f of any\nkind", "disease", "active", chronic=True),
    ConceptRow("A00", "Choléra", "", "header", chronic=False),
    ConceptRow("Z", "", "", "retired", chronic=False),
)
NAMES: tuple[tuple[int, str, NameKind], ...] = (
    (0, "Type II diabetes", "preferred"),
    (0, "diabetes, type 2", "synonym"),
    (1, "Cholera", "preferred"),
    (1, "type ii Diabetes", "index"),
)


@pytest.fixture
def table(tmp_path: Path) -> NameTable:
    """A table of a few names."""
    writer = NameTableWriter(tmp_path)
    for concept in CONCEPTS:
        writer.add_concept(concept)
    for number, text, kind in NAMES:
        writer.add_name(number, text, normalise(text), kind)
    writer.finish()
    return NameTable(tmp_path)


def test_concepts(table: NameTable) -> None:
    for number, concept in enumerate(CONCEPTS):
        assert table.find_concept(concept.code) == number
        assert table.concept(number) == concept
        assert table.status(number) == concept.status
    assert table.find_concept("E11") is None
    assert [list(table.names_of(number)) for number in range(3)] == [[0, 1], [2, 3], []]


def test_names(table: NameTable) -> None:
    assert len(table) == len(NAMES)
    for number, (concept, text, kind) in enumerate(NAMES):
        assert (table.concept_of(number), table.texts[number], table.kind(number)) == (concept, text, kind)
        assert table.forms[number] == normalise(text)
    assert table.with_form(normalise("type II diabetes")) == [0, 3]
    assert table.with_bag(bag(normalise("diabetes type 2"))) == [0, 1, 3]
    assert table.with_form("gout") == table.with_bag("gout") == []


def test_what_may_be_a_name(table: NameTable) -> None:
    keys = [normalise(text) for text in ("Cholera", "2 diabetes of the type", "gout")]
    asked = signed(map(key_number, keys)), signed(key_number(bag(key)) for key in keys)
    assert table.may_have(*asked).tolist() == [True, True, False]


def test_an_empty_table(tmp_path: Path) -> None:
    NameTableWriter(tmp_path).finish()
    table = NameTable(tmp_path)
    assert len(table) == 0
    assert table.with_form("gout") == []
    assert table.may_have(signed([1]), signed([2])).tolist() == [False]


def test_the_store_tells_of_the_names_it_has(store: ConceptStore) -> None:
    assert store.may_be_names([]) == []
    assert store.may_be_names(["hypertension", "no name of any release"]) == [True, False]
    release = store.releases[0]
    for row in (1, 17, release.last_row()):
        assert release.form(row) == normalise(release.name(row).text)


@settings(max_examples=25)
@given(texts=st.lists(st.text(alphabet=st.characters(exclude_categories=("Cs",))), min_size=1))
def test_any_text(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    folder = tmp_path_factory.mktemp("table")
    writer = NameTableWriter(folder)
    writer.add_concept(ConceptRow("1", "", "", "active", chronic=False))
    for text in texts:
        writer.add_name(0, text, normalise(text), "synonym")
    writer.finish()
    table = NameTable(folder)
    assert [table.texts[number] for number in range(len(table))] == texts
    for number, text in enumerate(texts):
        assert number in table.with_form(normalise(text))


def test_a_release_without_its_table(store: ConceptStore, tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes((store.releases[0].folder / DATABASE).read_bytes())
    release = StoredRelease(tmp_path)
    with pytest.raises(TerminologyError, match="import it again"):
        release.names("gout")
    release.close()
