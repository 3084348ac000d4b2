"""Similar meaning: a paraphrase that shares few letters with any name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fhir_coder.linking import dense
from fhir_coder.linking.dense import DenseIndex
from fhir_coder.linking.encoder import Vectors
from fhir_coder.model import SNOMED
from fhir_coder.pipeline import Coder
from fhir_coder.terminology.release import Concept, Name
from fhir_coder.terminology.store import ConceptStore

WIDTH = 32


def test_a_paraphrase_finds_its_name(full_coder: Coder) -> None:
    found = full_coder.lookup("icd10cm", "kidney failing for a long time", 5)
    assert "dense" in {candidate.stage for candidate in found}
    assert found[0].code.startswith(("N18", "N19"))


def test_what_is_settled_never_reaches_the_encoder(full_coder: Coder, monkeypatch: pytest.MonkeyPatch) -> None:
    similar = full_coder.linker._similar
    assert similar._dense is not None
    monkeypatch.setattr(similar._dense, "encode", lambda _: pytest.fail("encoded"))
    texts = [("icd10cm", "pneumonia"), ("rxnorm", "lisinopril"), ("snomed", "hypertention"), ("rxnorm", "metformen")]
    for candidates in full_coder.lookup_many(texts, 3):
        assert candidates[0].score >= 0.8


def test_many_lookups_are_the_same_as_one_by_one(full_coder: Coder) -> None:
    texts = ["kidney failing for a long time", "gout", "sugar sickness", "brokn hip bone", "hart attack", "gout", ""]
    pairs = [(system, text) for text in texts for system in ("icd10cm", "snomed")]
    one_by_one = [full_coder.lookup(system, text, 3) for system, text in pairs]
    again = Coder(full_coder.settings, [release.folder for release in full_coder.store.releases])
    assert again.lookup_many(pairs, 3) == one_by_one
    again.store.close()


class _Directions:
    """In place of an encoder: every name has a direction of its own, drawn by its number."""

    width = WIDTH

    def encode_names(self, texts: Sequence[str], advance: Callable[[int], None]) -> Vectors:
        """Return the vectors of names "name 7"."""
        advance(len(texts))
        return self.encode(texts)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of queries "name 7 more or less": near the name's."""
        numbers = np.array([int(text.split()[1]) for text in texts])
        vectors = self._table()[numbers].copy()
        vectors[[text.count(" ") > 1 for text in texts], :2] += 0.02
        unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit

    def _table(self) -> Vectors:
        drawn: Vectors = np.random.default_rng(1).normal(size=(12_000, WIDTH)).astype(np.float32)
        unit: Vectors = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
        return unit


@pytest.mark.parametrize(("names", "kind"), [(300, "SQfp16"), (12_000, "IVF128,PQ16x4fs")])
def test_the_nearest_names_are_found(make: Any, names: int, kind: str) -> None:
    """Compared with all, or by codes and the nearest exactly: the scores are cosines, and the name is found."""
    facts = [
        fact
        for n in range(names)
        for fact in (Concept(str(n), "", "disease"), Name(str(n), f"name {n}", "synonym", True))
    ]
    store = ConceptStore([make(SNOMED, "complete", *facts)])
    encoder: Any = _Directions()
    release = store.releases[0]
    folder = release.folder / "vectors"
    assert not dense.has_vectors(folder)
    done: list[int] = []
    dense.build(dense.encoded_names(release), folder, encoder, done.append)
    assert sum(done) == names
    assert dense.index_type(names, WIDTH) == kind
    index = DenseIndex(store, "vectors", encoder)
    asked = range(0, names, names // 100)
    vectors = index.encode([f"name {n} more or less" for n in asked])
    found = index.search(vectors, SNOMED, 3)
    exact = (vectors * encoder.encode([f"name {n}" for n in asked])).sum(axis=1)
    for number, hits, cosine in zip(asked, found, exact, strict=True):
        assert release.name(hits[0].row).text == f"name {number}"
        assert hits[0].similarity == pytest.approx(cosine, abs=2e-3)
        assert [hit.similarity for hit in hits] == sorted((hit.similarity for hit in hits), reverse=True)


def test_a_release_without_names_has_an_empty_index(make: Any, tmp_path: Path) -> None:
    store = ConceptStore([make(SNOMED, "complete", Concept("1", "x", "disease"))])
    encoder: Any = _Directions()
    dense.build({}, store.releases[0].folder / "vectors", encoder, lambda _: None)
    assert DenseIndex(store, "vectors", encoder).search(encoder.encode(["name 1"]), SNOMED, 3) == [[]]


@pytest.mark.parametrize(
    ("names", "width", "kind"),
    [
        (10_000, 384, "SQfp16"),
        (10_001, 384, "IVF128,PQ192x4fs"),
        (134_000, 768, "IVF512,PQ384x4fs"),
        (560_000, 384, "IVF1024,PQ192x4fs"),
        (560_000, 385, "IVF1024,SQ8"),
    ],
)
def test_the_index_grows_with_the_names(names: int, width: int, kind: str) -> None:
    assert dense.index_type(names, width) == kind
