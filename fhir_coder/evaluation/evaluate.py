"""READ FIRST in this folder. A corpus compared with what was found in it.

AnnotatedNote, CodedNote -> document -> spans, assertions, codes (each by figures) -> Evaluation -> summary, report
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fhir_coder.evaluation.assertions import AssertionFigures, assertion_figures
from fhir_coder.evaluation.codes import CodeFigures, code_figures
from fhir_coder.evaluation.document import Document
from fhir_coder.evaluation.spans import SpanFigures, span_figures
from fhir_coder.model import EntityType


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """All figures of one corpus. What the corpus does not annotate is None."""

    corpus: str
    documents: int
    characters: int
    counted: Mapping[EntityType, str]  # type -> the name under which it is counted
    spans: SpanFigures | None
    assertions: AssertionFigures | None
    codes: CodeFigures | None


def evaluate(
    corpus: str,
    documents: Sequence[Document],
    counted: Mapping[EntityType, str],
    assignable: Callable[[str], bool],
) -> Evaluation:
    """Return the figures of a corpus. `assignable`: whether an ICD-10-CM code may be chosen."""
    return Evaluation(
        corpus=corpus,
        documents=len(documents),
        characters=sum(len(document.text) for document in documents),
        counted=counted,
        spans=span_figures(documents, set(counted.values())) if counted else None,
        assertions=assertion_figures(documents),
        codes=code_figures(documents, assignable),
    )
