"""Small releases of hand-written names, with the index of their words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from fhir_coder.linking import spelling
from fhir_coder.linking.linker import Linker
from fhir_coder.terminology.release import Concept, Name
from fhir_coder.terminology.store import ConceptStore

Named = Callable[..., ConceptStore]


class NoHits:
    """An index in which nothing is similar."""

    def search(self, keys: Sequence[str], *_: Any) -> list[list[Any]]:
        """Return nothing for each."""
        return [[] for _ in keys]


@pytest.fixture
def named(make: Any) -> Named:
    """Store releases of one system each: named({SNOMED: {"1": ["gout"]}})."""

    def store(names: dict[str, dict[str, list[str]]]) -> ConceptStore:
        releases = []
        for system, concepts in names.items():
            facts = [Concept(code, texts[0], "disease") for code, texts in concepts.items()]
            kinds = ["preferred", *["synonym"] * 50]
            stated = [
                Name(code, text, kind, True)
                for code, texts in concepts.items()
                for text, kind in zip(texts, kinds, strict=False)
            ]
            release = make(system, "complete", *facts, *stated)
            spelling.build(release, release.folder, lambda _: None)
            releases.append(release)
        return ConceptStore(releases)

    return store


@pytest.fixture
def linker(named: Named) -> Callable[[dict[str, dict[str, list[str]]]], Linker]:
    """Link over small releases, by what is said and not by what is similar."""
    return lambda names: Linker(named(names), lexical=lambda: NoHits(), dense=None, top=5)  # type: ignore[arg-type,return-value]
