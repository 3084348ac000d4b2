"""ICD-10-CM codes of whole documents: full codes, three-character categories, and the first k of the ranking.

Found are the codes of what the patient has or may have: not what is denied, hypothetical, planned or a relative's.
CodiEsp (Miranda-Escalada 2020) is coded by the ICD-10-CM of 2018 as published in Spain. A code that the loaded release
does not have, or has subdivided since (R51, now R51.0 and R51.9), cannot be found: it is counted apart and not as
missed, and what is found below it not as false. Categories are compared as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fhir_coder.evaluation.document import Document
from fhir_coder.evaluation.figures import Score, Share, score, share

FIRST = (1, 5, 10)
_CATEGORY = 3  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeFigures:
    """The figures, and the codes most often missed, falsely found, or not assignable (any more)."""

    annotated: int
    full: Score
    category: Score
    first: tuple[tuple[int, Share], ...]  # precision at k: of the first k places, those with a right code
    missed: tuple[tuple[str, int], ...]
    false: tuple[tuple[str, int], ...]
    gone: tuple[tuple[str, int], ...]
    gone_count: int


def code_figures(documents: Sequence[Document], assignable: Callable[[str], bool], top: int = 15) -> CodeFigures | None:
    """Return the figures, or None where no document has codes. `assignable`: whether a code may be chosen."""
    if not any(document.codes for document in documents):
        return None
    full, category, first = [], [], []
    missed: Counter[str] = Counter()
    false: Counter[str] = Counter()
    gone: Counter[str] = Counter()
    for document in documents:
        lost = tuple(code for code in document.codes if not assignable(code))
        gone.update(lost)
        gold = {code for code in document.codes if code not in lost}
        ranked = [code for code in document.ranked if not code.startswith(lost)]
        ours = set(ranked)
        full.append(_counts(gold, ours))
        broad = ({code[:_CATEGORY] for code in codes} for codes in (document.codes, document.ranked))
        category.append(_counts(*broad))
        first.append([n for k in FIRST for n in (sum(code in gold for code in ranked[:k]), k)])
        missed.update(gold - ours)
        false.update(ours - gold)
    places = np.array(first, dtype=np.int64)
    return CodeFigures(
        annotated=sum(len(document.codes) for document in documents),
        full=score("full code", np.array(full, dtype=np.int64)),
        category=score("category (3 characters)", np.array(category, dtype=np.int64)),
        first=tuple((k, share(places[:, 2 * at : 2 * at + 2])) for at, k in enumerate(FIRST)),
        missed=_most(missed, top),
        false=_most(false, top),
        gone=_most(gone, top),
        gone_count=gone.total(),
    )


def _counts(gold: set[str], ours: set[str]) -> tuple[int, int, int]:
    return len(gold & ours), len(ours), len(gold)


def _most(counts: Counter[str], top: int) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:top])
