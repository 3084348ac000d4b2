"""Candidates by meaning: for paraphrases that share few letters with any name.

Vectors of the names, one FAISS index per release (inner product of unit vectors = cosine), half precision,
memory-mapped. Vectors are made part by part: what was made before an interruption is not made again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import faiss
import numpy as np

from fhir_coder.linking.encoder import Encoder, Vectors
from fhir_coder.linking.lexical import Hit, best_hits
from fhir_coder.model import ICD10CM
from fhir_coder.terminology.normalise import bag, normalise
from fhir_coder.terminology.store import ConceptStore
from fhir_coder.terminology.stored_release import StoredRelease

_FLAT = 10_000  # names; up to here every vector is compared
_MANY = 200_000  # names; from here on there are more cells
_PROBED = 24  # of an inverted file index: how many clusters of names a query looks into
_PART = 10_000  # names encoded between two saves
_TRAINED_ON = 100_000  # vectors from which the clusters are learnt
_SEVENTH_CHARACTER = 8  # length of an ICD-10-CM code that has one: "S52.501A"
_INDEX, _ROWS = "index.faiss", "rows.npy"


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
            np.save(unfinished, encoder.encode(texts[start : start + _PART], advance).astype(np.float16))
            unfinished.replace(part)
        parts.append(part)
    np.save(folder / _ROWS, np.array(list(names.values()), dtype=np.int32))
    _index(parts, len(texts), encoder.width, folder)
    for part in parts:
        part.unlink()


def _index(parts: Sequence[Path], count: int, width: int, folder: Path) -> None:
    index = faiss.index_factory(width, _index_type(count), faiss.METRIC_INNER_PRODUCT)
    if parts:
        some = parts[:: max(1, count // _TRAINED_ON)]
        index.train(np.concatenate([np.load(part) for part in some]).astype(np.float32))
    for part in parts:
        index.add(np.load(part).astype(np.float32))
    unfinished = folder / f"{_INDEX}.unfinished"
    faiss.write_index(index, str(unfinished))
    unfinished.replace(folder / _INDEX)


def _index_type(names: int) -> str:
    """Return the FAISS index for a number of names: beyond ten thousand, comparing with all costs 8 ms a query."""
    if names <= _FLAT:
        return "SQfp16"
    return f"IVF{1024 if names > _MANY else 256},SQfp16"


class _Vectors:
    """The vector index of one release."""

    def __init__(self, release: StoredRelease, folder: Path) -> None:
        self._release = release
        self._index = faiss.read_index(str(folder / _INDEX), faiss.IO_FLAG_MMAP)
        self._rows = np.load(folder / _ROWS)
        if hasattr(self._index, "nprobe"):
            self._index.nprobe = _PROBED

    def search(self, vectors: Vectors, top: int) -> list[list[Hit]]:
        """Return, for each vector, the `top` names that are nearest in meaning, best first."""
        similarity, found = self._index.search(vectors, top)
        return [
            [
                Hit(self._release, int(self._rows[i]), min(1.0, max(0.0, float(s))))
                for i, s in zip(line, scores, strict=True)
                if i >= 0
            ]
            for line, scores in zip(found, similarity, strict=True)
        ]


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
