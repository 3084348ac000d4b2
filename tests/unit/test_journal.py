"""The journal of a long run."""

from pathlib import Path

import pytest

from fhir_coder.errors import InputError
from fhir_coder.journal import Journal


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_text("HTN")
    return path


def test_what_is_done_is_known_the_next_time(tmp_path: Path, note: Path) -> None:
    place = tmp_path / "journal"
    with Journal(place) as journal:
        assert not journal.is_done(note)
        journal.write(note, [])
    with Journal(place) as journal:
        assert journal.is_done(note)


def test_what_failed_or_has_changed_is_done_again(tmp_path: Path, note: Path) -> None:
    place = tmp_path / "journal"
    with Journal(place) as journal:
        journal.write(note, [])
        journal.write(note, ["text: the note is empty"])
    with Journal(place) as journal:
        assert not journal.is_done(note)
        journal.write(note, [])
    note.write_text("HTN, changed")
    with Journal(place) as journal:
        assert not journal.is_done(note)


def test_a_line_that_was_cut_off_is_forgotten(tmp_path: Path, note: Path) -> None:
    place = tmp_path / "journal"
    with Journal(place) as journal:
        journal.write(note, [])
    place.write_text(place.read_text() + place.read_text()[:20])
    with Journal(place) as journal:
        assert journal.is_done(note)
        journal.write(note, [])
    with Journal(place) as journal:
        assert journal.is_done(note)


@pytest.mark.parametrize("content", [b"a note\nof a patient\n", b"\xff\xfe"])
def test_another_file_is_not_taken_for_a_journal(tmp_path: Path, content: bytes) -> None:
    place = tmp_path / "journal"
    place.write_bytes(content)
    with pytest.raises(InputError, match="journal"):
        Journal(place)
    assert place.read_bytes() == content
