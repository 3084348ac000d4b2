"""The reader on text that is no note: no exception, exact offsets, and work that grows no faster than the text.

Work is counted, not timed: the calls of Python functions on the way. `benchmarks/hostile.py` prints the time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.model import EntityType
from fhir_coder.nlp.assertion import Assertions, Target
from fhir_coder.nlp.sections import find_sections
from fhir_coder.nlp.sentences import LONGEST, split_sentences
from fhir_coder.pipeline import Coder
from tests.unit.nlp.hostile import HOSTILE, SPANISH, of_length

_SHORT = 3_000  # characters; enough to outweigh what does not depend on the length
_TIMES = 4
_PIECES = [
    "fever",
    "no ",
    "Denies:",
    "\n- ",
    "? ",
    "No",
    ". ",
    ".,",
    "PMH:",
    "\r\n",
    "\t",
    "(",
    "-",
    "+",
    "é",
    "😀",
    "5 mg ",
    " ",
]


def _calls(work: Callable[[], object]) -> int:
    count = 0

    def profile(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("kind", HOSTILE)
def test_work_grows_with_the_text_alone(coder: Coder, kind: str) -> None:
    short, long = (of_length(HOSTILE[kind], length) for length in (_SHORT, _TIMES * _SHORT))
    coder.reader.read(short)  # what is loaded or compiled when first needed is not counted
    calls = _calls(lambda: coder.reader.read(short))
    assert _calls(lambda: coder.reader.read(long)) <= 1.3 * _TIMES * calls + 2_000


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_sentence_is_long(kind: str) -> None:
    """ConText's work is bounded by the length of a sentence.

    The text is so long that a pattern which reads it from the start for each stop would take minutes.
    """
    text = of_length(HOSTILE[kind], 200 * LONGEST)
    assert all(0 < end - start <= LONGEST for start, end in split_sentences(text, find_sections(text)))


def test_a_note_in_spanish_has_no_findings_of_short_words(coder: Coder) -> None:
    """There is no guard against other languages: what is not English is not found, what looks the same is the same.

    "una" is a test's name too (UNa, urine sodium), but a test without a value is never written.
    """
    entities = [reading.entity for reading in coder.reader.read(SPANISH)[1]]
    assert not [entity.text for entity in entities if entity.type is not EntityType.LAB_TEST]


@given(st.one_of(st.text(max_size=400), st.lists(st.sampled_from(_PIECES), max_size=60).map("".join)))
def test_offsets_are_exact(coder: Coder, text: str) -> None:
    sections, readings = coder.reader.read(text)
    assert all(0 <= section.start <= section.body_start <= section.end <= len(text) for section in sections)
    for reading in readings:
        entity = reading.entity
        assert text[entity.start : entity.end] == entity.text != ""
        assert entity.sentence[0] <= entity.start < entity.end <= entity.sentence[1]


@given(st.text(max_size=200), st.data())
def test_any_words_can_be_asserted(text: str, data: st.DataObject) -> None:
    if not text.strip():
        return
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    target = Target(start, end, EntityType.DISEASE, section=None, chronic=False)
    assert len(_ASSERTIONS.read(text, (0, len(text)), [target])) == 1


_ASSERTIONS = Assertions()
