"""What is ranked first in this process, by the whole cascade and by vectors alone, and what either costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from time import process_time
from typing import TypeVar

from fhir_coder.linking.dense import DenseIndex
from fhir_coder.linking.linker import Query as Linked
from fhir_coder.lookup.figures import Way
from fhir_coder.lookup.queries import Query
from fhir_coder.model import CODE_SYSTEMS
from fhir_coder.prepare import open_dense, open_linker, prepare
from fhir_coder.settings import Settings
from fhir_coder.terminology.store import ConceptStore
from fhir_coder.terminology.stored_release import StoredRelease

_TOP = 5  # candidates
_BATCH = 32
_UNUSUAL = "a phrase that no release has"  # is asked first: what is loaded when needed is not to be measured

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Ranked:
    """What was found for each query: the codes of the first candidates, and the code of the nearest vector."""

    ranked: list[list[str]]
    dense: list[str] | None  # None: there is no encoder
    ways: tuple[Way, ...]


def rank(settings: Settings, queries: Sequence[Query]) -> Ranked:
    """Return what is ranked first, without abstention; each query that is there twice is asked once.

    Raises `TerminologyError`.
    """
    store = ConceptStore([StoredRelease(folder) for folder in prepare(settings)])
    linker, dense = open_linker(store, settings, _TOP), open_dense(store, settings)
    pairs = list(dict.fromkeys((query.system, query.text) for query in queries))
    linker.link([Linked(_UNUSUAL, (uri,)) for uri in CODE_SYSTEMS.values()])

    def cascade(some: Sequence[tuple[str, str]]) -> list[list[str]]:
        found = linker.link([Linked(text, (CODE_SYSTEMS[system],)) for system, text in some])
        return [[candidate.code for candidate in candidates if not candidate.barred] for candidates in found]

    ranked, spent = _timed(cascade, pairs)
    ways = [Way("the cascade", len(pairs), spent)]
    of_pair = dict(zip(pairs, ranked, strict=True))
    alone: dict[tuple[str, str], str] = {}
    if dense is not None:
        nearest(dense, [(system, _UNUSUAL) for system in CODE_SYSTEMS])
        codes, spent = _timed(lambda some: nearest(dense, some), pairs)
        alone = dict(zip(pairs, codes, strict=True))
        ways.append(Way("baseline: dense only", len(pairs), spent))
    store.close()
    return Ranked(
        ranked=[of_pair[query.system, query.text] for query in queries],
        dense=[alone[query.system, query.text] for query in queries] if alone else None,
        ways=tuple(ways),
    )


def nearest(dense: DenseIndex, pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Return the code whose name has the nearest vector, for each (code system, text); "" where there is none."""
    vectors = dense.encode([text.lower() for _, text in pairs])
    codes = [""] * len(pairs)
    for system in dict.fromkeys(system for system, _ in pairs):
        places = [place for place, (other, _) in enumerate(pairs) if other == system]
        for place, hits in zip(places, dense.search(vectors[places], CODE_SYSTEMS[system], 1), strict=True):
            codes[place] = hits[0].release.name(hits[0].row).code if hits else ""
    return codes


def _timed(
    find: Callable[[Sequence[tuple[str, str]]], list[Found]], pairs: Sequence[tuple[str, str]]
) -> tuple[list[Found], float]:
    """Return what is found for each pair, and the CPU milliseconds that one took."""
    begun = process_time()
    found = list(chain.from_iterable(find(pairs[start : start + _BATCH]) for start in range(0, len(pairs), _BATCH)))
    return found, 1000 * (process_time() - begun) / max(1, len(pairs))
