"""Spans, assertions and codes are counted as they are defined; the report holds nothing from elsewhere."""

from __future__ import annotations

import re
import stat
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.corpora.annotated import AnnotatedNote, Annotation
from fhir_coder.evaluation.assertions import assertion_figures
from fhir_coder.evaluation.codes import code_figures
from fhir_coder.evaluation.document import Document, Span, document
from fhir_coder.evaluation.evaluate import Evaluation, evaluate
from fhir_coder.evaluation.report import render, write_private
from fhir_coder.evaluation.spans import span_figures
from fhir_coder.evaluation.summary import as_dict, tables
from fhir_coder.model import ICD10CM, Assertion, CodedNote, Coding, Entity, EntityType, Note

TEXT = "chronic <b>gout</b> and asthma"
EMPTY = Document(text=TEXT, annotated=(), found=(), assertions=(), asserted=0, codes=(), ranked=())
COUNTED = {EntityType.DISEASE: "problem", EntityType.SYMPTOM: "problem"}


def _spans(annotated: list[Span], found: list[Span]) -> Document:
    return replace(EMPTY, annotated=tuple(annotated), found=tuple(found))


def test_strict_and_relaxed() -> None:
    documents = [
        _spans([Span(0, 15, "a"), Span(24, 30, "a")], [Span(11, 15, "a"), Span(24, 30, "b")]),
        _spans([Span(0, 7, "b")], [Span(0, 7, "b")]),
    ]
    figures = span_figures(documents, ["b", "a"])
    counts = {
        match: {score.name: (score.correct, score.found, score.annotated) for score in scores}
        for match, scores in (("strict", figures.strict), ("relaxed", figures.relaxed))
    }
    assert counts["strict"] == {"a": (0, 1, 2), "b": (1, 2, 1), "all (micro)": (1, 3, 3)}
    assert counts["relaxed"] == {"a": (1, 1, 2), "b": (1, 2, 1), "all (micro)": (2, 3, 3)}
    (missed,), (false,), (border,) = figures.missed, figures.false, figures.borders
    assert (missed.words, missed.type, missed.instead, missed.count) == ("asthma", "a", "b", 1)
    assert (false.words, false.type, false.instead) == ("asthma", "b", "a")
    assert (border.words, border.instead) == ("gout", "chronic <b>gout")
    assert missed.contexts[0].words == "asthma"
    assert missed.contexts[0].before.endswith("</b> and ")


FLAT = st.lists(st.booleans(), min_size=30, max_size=30).map(
    lambda marks: [Span(at, at + 1, "a") for at, mark in enumerate(marks) if mark]
)


@given(FLAT, FLAT)
def test_strict_is_what_is_in_both(annotated: list[Span], found: list[Span]) -> None:
    figures = span_figures([_spans(annotated, found)], ["a"])
    strict, relaxed = figures.strict[0], figures.relaxed[0]
    assert strict.correct == relaxed.correct == len(set(annotated) & set(found))
    assert sum(one.count for one in figures.missed) <= strict.annotated - strict.correct


def _entity(start: int, end: int, *, code: str = "", score: float = 1.0, **said: object) -> Entity:
    coding = Coding(system=ICD10CM, code=code, display="", version="", score=score, stage="exact", reason="")
    assertion = Assertion(**said)  # type: ignore[arg-type]
    return Entity(
        text=TEXT[start:end],
        start=start,
        end=end,
        type=EntityType.DISEASE,
        assertion=assertion,
        codings=(coding,) if code else (),
    )


def test_a_document() -> None:
    marked = (
        Annotation(start=11, end=15, label="Disease", type=EntityType.DISEASE, assertion=Assertion(negated=True)),
        Annotation(start=11, end=15, label="Other", type=EntityType.SYMPTOM),
        Annotation(start=24, end=30, label="None", type=None, assertion=Assertion()),
    )
    entities = (
        _entity(0, 12, code="M10.9", score=0.8),
        _entity(8, 15, code="M10.9", score=0.9, negated=False),
        _entity(16, 18, code="I10", score=0.95),
        _entity(18, 19, code="R05.9", negated=True),
        _entity(19, 20, code="R06.2", certainty="hypothetical"),
        _entity(20, 21, code="Z87.891", temporality="historical", score=0.9),
        _entity(21, 22, code="C50.919", experiencer="family"),
    )
    note = AnnotatedNote(id="1", text=TEXT, annotations=marked, codes=("M10.9",))
    compared = document(note, CodedNote(note=Note(text=TEXT), entities=entities), COUNTED)
    assert compared.annotated == (Span(11, 15, "problem"),)
    assert len(compared.found) == len(entities)
    assert compared.assertions == ((Assertion(negated=True), Assertion()),)
    assert (compared.asserted, compared.codes) == (2, ("M10.9",))
    assert compared.ranked == ("I10", "M10.9", "Z87.891")


