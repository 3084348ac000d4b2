"""Words and windows: every word is judged once, and hostile text costs no more than its length."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fhir_coder.nlp.words import LONGEST, blocks, read_words, windows


@given(st.text(max_size=300))
def test_words_are_parts_of_the_text(text: str) -> None:
    words = read_words(text)
    previous = 0
    for start, end, word in zip(words.starts, words.ends, words.texts, strict=True):
        assert previous <= start < end <= len(text)
        assert text[start:end].startswith(word.strip())
        previous = end
    assert list(words.breaks) == sorted(set(words.breaks))


def test_sentences_may_end_at_breaks_only() -> None:
    words = read_words("Pt w/ E. coli sepsis. No chest\npain.\nPlan: rest\n\nBP 120/80")
    assert [words.texts[at].strip() for at in words.breaks] == ["No", "Plan", "BP"]


def test_long_words_and_rows_of_marks() -> None:
    words = read_words(f"a {'9' * (LONGEST + 1)} b ((((((( c")
    assert [word.strip() for word in words.texts] == ["a", "b", "(", "c"]
    assert words.breaks == [1]  # nothing goes on over what was not read


@example([0, 0, 2, 12], [], 13)
@given(st.lists(st.integers(0, 12), max_size=200), st.lists(st.integers(1, 199), max_size=20), st.integers(13, 60))
def test_every_word_belongs_to_one_window(sizes: list[int], breaks: list[int], length: int) -> None:
    words = read_words("x " * len(sizes))
    words = type(words)(words.starts, words.ends, words.texts, sorted({at for at in breaks if at < len(sizes)}))
    judged = []
    for group in windows(words, sizes, length, length // 4):
        for window in group:
            assert sum(sizes[window.first : window.last]) <= length
            assert window.first <= window.own_first < window.own_last <= window.last
            judged.extend(range(window.own_first, window.own_last))
    assert judged == list(range(len(sizes)))


@given(st.text(alphabet="ab \n", max_size=300))
def test_blocks_are_the_text(text: str) -> None:
    text = text * 200
    assert "".join(text[start:end] for start, end in blocks(text)) == text


@pytest.mark.parametrize("text", ["a" * 10_000_000, "(" * 10_000_000, "\x00" * 10_000_000, "😀‍" * 1_000_000])
def test_hostile_text_is_read_in_seconds(text: str) -> None:
    started = time.monotonic()
    count = sum(len(read_words(text, start, end).starts) for start, end in blocks(text))
    assert time.monotonic() - started < 20
    assert count <= len(text)
