"""An evaluation for the terminal, and as plain data without any of the notes' words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from fhir_coder.evaluation.assertions import AssertionFigures
from fhir_coder.evaluation.codes import CodeFigures
from fhir_coder.evaluation.evaluate import Evaluation
from fhir_coder.evaluation.figures import Score, Share
from fhir_coder.evaluation.spans import Mistake, SpanFigures

_WORST = 8  # of each kind, in the terminal


def as_dict(evaluation: Evaluation) -> dict[str, Any]:
    """Return the figures as plain data. No words of notes are in it: mistakes are left to the report."""
    spans = evaluation.spans
    return {
        "corpus": evaluation.corpus,
        "documents": evaluation.documents,
        "characters": evaluation.characters,
        "counted": {type_.value: name for type_, name in evaluation.counted.items()},
        "strict": [asdict(score) for score in spans.strict] if spans else None,
        "relaxed": [asdict(score) for score in spans.relaxed] if spans else None,
        "assertions": asdict(evaluation.assertions) if evaluation.assertions else None,
        "codes": asdict(evaluation.codes) if evaluation.codes else None,
    }


def tables(evaluation: Evaluation) -> Iterator[Table]:
    """Yield the tables of an evaluation."""
    if evaluation.spans:
        yield _span_table(evaluation, evaluation.spans)
        for title, mistakes in (
            ("Most often missed", evaluation.spans.missed),
            ("Most often found and not annotated", evaluation.spans.false),
            ("Most often found with other borders", evaluation.spans.borders),
        ):
            if mistakes:
                yield _mistake_table(title, mistakes)
    if evaluation.assertions:
        yield _assertion_table(evaluation, evaluation.assertions)
    if evaluation.codes:
        yield _code_table(evaluation, evaluation.codes)


def percent(share: Share) -> str:
    """Return a share in percent, "-" where there is none."""
    return "-" if share.value is None else f"{100 * share.value:.1f}"


def interval(share: Share) -> str:
    """Return the interval of a share in percent."""
    return "" if share.low is None or share.high is None else f"{100 * share.low:.1f}-{100 * share.high:.1f}"


def _titled(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(title=Text(title), title_justify="left", header_style="bold")
    for column in left:
        table.add_column(column)
    for column in right:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _span_table(evaluation: Evaluation, spans: SpanFigures) -> Table:
    title = f"{evaluation.corpus}: {evaluation.documents:,} notes; in percent, with 95 % intervals over notes"
    table = _titled(title, ("Match", "Type"), ("Annotated", "Found", "Precision", "Recall", "F1", "95 %"))
    for match, scores in (("strict", spans.strict), ("relaxed", spans.relaxed)):
        for score in scores:
            table.add_row(match, score.name, f"{score.annotated:,}", f"{score.found:,}", *_shares(score))
        table.add_section()
    return table


def _shares(score: Score) -> tuple[str, str, str, str]:
    return percent(score.precision), percent(score.recall), percent(score.f1), interval(score.f1)


def _mistake_table(title: str, mistakes: Sequence[Mistake]) -> Table:
    table = _titled(title, ("Type", "Words", "There instead"), ("Times",))
    for mistake in mistakes[:_WORST]:
        table.add_row(mistake.type, Text(mistake.words[:60]), Text(mistake.instead[:60]), f"{mistake.count:,}")
    return table


def _assertion_table(evaluation: Evaluation, assertions: AssertionFigures) -> Table:
    title = f"{evaluation.corpus}: assertion of {assertions.judged:,} found of {assertions.annotated:,} annotated"
    table = _titled(title, ("Axis", "Class"), ("Annotated", "Precision", "Recall", "F1", "95 %"))
    for axis in assertions.axes:
        right = percent(axis.accuracy)
        table.add_row(axis.axis, "right (accuracy)", f"{assertions.judged:,}", "", "", right, interval(axis.accuracy))
        for score in axis.scores:
            table.add_row("", score.name, f"{score.annotated:,}", *_shares(score))
        table.add_section()
    return table


def _code_table(evaluation: Evaluation, codes: CodeFigures) -> Table:
    title = f"{evaluation.corpus}: ICD-10-CM codes of {evaluation.documents:,} notes"
    table = _titled(title, ("Code",), ("Annotated", "Found", "Precision", "Recall", "F1", "95 %"))
    for score in (codes.full, codes.category):
        table.add_row(score.name, f"{score.annotated:,}", f"{score.found:,}", *_shares(score))
    for k, share in codes.first:
        table.add_row(f"first {k}", "", "", percent(share), "", "", interval(share))
    table.add_row("not assignable (any more)", f"{codes.gone_count:,}", "", "", "", "", "")
    return table
