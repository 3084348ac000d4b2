"""Notes in shorthand, and untidy copies."""

from __future__ import annotations

from random import Random

from fhir_coder.training.noise import roughened
from fhir_coder.training.shorthand import notes
from fhir_coder.training.targets import TYPES


def test_notes_are_the_same_each_time_and_marked_exactly() -> None:
    made = notes(30)
    assert made == notes(30)
    assert {mark.type for note in made for mark in note.annotations} == set(TYPES)
    for note in made:
        for mark in note.annotations:
            marked = note.text[mark.start : mark.end]
            assert marked
            assert marked == marked.strip()
        assert "{" not in note.text


def test_untidy_copies_keep_the_targets_of_their_words() -> None:
    words = "Patient with severe chest pain , the left arm . No fever".split()
    targets = [0, 0, 0, 1, 2, 0, 0, 3, 4, 0, 0, 1]
    random = Random(3)  # noqa: S311  # nothing secret
    copies = [roughened(words, targets, random) for _ in range(200)]
    assert all(len(copy) == len(kept) for copy, kept in copies)
    assert all([target for target in kept if target in (1, 3)] == [1, 3, 1] for _, kept in copies)
    assert any("pt" in copy for copy, _ in copies)
    assert any(len(copy) < len(words) for copy, _ in copies)
    assert any(set(copy) - set(words) - {"pt", "w", "/", "sev", "l"} for copy, _ in copies)
