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
_MOST_READ = 50_000  # postings of a query's trigrams, the rarest first
_REREAD = 8  # names whose other trigrams are looked at, for each that is wanted
_FOLDER = "trigrams"
_KEYS = "keys.txt"


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
    rows, ends = array("i"), array("q")
    parts: list[Path] = []
    names = release.all_names()
    with (place / _KEYS).open("wb") as written:
        while chunk := list(islice(names, _CHUNK)):
            keys = [normalise(name.text[:_LONGEST]) for name in chunk]
            for key in keys:
                written.write(key.encode())
                ends.append(written.tell())
            counts = _counts(keys)
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
    np.save(place / "ends.npy", np.array(ends, dtype=np.int64))
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


class Keys:
    """The normal forms of the names of a release, by row, so that a search need not ask the database for each name."""

    def __init__(self, folder: Path) -> None:
        place = folder / _FOLDER
        self._rows = np.load(place / "rows.npy", mmap_mode="r")
        self._ends = np.load(place / "ends.npy", mmap_mode="r")
        self._keys = np.memmap(place / _KEYS, mode="r") if len(self._ends) and self._ends[-1] else b""

    def of(self, row: int) -> str:
        """Return the normal form of the name in a row."""
        place = int(np.searchsorted(self._rows, row))
        start = int(self._ends[place - 1]) if place else 0
        return bytes(self._keys[start : int(self._ends[place])]).decode()


class _Trigrams:
    """The trigram index of one release. Not to be shared between threads."""

    def __init__(self, release: StoredRelease) -> None:
        place = release.folder / _FOLDER
        self.release = release
        self.weight = np.load(place / "weight.npy")
        self._starts = np.load(place / "starts.npy")
        self._names = np.load(place / "names.npy", mmap_mode="r")
        self._weights = np.load(place / "weights.npy", mmap_mode="r")
        self._rows = np.load(place / "rows.npy", mmap_mode="r")
        self._scores: NDArray[np.float32] | None = None  # of the names, all 0 between two queries

    def search(self, counts: sparse.csr_matrix, top: int) -> Iterator[list[Hit]]:
        """Yield, for each row of trigram counts, the `top` most similar names, best first."""
        queries = normalize(counts.multiply(self.weight).tocsr())
        for position in range(queries.shape[0]):
            yield self._best(queries[position], top)

    def _best(self, query: sparse.csr_matrix, top: int) -> list[Hit]:
        """Return the names that share the rarest trigrams of a query, put in order by all of them.

        The postings that are read are bounded: of 560,000 names some trigrams are in a hundred thousand.
        """
        trigrams = query.indices
        postings = self._starts[trigrams + 1] - self._starts[trigrams]
        order = np.argsort(postings, kind="stable")
        order = order[postings[order] > 0]
        read = max(1, int(np.searchsorted(np.cumsum(postings[order]), _MOST_READ, "right")))
        names = self._nearest(query, order[:read], top * _REREAD)
        scores = np.zeros(len(names), dtype=np.float32)
        for place in order:
            scores += query.data[place] * self._weights_of(trigrams[place], names)
        first = np.argsort(-scores, kind="stable")[:top]
        return [
            Hit(self.release, int(self._rows[names[place]]), min(1.0, float(scores[place])))
            for place in first
            if scores[place] > 0
        ]

    def _nearest(self, query: sparse.csr_matrix, places: NDArray[np.int64], most: int) -> NDArray[np.int32]:
        """Return the names that are most similar by some trigrams of a query, in order of their numbers."""
        read = [self._names[self._of(trigram)] for trigram in query.indices[places]]
        names = np.concatenate(read) if read else np.empty(0, np.int32)
        if self._scores is None:
            self._scores = np.zeros(len(self._rows), dtype=np.float32)
        for place, of_trigram in zip(places, read, strict=True):
            self._scores[of_trigram] += query.data[place] * self._weights[self._of(query.indices[place])]
        scores = self._scores[names]
        self._scores[names] = 0
        keep = min(most * len(read), len(names))  # a name stands there once for each trigram that it has
        nearest: NDArray[np.int32] = np.unique(names[np.argpartition(scores, -keep)[-keep:]] if keep else names)
        return nearest

    def _of(self, trigram: int) -> slice:
        return slice(self._starts[trigram], self._starts[trigram + 1])

    def _weights_of(self, trigram: int, names: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return the weight of a trigram in some names: its postings are in the order of the names."""
        having, weights = self._names[self._of(trigram)], self._weights[self._of(trigram)]
        place = np.minimum(np.searchsorted(having, names), len(having) - 1)
        found: NDArray[np.float32] = np.where(having[place] == names, weights[place], 0).astype(np.float32)
        return found


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
