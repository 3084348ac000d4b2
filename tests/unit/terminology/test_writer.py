"""A release is written from facts in any order, and read back whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.errors import TerminologyError
from fhir_coder.model import ICD10CM, LOINC, RXNORM, SNOMED
from fhir_coder.terminology.importer import store
from fhir_coder.terminology.keys import MentionIndex
from fhir_coder.terminology.normalise import normalise
from fhir_coder.terminology.release import (
    Broader,
    Concept,
    Drug,
    Fact,
    Import,
    MapRow,
    Measure,
    Name,
    Property,
    Release,
    ReleaseKind,
)
from fhir_coder.terminology.stored_release import StoredRelease


def _write(folder: Path, *facts: Fact, kind: ReleaseKind = "complete", system: str = SNOMED) -> StoredRelease:
    release = Release(system=system, version="1", title="Tiny", kind=kind)
    (stored,) = store(Import(releases=(release,), facts=((0, fact) for fact in facts)), folder, lambda *_: None)
    return StoredRelease(stored.folder)


def _mentioned(release: StoredRelease, text: str) -> bool:
    words = normalise(text).split()
    return (0, len(words) - 1) in MentionIndex(*release.mentions()).find(words)


def test_facts_in_any_order(tmp_path: Path) -> None:
    """Names may come before their concept; duplicates are one; names of unknown codes are left out."""
    release = _write(
        tmp_path,
        Name("1", "flu", "synonym", True),
        Broader("1", "2"),
        Name("9", "of nothing", "synonym", True),
        Concept("2", "Infection", "disease", "header"),
        Concept("1", "Influenza", "disease"),
        Name("1", "flu", "synonym", True),
        Name("1", "Influenza", "preferred", True),
    )
    assert [(name.text, name.kind) for name in release.names_of("1")] == [
        ("Influenza", "preferred"),
        ("flu", "synonym"),
    ]
    assert (release.children("2"), release.parents("1")) == (["1"], ["2"])
    assert [name.code for name in release.names("influenza")] == ["1"]
    assert release.names("of nothing") == []


def test_everything_is_read_back(tmp_path: Path) -> None:
    facts: set[Fact] = {
        Concept("1", "One", "lab-test", "active", False),
        Concept("2", "Two", "", "retired", True),
        Name("1", "One", "preferred", True),
        Broader("1", "2"),
        Property("1", "COMPONENT", "Sodium"),
        MapRow(SNOMED, "2", SNOMED, "1", "replaced-by", "us", 2, 3, "TRUE", "ALWAYS", True),
        Measure("1", "mmol/L", 1.5, None),
        Drug("1", "5487/17767", "12.5 mg/5 mg", "oral tablet", "9"),
    }
    release = _write(tmp_path, *facts)
    assert set(release.facts()) == facts
    assert release.drugs("5487/17767")[0].brand == "9"
    assert release.maps_from(SNOMED, "2") == release.maps_to(SNOMED, "1")


@pytest.mark.parametrize(
    ("name", "looked_for"),
    [
        (Name("1", "cholera", "synonym", True), True),
        (Name("1", "cholera", "synonym", False), False),
        (Name("1", "history of cholera", "synonym", True), False),  # that is for ConText to find
        (Name("1", "about", "synonym", True), False),  # an ordinary word
        (Name("1", "AM", "synonym", True), True),  # but not as an abbreviation
        (Name("2", "walking", "synonym", True), False),  # no entity of a note
        (Name("3", "smallpox", "synonym", True), False),  # retired
    ],
)
def test_what_is_looked_for_in_notes(tmp_path: Path, name: Name, looked_for: bool) -> None:
    concepts = (Concept("1", "A", "disease"), Concept("2", "B", ""), Concept("3", "C", "disease", "retired"))
    assert _mentioned(_write(tmp_path, *concepts, name), name.text) == looked_for


def test_a_supplement_names_codes_that_it_does_not_hold(tmp_path: Path) -> None:
    release = _write(tmp_path, Name("1", "flu", "synonym", True), kind="supplement")
    concept = release.concept("1")
    assert concept is not None
    assert (concept.display, concept.type) == ("", "")
    assert _mentioned(release, "flu")


def test_words_without_letters_are_no_names(tmp_path: Path) -> None:
    release = _write(
        tmp_path, Concept("1", "A", "disease"), Name("1", "糖", "synonym", True), Name("1", " - ", "synonym", True)
    )
    assert release.names_of("1") == []


def test_full_text(tmp_path: Path) -> None:
    """Words are found by their beginnings, whatever the case and accents."""
    release = _write(
        tmp_path,
        Concept("1", "A", "disease"),
        Concept("2", "B", "disease"),
        Name("1", "Ménière disease of the left ear", "synonym", False),
        Name("2", "MENIERE", "synonym", False),
    )
    assert {row[0] for row in release.codes_containing('"meni"*', 9) or []} == {"1", "2"}
    assert {row[0] for row in release.codes_containing('"meni"* "dis"*', 9) or []} == {"1"}


def test_a_code_that_stands_there_twice(tmp_path: Path) -> None:
    with pytest.raises(TerminologyError, match="Tiny: the code 1 stands there twice"):
        _write(tmp_path, Concept("1", "A", ""), Concept("1", "B", ""))


def test_nothing_found(tmp_path: Path) -> None:
    with pytest.raises(TerminologyError, match="Tiny: nothing was found"):
        _write(tmp_path)


def test_a_release_of_which_there_is_nothing_is_left_out(tmp_path: Path) -> None:
    releases = tuple(Release(system=system, version="1", title=system) for system in (ICD10CM, LOINC, RXNORM))
    facts: list[tuple[int, Fact]] = [(1, Concept("1", "A", ""))]
    stored = store(Import(releases=releases, facts=facts), tmp_path, lambda *_: None)
    assert [each.release.system for each in stored] == [LOINC]


@pytest.mark.parametrize("content", [None, b"", b"no database"])
def test_what_is_no_release(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "release.sqlite").write_bytes(content)
    with pytest.raises(TerminologyError, match=r"release\.sqlite is no release"):
        StoredRelease(tmp_path)


def test_a_release_of_another_schema(tmp_path: Path) -> None:
    import sqlite3

    release = _write(tmp_path, Concept("1", "A", ""))
    release.close()
    with sqlite3.connect(release.folder / "release.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(TerminologyError, match="Tiny was imported by another version"):
        StoredRelease(release.folder)


_WORDS = st.lists(st.sampled_from("pain chest left of acute heart failure".split()), min_size=1, max_size=12)


@given(st.lists(_WORDS, min_size=1, max_size=8), _WORDS)
def test_mentions_are_found_as_by_comparing_all(names: list[list[str]], note: list[str]) -> None:
    """The index of numbers finds what comparing every phrase of a note with every name finds."""
    import numpy as np

    from fhir_coder.terminology.keys import prefix_numbers

    numbers = [prefix_numbers(name) for name in names]
    index = MentionIndex(
        np.array([number for each in numbers for number in each], dtype=np.uint64),
        np.array([each[-1] for each in numbers], dtype=np.uint64),
    )
    phrases = [
        (first, last)
        for first in range(len(note))
        for last in reversed(range(first, len(note)))
        if note[first : last + 1] in names
    ]
    assert index.find(note) == phrases