def test_assertions() -> None:
    current, denied = Assertion(), Assertion(negated=True)
    pairs = ((denied, denied), (denied, current), (current, Assertion(certainty="possible")), (current, current))
    figures = assertion_figures([replace(EMPTY, assertions=pairs, asserted=6), EMPTY])
    assert figures is not None
    assert (figures.annotated, figures.judged) == (6, 4)
    (axis,) = figures.axes  # the corpus uses one class of each other axis, so they say nothing
    assert (axis.axis, axis.classes, axis.accuracy.value) == ("negation", ("affirmed", "negated"), 0.75)
    assert axis.confusion == ((2, 0), (1, 1))
    assert [(score.name, score.recall.value) for score in axis.scores] == [("affirmed", 1.0), ("negated", 0.5)]
    assert assertion_figures([EMPTY]) is None


def test_a_class_that_the_corpus_never_uses_counts_as_the_ordinary_one() -> None:
    pairs = (
        (Assertion(temporality="historical"), Assertion(temporality="historical")),
        (Assertion(), Assertion(temporality="future")),
    )
    figures = assertion_figures([replace(EMPTY, assertions=pairs, asserted=2)])
    assert figures is not None
    assert figures.axes[0].accuracy.value == 1.0


def test_codes() -> None:
    notes = [
        replace(EMPTY, codes=("M10.9", "R51", "J45.909"), ranked=("R51.9", "M10.9", "J45.20")),
        replace(EMPTY, codes=("I10",), ranked=()),
    ]
    figures = code_figures(notes, {"M10.9", "J45.909", "I10"}.__contains__)
    assert figures is not None
    assert (figures.full.correct, figures.full.found, figures.full.annotated) == (1, 2, 3)
    assert (figures.category.correct, figures.category.found, figures.category.annotated) == (3, 3, 4)
    assert figures.gone == (("R51", 1),)
    assert figures.missed == (("I10", 1), ("J45.909", 1))
    assert figures.false == (("J45.20", 1),)
    assert [(k, share.value) for k, share in figures.first] == [(1, 0.5), (5, 0.1), (10, 0.05)]
    assert code_figures([EMPTY], str.isupper) is None


@pytest.fixture
def evaluation() -> Evaluation:
    """Everything that an evaluation can hold."""
    pairs = ((Assertion(negated=True), Assertion(negated=True)), (Assertion(), Assertion()))
    spans = _spans([Span(8, 15, "problem")], [Span(24, 30, "problem"), Span(9, 13, "problem")])
    full = replace(spans, assertions=pairs, asserted=2, codes=("M10.9", "X1"), ranked=("M10.9",))
    return evaluate("corpus <1>", [full, EMPTY], COUNTED, "M10.9".__eq__)


def test_the_report_holds_nothing_from_elsewhere(evaluation: Evaluation) -> None:
    nothing = evaluate("none", [EMPTY], {}, str.isupper)
    html = render([evaluation, nothing], {"version": "<1>"})
    assert "<b>gout" not in html
    assert "&lt;b&gt;gout" in html
    assert "<script" not in html
    assert re.findall(r"""(?:src|href|url|@import)\s*[=(]""", html) == []
    assert "http" not in html.replace("http-equiv", "")
    assert html.count("<svg") == 3
    assert "nan" not in html


def test_the_figures_hold_no_words(evaluation: Evaluation) -> None:
    data = orjson.dumps(as_dict(evaluation))
    assert b"gout" not in data
    assert b"asthma" not in data
    assert len(list(tables(evaluation))) == 5


def test_only_the_owner_reads_the_report(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old", encoding="utf-8")
    path.chmod(0o644)
    write_private(path, b"new")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o600)
    with pytest.raises(OSError, match="absent"):
        write_private(tmp_path / "absent" / "report.html", b"")
    assert list(tmp_path.iterdir()) == [path]
