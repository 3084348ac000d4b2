"""Candidates by similar letters: trigrams within the words, weighted by how rare they are (tf-idf).

The weight matrix is stored column by column: trigram -> names and memory-mapped, so that a query reads only its own
trigrams.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fhir_coder.terminology.name_table import mapped
from fhir_coder.terminology.store import ConceptStore
from fhir_coder.terminology.stored_release import StoredRelease

_LETTERS = 38  # of normal forms: space, a to z, 0 to 9, anything else
_FEATURES = _LETTERS**3
_CHUNK = 50_000  # names whose trigrams are counted at once
_BLOCK = 1 << 25  # postings put together at once
_LONGEST = 300  # characters of a name; what is behind tells nothing to a misspelt mention
_MOST_READ = 50_000  # postings of a query's trigrams, the rarest first
_REREAD = 8  # names whose other trigrams are looked at, for each that is wanted
_FOLDER = "trigrams"


def _numbered() -> NDArray[np.int64]:
    numbers = np.full(256, _LETTERS - 1, dtype=np.int64)
    for number, letter in enumerate(" abcdefghijklmnopqrstuvwxyz0123456789"):
        numbers[ord(letter)] = number
    return numbers


_NUMBER_OF = _numbered()


@dataclass(frozen=True, slots=True)
class Hit:
    """A name that is similar to a query: its release, its row there, and the similarity in 0..1."""

    release: StoredRelease
    row: int
    similarity: float


class _Counts(NamedTuple):
    """How often trigrams are in names, ordered by trigram and then by name."""

    trigrams: NDArray[np.int64]
    names: NDArray[np.int64]
    counts: NDArray[np.float32]


def build(release: StoredRelease, folder: Path, advance: Callable[[int], None]) -> None:
    """Write the trigram index of a release into `folder`; `advance` is told the names that are done.

    Memory does not grow with the names: a chunk of them, and a block of the postings, are held at a time.
    """
    place = folder / _FOLDER
    place.mkdir()
    frequency = np.zeros(_FEATURES, dtype=np.int64)
    parts: list[tuple[Path, int]] = []
    forms = iter(release.all_forms())
    total = 0
    while chunk := [form[:_LONGEST] for form in islice(forms, _CHUNK)]:
        counts = _counts(chunk)
        frequency += np.bincount(counts.trigrams, minlength=_FEATURES)
        parts.append((place / f"part-{len(parts)}.npz", total))
        np.savez(parts[-1][0], **counts._asdict())
        total += len(chunk)
        advance(len(chunk))
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(frequency)])
    weight = (np.log((1 + total) / (1 + frequency)) + 1).astype(np.float32)
    np.save(place / "weight.npy", weight)
    np.save(place / "starts.npy", starts)
    with (place / "names.npy").open("wb") as names_file, (place / "weights.npy").open("wb") as weights_file:
        _write_head(names_file, np.dtype(np.int32), int(starts[-1]))
        _write_head(weights_file, np.dtype(np.float16), int(starts[-1]))
        for postings, weights in _blocks(parts, weight, starts):
            names_file.write(postings.data)
            weights_file.write(weights.data)
    for part, _ in parts:
        part.unlink()


def _write_head(file: IO[bytes], type_: np.dtype[Any], length: int) -> None:
    """Write how a file of NumPy begins that holds an array of one dimension."""
    head = {"descr": type_.str, "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(file, head)  # type: ignore[no-untyped-call]


def _blocks(
    parts: Sequence[tuple[Path, int]], weight: NDArray[np.float32], starts: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float16]]]:
    """Yield the names of the trigrams, and their weights there, some trigrams after the other."""
    first = 0
    while first < _FEATURES:
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + _BLOCK, "right")) - 1)
        names = np.empty(starts[last] - starts[first], np.int32)
        weights = np.empty(len(names), np.float16)
        free = starts[first:last] - starts[first]  # where the next name of each trigram goes
        for path, before in parts:
            with np.load(path) as saved:
                part = _Counts(**saved)
            weighted = _weighted(part, weight)
            low, high = np.searchsorted(part.trigrams, [first, last]).tolist()
            of_block = part.trigrams[low:high] - first
            lengths = np.bincount(of_block, minlength=last - first)
            target = np.repeat(free - np.cumsum(lengths) + lengths, lengths) + np.arange(high - low)
            names[target] = part.names[low:high] + before
            weights[target] = weighted[low:high]
            free += lengths
        yield names, weights
        first = last


def _weighted(part: _Counts, weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the weights of trigrams in their names: those of a name make a vector of unit length."""
    weighted = part.counts * weight[part.trigrams]
    length = np.sqrt(np.bincount(part.names, weighted.astype(np.float64) ** 2))
    unit: NDArray[np.float32] = (weighted / length[part.names]).astype(np.float32)
    return unit


