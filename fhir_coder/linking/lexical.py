"""Candidates by character trigrams: for misspellings and inflections that no name has.

TF-IDF over the trigrams of each word (hashed, so that no vocabulary is kept), cosine similarity. One index per release,
stored as trigram -> names and memory-mapped, so that a query reads only its own trigrams.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.preprocessing import normalize

from fhir_coder.terminology.normalise import normalise
from fhir_coder.terminology.store import ConceptStore
from fhir_coder.terminology.stored_release import StoredRelease

_FEATURES = 1 << 17
_VECTORIZER = HashingVectorizer(
    analyzer="char_wb", ngram_range=(3, 3), n_features=_FEATURES, alternate_sign=False, norm=None, lowercase=False
)
_CHUNK = 50_000  # names vectorised at once
_LONGEST = 300  # characters of a name; what is behind tells nothing to a misspelt mention
_FOLDER = "trigrams"


@dataclass(frozen=True, slots=True)
class Hit:
    """A name that is similar to a query: its release, its row there, and the similarity in 0..1."""

    release: StoredRelease
    row: int
    similarity: float


def build(release: StoredRelease, folder: Path, advance: Callable[[int], None]) -> None:
    """Write the trigram index of a release into `folder`; `advance` is told the names that are done.

    Memory: about eight bytes per trigram of all names, twice.
    """
    place = folder / _FOLDER
    place.mkdir()
    rows: list[int] = []
    parts: list[sparse.csr_matrix] = []
    frequency = np.zeros(_FEATURES, dtype=np.int64)
    names = release.all_names()
    while chunk := list(islice(names, _CHUNK)):
        counts = _VECTORIZER.transform([normalise(name.text[:_LONGEST]) for name in chunk]).astype(np.float32)
        frequency += np.bincount(counts.indices, minlength=_FEATURES)
        rows.extend(name.row for name in chunk)
        parts.append(counts)
        advance(len(chunk))
    weight = (np.log((1 + len(rows)) / (1 + frequency)) + 1).astype(np.float32)
    for part in parts:
        part.data *= weight[part.indices]
        normalize(part, copy=False)
    postings = sparse.vstack(parts, format="csr").tocsc() if parts else sparse.csc_matrix((0, _FEATURES))
    np.save(place / "weight.npy", weight)
    np.save(place / "starts.npy", postings.indptr.astype(np.int64))
    np.save(place / "names.npy", postings.indices.astype(np.int32))
    np.save(place / "weights.npy", postings.data.astype(np.float16))
    np.save(place / "rows.npy", np.array(rows, dtype=np.int32))


class _Trigrams:
    """The trigram index of one release."""

    def __init__(self, release: StoredRelease) -> None:
        place = release.folder / _FOLDER
        self.release = release
        self.weight = np.load(place / "weight.npy")
        self._starts = np.load(place / "starts.npy")
        self._names = np.load(place / "names.npy", mmap_mode="r")
        self._weights = np.load(place / "weights.npy", mmap_mode="r")
        self._rows = np.load(place / "rows.npy", mmap_mode="r")

    def search(self, counts: sparse.csr_matrix, top: int) -> Iterator[list[Hit]]:
        """Yield, for each row of trigram counts, the `top` most similar names, best first."""
        queries = normalize(counts.multiply(self.weight).tocsr())
        for position in range(queries.shape[0]):
            yield self._best(self._scores(queries[position]), top)

    def _scores(self, query: sparse.csr_matrix) -> NDArray[np.float32]:
        """Return the similarity of every name to a query, shape (names,).

        One trigram after the other: five times as fast as the product of the two sparse matrices.
        """
        scores = np.zeros(len(self._rows), dtype=np.float32)
        for trigram, weight in zip(query.indices, query.data, strict=True):
            names = slice(self._starts[trigram], self._starts[trigram + 1])
            scores[self._names[names]] += weight * self._weights[names].astype(np.float32)
        return scores

    def _best(self, scores: NDArray[np.float32], top: int) -> list[Hit]:
        keep = min(top, len(scores))
        if keep == 0:
            return []
        best = np.argpartition(scores, -keep)[-keep:]
        best = best[np.argsort(-scores[best], kind="stable")]
        return [
            Hit(self.release, int(self._rows[place]), min(1.0, float(scores[place])))
            for place in best
            if scores[place] > 0
        ]


class LexicalIndex:
    """The trigram indexes of a store, each read on first use."""

    def __init__(self, store: ConceptStore) -> None:
        self._store = store
        self._of_system: dict[str, list[_Trigrams]] = {}

    def search(self, keys: Sequence[str], system: str, top: int) -> list[list[Hit]]:
        """Return, for each normal form, the `top` most similar names of a code system, best first."""
        if system not in self._of_system:
            self._of_system[system] = [_Trigrams(release) for release in self._store.layers(system)]
        counts = _VECTORIZER.transform(keys)
        found = [index.search(counts, top) for index in self._of_system[system]]
        return [best_hits(hits, top) for hits in zip(*found, strict=True)] if found else [[] for _ in keys]


def best_hits(of_releases: Sequence[list[Hit]], top: int) -> list[Hit]:
    """Return the `top` most similar of the hits of several releases, best first."""
    if len(of_releases) == 1:
        return of_releases[0]
    return sorted((hit for hits in of_releases for hit in hits), key=lambda hit: -hit.similarity)[:top]
