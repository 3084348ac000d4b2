"""Candidates by meaning: for paraphrases that share few letters with any name.

Vectors of the names, one FAISS index per code system (inner product of unit vectors = cosine), half precision,
memory-mapped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import faiss
import numpy as np

from fhir_coder.linking.encoder import Encoder, Vectors
from fhir_coder.linking.lexical import Hit
from fhir_coder.model import CODE_SYSTEMS, ICD10CM
from fhir_coder.terminology.store import ConceptStore

_FLAT = 10_000  # names; up to here every vector is compared
_CELLS, _PROBED = 256, 24  # of an inverted file index: clusters of names, and how many of them a query looks into
_SEVENTH_CHARACTER = 8  # length of an ICD-10-CM code that has one: "S52.501A"


def encoded_names(store: ConceptStore) -> dict[str, dict[str, int]]:
    """Return, per code system, the names that get a vector, and the row of each in the store.

    None for brand names, whose letters mean nothing; for ICD-10-CM headers, external causes and encounter extensions
    (seventh character), which would treble the index with names that differ in "initial encounter" only; and only
    one of the names of a concept that have the same content words.
    """
    names: dict[str, dict[str, int]] = defaultdict(dict)
    seen = set()
    for name in store.all_names():
        if name.system not in CODE_SYSTEMS.values() or name.kind == "brand" or not name.codable:
            continue
        if name.system == ICD10CM and (name.code[0] in "VWXY" or len(name.code) == _SEVENTH_CHARACTER):
            continue
        if (name.system, name.code, name.bag) not in seen:
            seen.add((name.system, name.code, name.bag))
            names[name.system].setdefault(name.text, name.row)
    return names


def build(store: ConceptStore, folder: Path, encoder: Encoder, advance: Callable[[int], None]) -> None:
    """Write the vector index of the store's names into `folder`."""
    for name, system in CODE_SYSTEMS.items():
        rows = encoded_names(store)[system]
        vectors = encoder.encode(list(rows), advance)
        index = faiss.index_factory(encoder.width, _index_type(len(rows)), faiss.METRIC_INNER_PRODUCT)
        if len(rows):
            index.train(vectors)
            index.add(vectors)
        faiss.write_index(index, str(folder / f"vectors_{name}.faiss"))
        np.save(folder / f"vector_rows_{name}.npy", np.array(list(rows.values()), dtype=np.int64))


def _index_type(names: int) -> str:
    """Return the FAISS index for a number of names: beyond ten thousand, comparing with all costs 8 ms a query."""
    return f"IVF{_CELLS},SQfp16" if names > _FLAT else "SQfp16"


class DenseIndex:
    """The vector index of one folder, with the encoder it was made by."""

    def __init__(self, folder: Path, encoder: Encoder) -> None:
        self._encoder = encoder
        self._names = {
            system: (
                faiss.read_index(str(folder / f"vectors_{name}.faiss"), faiss.IO_FLAG_MMAP),
                np.load(folder / f"vector_rows_{name}.npy"),
            )
            for name, system in CODE_SYSTEMS.items()
        }
        for index, _ in self._names.values():
            if hasattr(index, "nprobe"):
                index.nprobe = _PROBED

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per text, to be searched for in any code system."""
        return self._encoder.encode(texts)

    def search(self, vectors: Vectors, system: str, top: int) -> list[list[Hit]]:
        """Return, for each vector, the `top` names of a code system that are nearest in meaning, best first."""
        index, rows = self._names[system]
        similarity, found = index.search(vectors, top)
        return [
            [Hit(int(rows[i]), min(1.0, max(0.0, float(s)))) for i, s in zip(line, scores, strict=True) if i >= 0]
            for line, scores in zip(found, similarity, strict=True)
        ]
