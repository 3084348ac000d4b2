"""What is ranked beside the load: by the cascade, and by vectors alone."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from fhir_coder.linking.lexical import Hit
from fhir_coder.lookup.queries import Kind, Query
from fhir_coder.lookup.rank import nearest, rank
from fhir_coder.model import ICD10CM, SNOMED
from fhir_coder.pipeline import Coder

QUERIES = [
    Query(Kind.EXACT, "icd10cm", "Essential (primary) hypertension", "I10"),
    Query(Kind.MISSPELT, "snomed", "hypertenson", "38341003"),
    Query(Kind.EXACT, "icd10cm", "Essential (primary) hypertension", "I10"),
]


def test_rank(coder: Coder) -> None:
    found = rank(coder.settings, QUERIES)
    assert [codes[0] for codes in found.ranked] == [query.code for query in QUERIES]
    assert found.ways[0].queries == 2
    if coder.settings.encoder == "none":
        assert found.dense is None
    else:
        assert found.dense is not None
        assert found.dense[0] == found.dense[2] == "I10"
        assert found.ways[1].name == "baseline: dense only"


def test_the_nearest_of_each_code_system() -> None:
    class Dense:
        """Knows one name of each code system but LOINC."""

        def encode(self, texts: Sequence[str]) -> Any:
            assert list(texts) == ["a b", "c", "a b"]
            return np.zeros((len(texts), 2), np.float32)

        def search(self, vectors: Any, system: str, top: int) -> list[list[Hit]]:
            assert top == 1
            code = {SNOMED: "1", ICD10CM: "2"}.get(system)
            release: Any = SimpleNamespace(name=lambda _: SimpleNamespace(code=code))
            return [[Hit(release, 7, 0.5)] if code else [] for _ in vectors]

    pairs = [("snomed", "A b"), ("loinc", "c"), ("icd10cm", "A b")]
    assert nearest(Dense(), pairs) == ["1", "", "2"]  # type: ignore[arg-type]
