"""Candidates by meaning: for paraphrases that share few letters with any name.

The vectors of the names are kept in half precision beside one FAISS index per release, both memory-mapped. Up to ten
thousand names a query is compared with all; beyond, with those of the nearest clusters, by codes of half a byte per two
numbers, and the nearest of these exactly (inner product of unit vectors = cosine). Vectors are made part by part: what
was made before an interruption is not made again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from fhir_coder.linking.encoder import Encoder, Vectors
from fhir_coder.linking.lexical import Hit, best_hits
from fhir_coder.model import ICD10CM
from fhir_coder.terminology.name_table import mapped
from fhir_coder.terminology.normalise import bag, normalise
from fhir_coder.terminology.store import ConceptStore
from fhir_coder.terminology.stored_release import StoredRelease

FORMAT = 2  # of the files; vectors of another one are made anew
_FLAT = 10_000  # names; up to here every vector is compared
_CLUSTERS = ((50_000, 128), (200_000, 512))  # names up to which so many clusters are enough
_MOST_CLUSTERS = 1024
_PROBED = 64  # clusters of names that a query looks into; of 1024, 16 miss the nearest name of one query in twenty
_COMPARED = 4  # names that are compared exactly, for each that is wanted
_PART = 10_000  # names encoded between two saves
_TRAINED_ON = 60_000  # vectors from which the clusters and codes are learnt
_SEVENTH_CHARACTER = 8  # length of an ICD-10-CM code that has one: "S52.501A"
_INDEX, _ROWS, _VECTORS = "index.faiss", "rows.npy", "vectors.npy"


def has_vectors(folder: Path) -> bool:
    """Tell whether the vectors in a folder are complete: the index is written last."""
    return (folder / _INDEX).exists()


def encoded_names(release: StoredRelease) -> dict[str, int]:
    """Return the names that get a vector, and the row of each.

    None for brand names, whose letters mean nothing, nor for index terms, whose words come in no order of speech; for
    what is never coded; for ICD-10-CM external causes and encounter extensions (seventh character), which would treble
    the index with names that differ in "initial encounter" only; and only one of the names of a concept that have the
    same content words.
    """
    names: dict[str, int] = {}
    seen = set()
    is_icd10cm = release.head.system == ICD10CM
    for name in release.all_names():
        if name.kind in ("brand", "index") or name.status != "active":
            continue
        if is_icd10cm and (name.code[0] in "VWXY" or len(name.code) == _SEVENTH_CHARACTER):
            continue
        words = (name.code, bag(normalise(name.text)))
        if words not in seen:
            seen.add(words)
            names.setdefault(name.text, name.row)
    return names


def build(names: dict[str, int], folder: Path, encoder: Encoder, advance: Callable[[int], None]) -> None:
    """Write the vector index of `encoded_names` into `folder`, where parts of it may be from before.

    `advance` is told the names that are done.
    """
    folder.mkdir(exist_ok=True)
    texts = list(names)
    parts = []
    for start in range(0, len(texts), _PART):
        part = folder / f"part-{start}.npy"
        if part.exists():
            advance(min(_PART, len(texts) - start))
        else:
            unfinished = part.with_suffix(".unfinished.npy")
            np.save(unfinished, encoder.encode_names(texts[start : start + _PART], advance).astype(np.float16))
            unfinished.replace(part)
        parts.append(part)
    np.save(folder / _ROWS, np.array(list(names.values()), dtype=np.int32))
    vectors = [np.load(part) for part in parts]
    together = np.concatenate(vectors) if vectors else np.empty((0, encoder.width), np.float16)
    np.save(folder / _VECTORS, together)
    unfinished = folder / f"{_INDEX}.unfinished"
    faiss.write_index(index_of(together), str(unfinished))
    unfinished.replace(folder / _INDEX)
    for part in parts:
        part.unlink()


def index_of(vectors: NDArray[np.float16]) -> Any:
    """Return the FAISS index of the vectors of names, shape (names, width)."""
    count, width = vectors.shape
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    index = faiss.index_factory(width, index_type(count, width), faiss.METRIC_INNER_PRODUCT)
    if count:
        index.train(vectors[:: max(1, count // _TRAINED_ON)].astype(np.float32))
    for start in range(0, count, _PART):
        index.add(vectors[start : start + _PART].astype(np.float32))
    return index


def index_type(names: int, width: int) -> str:
    """Return which FAISS index a number of names of this width gets.

    Measured at 560,000 names by `benchmarks/linking.py`.
    """
    if names <= _FLAT:
        return "SQfp16"
    clusters = next((clusters for most, clusters in _CLUSTERS if names <= most), _MOST_CLUSTERS)
    return f"IVF{clusters},PQ{width // 2}x4fs" if width % 2 == 0 else f"IVF{clusters},SQ8"


class _Vectors:
    """The vector index of one release."""

    def __init__(self, release: StoredRelease, folder: Path) -> None:
        self._release = release
        self._index = faiss.read_index(str(folder / _INDEX), faiss.IO_FLAG_MMAP_IFC)
        self._rows = mapped(folder / _ROWS)
        self._vectors = mapped(folder / _VECTORS)
        faiss.omp_set_num_threads(1)  # a batch is done before a second thread has started to spin
        self._is_exact = True
        if hasattr(self._index, "nprobe"):
            self._is_exact = False
            self._index.nprobe = _PROBED

    def search(self, vectors: Vectors, top: int) -> list[list[Hit]]:
        """Return, for each vector, the `top` names that are nearest in meaning, best first."""
        similarity, found = self._index.search(vectors, top if self._is_exact else top * _COMPARED)
        hits = []
        for vector, places, scores in zip(vectors, found, similarity, strict=True):
            places, scores = places[places >= 0], scores[places >= 0]
            if not self._is_exact:
                scores = self._vectors[places].astype(np.float32) @ vector
            best = np.argsort(-scores, kind="stable")[:top]
            names = zip(self._rows[places[best]].tolist(), np.clip(scores[best], 0, 1).tolist(), strict=True)
            hits.append([Hit(self._release, row, score) for row, score in names])
        return hits


class DenseIndex:
    """The vector indexes of the releases of a store that have one, with the encoder they were made by."""

    def __init__(self, store: ConceptStore, subfolder: str, encoder: Encoder) -> None:
        self._store = store
        self._subfolder = subfolder
        self._encoder = encoder
        self._of_system: dict[str, list[_Vectors]] = {}

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per text, to be searched for in any code system."""
        return self._encoder.encode(texts)

    def search(self, vectors: Vectors, system: str, top: int) -> list[list[Hit]]:
        """Return, for each vector, the `top` names of a code system that are nearest in meaning, best first."""
        if system not in self._of_system:
            self._of_system[system] = [
                _Vectors(release, release.folder / self._subfolder)
                for release in self._store.layers(system)
                if has_vectors(release.folder / self._subfolder)
            ]
        found = [index.search(vectors, top) for index in self._of_system[system]]
        return [best_hits(hits, top) for hits in zip(*found, strict=True)] if found else [[] for _ in vectors]
