"""Candidates by character trigrams: for misspellings and inflections that no name has.

TF-IDF over the trigrams of each word (hashed, so that no vocabulary is kept), cosine similarity. One index per release,
stored as trigram -> names and memory-mapped, so that a query reads only its own trigrams.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

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
_BLOCK = 1 << 25  # postings put together at once
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

    Memory does not grow with the names: a chunk of them, and a block of the postings, are held at a time.
    """
    place = folder / _FOLDER
    place.mkdir()
    frequency = np.zeros(_FEATURES, dtype=np.int64)
    rows = array("i")
    parts: list[Path] = []
    names = release.all_names()
    while chunk := list(islice(names, _CHUNK)):
        counts = _counts([normalise(name.text[:_LONGEST]) for name in chunk])
        frequency += np.bincount(counts.indices, minlength=_FEATURES)
        rows.extend(name.row for name in chunk)
        parts.append(place / f"part-{len(parts)}.npz")
        sparse.save_npz(parts[-1], counts, compressed=False)
        advance(len(chunk))
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(frequency)])
    weight = (np.log((1 + len(rows)) / (1 + frequency)) + 1).astype(np.float32)
    np.save(place / "weight.npy", weight)
    np.save(place / "starts.npy", starts)
    np.save(place / "rows.npy", np.array(rows, dtype=np.int32))
    with (place / "names.npy").open("wb") as names_file, (place / "weights.npy").open("wb") as weights_file:
        _write_head(names_file, np.dtype(np.int32), int(starts[-1]))
        _write_head(weights_file, np.dtype(np.float16), int(starts[-1]))
        for postings, weights in _blocks(parts, weight, starts):
            names_file.write(postings.data)
            weights_file.write(weights.data)
    for part in parts:
        part.unlink()


def _write_head(file: IO[bytes], type_: np.dtype[Any], length: int) -> None:
    """Write how a file of NumPy begins that holds an array of one dimension."""
    head = {"descr": type_.str, "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(file, head)  # type: ignore[no-untyped-call]


def _blocks(
    parts: Sequence[Path], weight: NDArray[np.float32], starts: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float16]]]:
    """Yield the names of the trigrams, and their weights there, some trigrams after the other."""
    first = 0
    while first < _FEATURES:
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + _BLOCK, "right")) - 1)
        names = np.empty(starts[last] - starts[first], np.int32)
        weights = np.empty(len(names), np.float16)
        free = starts[first:last] - starts[first]  # where the next name of each trigram goes
        done = 0
        for path in parts:
            part = sparse.load_npz(path)
            part.data *= weight[part.indices]
            normalize(part, copy=False)
            postings = part.tocsc()[:, first:last]
            lengths = np.diff(postings.indptr)
            target = np.repeat(free - postings.indptr[:-1], lengths) + np.arange(postings.nnz)
            names[target] = postings.indices + done
            weights[target] = postings.data
            free += lengths
            done += part.shape[0]
        yield names, weights
        first = last


def _counts(keys: Sequence[str]) -> sparse.csr_matrix:
    """Return how often each trigram is in each normal form, as the vectorizer does.

    No trigram reaches over two words, so those of a name are those of its words together, and many names have few
    words between them.
    """
    words: dict[str, int] = {}
    ends = [0]
    found = array("i")
    for key in keys:
        found.extend([words.setdefault(word, len(words)) for word in key.split()])
        ends.append(len(found))
    if not words:
        return sparse.csr_matrix((len(keys), _FEATURES), dtype=np.float32)
    of_names = sparse.csr_matrix((np.ones(len(found), np.float32), found, ends), shape=(len(keys), len(words)))
    counts = of_names @ _VECTORIZER.transform(words).astype(np.float32)
    counts.sort_indices()
    return counts


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