def _counts(forms: Sequence[str]) -> _Counts:
    """Return how often each trigram is in each normal form; the ends of words count, and none reaches over two."""
    written = "".join([f" {form} " for form in forms]).encode("ascii", "replace")
    letters = _NUMBER_OF[np.frombuffer(written, dtype=np.uint8)]
    owners = np.repeat(np.arange(len(forms)), [len(form) + 2 for form in forms])
    middle = np.flatnonzero(letters[1:-1]) + 1
    trigrams = (letters[middle - 1] * _LETTERS + letters[middle]) * _LETTERS + letters[middle + 1]
    both, counts = np.unique(trigrams * len(forms) + owners[middle], return_counts=True)
    return _Counts(both // len(forms), both % len(forms), counts.astype(np.float32))


class _Trigrams:
    """The trigram index of one release. Not to be shared between threads."""

    def __init__(self, release: StoredRelease) -> None:
        place = release.folder / _FOLDER
        self._release = release
        self._weight = np.load(place / "weight.npy")
        self._starts = np.load(place / "starts.npy")
        self._names = mapped(place / "names.npy")
        self._weights = mapped(place / "weights.npy")
        self._scores: NDArray[np.float32] | None = None  # of the names, all 0 between two queries

    def search(self, counts: _Counts, top: int) -> list[Hit]:
        """Return the `top` names that are most similar to a query, given its trigrams, best first.

        The names that share its rarest trigrams are put in order by all of them. The postings that are read are
        bounded: of 560,000 names some trigrams are in a hundred thousand.
        """
        trigrams = counts.trigrams
        query = _weighted(counts, self._weight)
        postings = self._starts[trigrams + 1] - self._starts[trigrams]
        order = np.argsort(postings, kind="stable")
        order = order[postings[order] > 0]
        read = max(1, int(np.searchsorted(np.cumsum(postings[order]), _MOST_READ, "right")))
        names = self._nearest(trigrams[order[:read]], query[order[:read]], top * _REREAD)
        scores = np.zeros(len(names), dtype=np.float32)
        for place in order.tolist():
            scores += query[place] * self._weights_of(trigrams[place], names)
        first = np.argsort(-scores, kind="stable")[:top]
        return [
            Hit(self._release, name + 1, min(1.0, score))
            for name, score in zip(names[first].tolist(), scores[first].tolist(), strict=True)
            if score > 0
        ]

    def _nearest(self, trigrams: NDArray[np.int64], query: NDArray[np.float32], most: int) -> NDArray[np.int32]:
        """Return the names that are most similar by some trigrams of a query, in order of their numbers."""
        read = [self._names[self._of(trigram)] for trigram in trigrams]
        names = np.concatenate(read) if read else np.empty(0, np.int32)
        if self._scores is None:
            self._scores = np.zeros(self._release.last_row(), dtype=np.float32)
        for trigram, weight, of_trigram in zip(trigrams, query, read, strict=True):
            self._scores[of_trigram] += weight * self._weights[self._of(trigram)]
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
        place = np.minimum(having.searchsorted(names), len(having) - 1)
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
        found = []
        for key in keys:
            counts = _counts([key[:_LONGEST]])
            found.append(best_hits([index.search(counts, top) for index in self._of_system[system]], top))
        return found


def best_hits(of_releases: Sequence[list[Hit]], top: int) -> list[Hit]:
    """Return the `top` most similar of the hits of several releases, best first."""
    if len(of_releases) == 1:
        return of_releases[0]
    return sorted((hit for hits in of_releases for hit in hits), key=lambda hit: -hit.similarity)[:top]
